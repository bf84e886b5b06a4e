#include "train/report/report.h"
#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>
#include "train/errors.h"

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

/// JSON on one line. Bytes that are not UTF-8, as file names may have, are replaced.
std::string line_of(Json const& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string percent(double share) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << 100 * share << " %";
  return text.str();
}

/// "1 rank", "2 ranks"
std::string counted(int64_t count, char const* what) {
  return core::join(count, ' ', what, count == 1 ? "" : "s");
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

constexpr char const* clear_line = "\r\033[K";

}  // namespace

Report::Report(std::filesystem::path metrics, std::optional<Console> console)
    : metrics_(std::move(metrics)), console_(console) {}

Report::~Report() {
  if (redrawing_) console_->out << std::endl;
}

void Report::begin(RunFacts const& facts) {
  facts_ = facts;
  last_step_ = facts.first_step;
  began_ = Clock::now();
  if (!console_) return;
  remove_after(facts.first_step);
  file_.open(metrics_, std::ios::app);
  print(core::join("run ", facts.out.string(), ": ", facts.classes, " classes, ", facts.samples,
                   " training images of ", facts.image.height, " x ", facts.image.width, " x ",
                   facts.image.channels));
  auto text =
      core::join(counted(facts.ranks, "rank"), ": ", facts.device, ", ", facts.precision, "; ",
                 counted(facts.steps, "step"), ", ", facts.steps_per_epoch, " per epoch");
  if (facts.first_step > 0) text += core::join("; resumed after step ", facts.first_step);
  print(text);
}

void Report::remove_after(int64_t step) {
  std::ifstream old(metrics_);
  if (!old) return;
  std::string kept;
  for (std::string text; std::getline(old, text);) {
    auto const entry = Json::parse(text, nullptr, false);
    // A line cut short by a crash is not JSON; it is removed as well.
    if (entry.is_object() && entry.value("step", int64_t{0}) <= step) kept += text + '\n';
  }
  auto const beside = metrics_.string() + ".partial";
  std::ofstream file(beside);
  file << kept << std::flush;
  if (!file) throw IoError("cannot write " + beside);
  file.close();
  std::filesystem::rename(beside, metrics_);
}

void Report::write(std::string const& text) {
  file_ << text << '\n' << std::flush;
  if (!file_) throw IoError("cannot write " + metrics_.string());
}

void Report::print(std::string const& text) {
  if (redrawing_) console_->out << clear_line;
  redrawing_ = false;
  console_->out << text << std::endl;
}

void Report::pause() {
  if (since_) seconds_ += seconds_since(*since_);
  since_.reset();
}

void Report::resume() {
  if (!since_) since_ = Clock::now();
}

void Report::step(StepFacts const& facts) {
  if (!console_) return;
  pause();
  double const seconds = std::max(seconds_, 1e-9);
  double const samples_per_s = static_cast<double>(samples_) / seconds;
  double const data_wait = std::min(waited_ / seconds, 1.0);
  double const speed = static_cast<double>(facts.step - last_step_) / seconds;
  speed_ = speed_ == 0 ? speed : 0.8 * speed_ + 0.2 * speed;
  samples_ = 0;
  seconds_ = waited_ = 0;
  last_step_ = facts.step;

  write(line_of(Json{{"kind", "train"},
                     {"step", facts.step},
                     {"epoch", facts.epoch},
                     {"loss", facts.loss},
                     {"lr", facts.lr},
                     {"samples_per_s", samples_per_s},
                     {"mean_loss", facts.mean_loss},
                     {"data_wait", data_wait},
                     {"memory_bytes", facts.memory}}));
  auto const line = progress(facts, samples_per_s, data_wait);
  if (!console_->redraw) return print(line);
  console_->out << clear_line << line << std::flush;
  redrawing_ = true;
}

std::string Report::progress(StepFacts const& facts, double samples_per_s, double data_wait) const {
  auto const epochs =
      (facts_.steps + facts_.steps_per_epoch - 1) / std::max<int64_t>(facts_.steps_per_epoch, 1);
  std::ostringstream text;
  text << "epoch " << facts.epoch + 1 << '/' << epochs << "  step " << facts.step << '/'
       << facts_.steps << std::fixed << std::setprecision(4) << "  loss " << facts.loss << " (mean "
       << facts.mean_loss << ")  lr " << std::defaultfloat << facts.lr << std::fixed
       << std::setprecision(0) << "  " << samples_per_s << " images/s  " << 100 * data_wait
       << " % waiting for data  " << std::setprecision(1)
       << 1e-9 * static_cast<double>(facts.memory) << " GB";
  if (speed_ > 0)
    text << "  " << duration(static_cast<double>(facts_.steps - facts.step) / speed_) << " left";
  return text.str();
}

void Report::score(int64_t step, int64_t epoch, Score const& score) {
  if (!console_) return;
  write(line_of(Json{{"kind", "eval"},
                     {"step", step},
                     {"epoch", epoch},
                     {"split", score.split},
                     {"top1", score.top1},
                     {"top5", score.top5},
                     {"samples", score.samples}}));
  print(core::join("  ", score.split, ": top-1 ", percent(score.top1), ", top-5 ",
                   percent(score.top5), " of ", score.samples));
  if (!best_ || (best_->score.split == score.split && score.top1 > best_->score.top1))
    best_ = {score, step};
}

void Report::note(std::string const& text) {
  if (!console_) return;
  write(line_of(Json{{"kind", "note"}, {"step", last_step_}, {"text", text}}));
  print(text);
}

void Report::end() {
  if (!console_) return;
  auto text = core::join("done: ", counted(last_step_ - facts_.first_step, "step"), " in ",
                         duration(seconds_since(began_)));
  if (facts_.first_step > 0) text += core::join(", ", last_step_, " in all");
  if (best_)
    text += core::join("; best: ", best_->score.split, " top-1 ", percent(best_->score.top1),
                       " at step ", best_->step);
  print(core::join(text, "; ", facts_.out.string()));
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
