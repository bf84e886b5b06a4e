#include "tests/support/fake_cuda/nccl_faults.h"
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

namespace tests::fake_cuda {
namespace {

constexpr char const* variable = "COLONNADE_FAKE_NCCL";

Failure failure_of(std::string const& name) {
  static std::map<std::string, Failure> const failures{{"refused", Failure::refused},
                                                       {"reported", Failure::reported},
                                                       {"remote", Failure::remote},
                                                       {"hang", Failure::hang}};
  auto const found = failures.find(name);
  if (found == failures.end()) throw std::invalid_argument(std::string(variable) + ": way:" + name);
  return found->second;
}

struct Control {
  std::mutex mutex;
  Fault fault;
  int64_t calls = 0;
  std::optional<int> rank;
  std::chrono::milliseconds patience{10000};

  Control() {
    char const* const text = std::getenv(variable);
    std::istringstream settings(text == nullptr ? "" : text);
    for (std::string setting; std::getline(settings, setting, ',');) set(setting);
  }

  /// `setting`: "key:value".
  void set(std::string const& setting) {
    auto const colon = setting.find(':');
    auto const key = setting.substr(0, colon), value = setting.substr(colon + 1);
    if (key == "fail_at")
      fault.at = std::stoll(value);
    else if (key == "way")
      fault.way = failure_of(value);
    else if (key == "rank")
      fault.rank = std::stoi(value);
    else if (key == "after")
      fault.after = std::stoll(value);
    else if (key == "patience")
      patience = std::chrono::milliseconds(std::stoll(value));
    else
      throw std::invalid_argument(std::string(variable) + ": " + setting);
  }
};

Control& control() {
  static Control all;
  return all;
}

}  // namespace

void inject(Fault const& fault) {
  std::scoped_lock const lock(control().mutex);
  control().fault = fault;
}

int64_t collectives() {
  std::scoped_lock const lock(control().mutex);
  return control().calls;
}

void set_patience(std::chrono::milliseconds patience) {
  std::scoped_lock const lock(control().mutex);
  control().patience = patience;
}

std::chrono::milliseconds patience() {
  std::scoped_lock const lock(control().mutex);
  return control().patience;
}

void set_process_rank(int rank) {
  std::scoped_lock const lock(control().mutex);
  if (!control().rank) control().rank = rank;
}

std::optional<Fault> next_call() {
  std::scoped_lock const lock(control().mutex);
  Control& all = control();
  bool const fails =
      ++all.calls == all.fault.at && (all.fault.rank < 0 || all.fault.rank == all.rank);
  return fails ? std::optional(all.fault) : std::nullopt;
}

}  // namespace tests::fake_cuda
