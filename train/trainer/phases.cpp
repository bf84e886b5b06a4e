#include "train/trainer/phases.h"
#include <algorithm>
#include <chrono>
#include <iomanip>
#include <sstream>

namespace train {
namespace {

double steady_seconds() {
  auto const since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since_start).count();
}

}  // namespace

Phases::Phases(core::Device& device) : Phases(device, steady_seconds) {}

Phases::Phases(core::Device& device, Clock clock) : device_(&device), clock_(std::move(clock)) {}

/// Begins the phase `name`; null: ends the current phase only.
void Phases::change(char const* name) {
  device_->synchronize();
  double const now = clock_();
  if (current_ != none) phases_[current_].seconds += now - since_;
  since_ = now;
  current_ = none;
  if (name == nullptr) return;
  auto const found = std::ranges::find(phases_, name, &Phase::name);
  current_ = static_cast<size_t>(found - phases_.begin());
  if (found == phases_.end()) phases_.push_back({name, 0});
}

void Phases::end_step() {
  if (device_ == nullptr) return;
  change(nullptr);
  ++steps_;
}

void Phases::clear() {
  phases_.clear();
  current_ = none;
  steps_ = 0;
}

std::vector<Phases::Row> Phases::rows() const {
  if (steps_ == 0) return {};
  double all = 0;
  for (Phase const& phase : phases_) all += phase.seconds;
  std::vector<Row> rows;
  rows.reserve(phases_.size());
  for (auto const& [name, seconds] : phases_)
    rows.push_back(
        {name, 1000 * seconds / static_cast<double>(steps_), all > 0 ? seconds / all : 0});
  return rows;
}

std::string Phases::table() const {
  auto rows = this->rows();
  if (rows.empty()) return {};
  Row sum{"sum", 0, 0};
  for (Row const& row : rows) {
    sum.milliseconds += row.milliseconds;
    sum.share += row.share;
  }
  rows.push_back(sum);
  size_t width = 0;
  for (Row const& row : rows) width = std::max(width, row.phase.size());

  std::ostringstream text;
  auto const name_width = static_cast<int>(std::max(width, std::string("phase").size()));
  text << std::left << std::setw(name_width) << "phase"
       << "     ms/step   share\n"
       << std::fixed;
  for (auto const& [phase, milliseconds, share] : rows)
    text << std::left << std::setw(name_width) << phase << std::right << std::setw(12)
         << std::setprecision(3) << milliseconds << std::setw(6) << std::setprecision(1)
         << 100 * share << " %\n";
  return text.str();
}

}  // namespace train
