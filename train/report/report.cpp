#include "train/report/report.h"
#include <cstdio>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

namespace train {
namespace {

using Json = nlohmann::ordered_json;

/// "1h02m", "3m20s", "12s"
std::string duration(double seconds) {
  auto const s = static_cast<int64_t>(seconds + 0.5);
  std::ostringstream text;
  text << std::setfill('0');
  if (s >= 3600) {
    text << s / 3600 << 'h' << std::setw(2) << s / 60 % 60 << 'm';
  } else if (s >= 60) {
    text << s / 60 << 'm' << std::setw(2) << s % 60 << 's';
  } else {
    text << s << 's';
  }
  return text.str();
}

/// What is no UTF-8, as names of files may be, does not end a run.
std::string line_of(Json const& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string percent(double share) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << 100 * share << " %";
  return text.str();
}

}  // namespace

Report::Report(ReportTarget target) : target_(std::move(target)) {}

Report::~Report() {
  if (redrawing_) *target_.out << std::endl;
}

void Report::begin(RunFacts const& facts) {
  facts_ = facts;
  last_step_ = facts.first_step;
  if (target_.out == nullptr) return;
  remove_after(facts.first_step);
  file_.open(target_.metrics, std::ios::app);
  std::ostringstream text;
  text << facts.classes << " classes, " << facts.samples << " training images; " << facts.ranks
       << (facts.ranks == 1 ? " rank" : " ranks") << ", " << facts.device << ", " << facts.precision
       << "; " << facts.steps << " steps, " << facts.steps_per_epoch << " an epoch";
  if (facts.first_step > 0) text << "; resumed after step " << facts.first_step;
  line(text.str());
}

void Report::remove_after(int64_t step) {
  std::ifstream old(target_.metrics);
  if (!old) return;
  std::string kept;
  for (std::string text; std::getline(old, text);) {
    auto const entry = Json::parse(text, nullptr, false);
    // A line cut short by a crash is no JSON; it goes with those that are run again.
    if (entry.is_object() && entry.value("step", int64_t{0}) <= step) kept += text + '\n';
  }
  auto const beside = target_.metrics.string() + ".partial";
  std::ofstream file(beside);
  file << kept << std::flush;
  if (!file) throw IoError("cannot write " + beside);
  file.close();
  std::filesystem::rename(beside, target_.metrics);
}

void Report::write(std::string const& text) {
  file_ << text << '\n' << std::flush;
  if (!file_) throw IoError("cannot write " + target_.metrics.string());
}

void Report::line(std::string const& text) {
  if (redrawing_) *target_.out << "\r\033[K";
  redrawing_ = false;
  *target_.out << text << std::endl;
}

void Report::pause() {
  if (since_) seconds_ += std::chrono::duration<double>(Clock::now() - *since_).count();
  since_.reset();
}

void Report::go_on() {
  if (!since_) since_ = Clock::now();
}

void Report::step(StepFacts const& facts) {
  if (target_.out == nullptr) return;
  pause();
  double const seconds = std::max(seconds_, 1e-9);
  double const samples_per_s = static_cast<double>(samples_) / seconds;
  double const speed = static_cast<double>(facts.step - last_step_) / seconds;
  speed_ = speed_ == 0 ? speed : 0.8 * speed_ + 0.2 * speed;
  samples_ = 0;
  seconds_ = 0;
  last_step_ = facts.step;

  write(line_of(Json{{"kind", "train"},
                     {"step", facts.step},
                     {"epoch", facts.epoch},
                     {"loss", facts.loss},
                     {"lr", facts.rate},
                     {"samples_per_s", samples_per_s}}));
  std::ostringstream text;
  text << "step " << facts.step << '/' << facts_.steps << "  epoch " << facts.epoch << "  loss "
       << std::fixed << std::setprecision(4) << facts.loss << "  rate " << std::defaultfloat
       << std::setprecision(4) << facts.rate << "  " << std::fixed << std::setprecision(0)
       << samples_per_s << " samples/s";
  if (speed_ > 0) {
    text << "  " << duration(static_cast<double>(facts_.steps - facts.step) / speed_) << " left";
  }
  if (!target_.terminal) return line(text.str());
  *target_.out << "\r\033[K" << text.str() << std::flush;
  redrawing_ = true;
}

void Report::score(int64_t step, int64_t epoch, Score const& score) {
  if (target_.out == nullptr) return;
  write(line_of(Json{{"kind", "eval"},
                     {"step", step},
                     {"epoch", epoch},
                     {"split", score.split},
                     {"top1", score.top1},
                     {"top5", score.top5},
                     {"samples", score.samples}}));
  line(core::join("  ", score.split, ": top-1 ", percent(score.top1), ", top-5 ",
                  percent(score.top5), " of ", score.samples));
}

void Report::note(std::string const& text) {
  if (target_.out == nullptr) return;
  write(line_of(Json{{"kind", "note"}, {"step", last_step_}, {"text", text}}));
  line(text);
}

std::string score_table(std::vector<Score> const& scores, std::vector<Score> const& baseline,
                        std::string const& baseline_name) {
  std::ostringstream text;
  size_t width = 5;
  for (auto const& s : scores) width = std::max(width, s.split.size());
  auto const cell = [&](std::string const& value) { text << std::setw(11) << value; };
  text << std::left << std::setw(static_cast<int>(width)) << "split" << std::right;
  for (auto const* head : {"samples", "top-1", "top-5"}) cell(head);
  if (!baseline.empty()) text << "    " << baseline_name << ": top-1, top-5";
  for (size_t i = 0; i < scores.size(); ++i) {
    text << '\n' << std::left << std::setw(static_cast<int>(width)) << scores[i].split;
    text << std::right;
    cell(std::to_string(scores[i].samples));
    cell(percent(scores[i].top1));
    cell(percent(scores[i].top5));
    if (i < baseline.size()) {
      text << "    ";
      cell(percent(baseline[i].top1));
      cell(percent(baseline[i].top5));
    }
  }
  return text.str();
}

}  // namespace train
