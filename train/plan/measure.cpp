#include "train/plan/measure.h"
#include <algorithm>
#include <fstream>
#include <sstream>
#include "core/device.h"
#include "train/errors.h"

namespace train {
namespace {

constexpr char const* status = "/proc/self/status";

/// Bytes of a line such as "VmHWM:   123456 kB".
double bytes_of(std::string const& text, std::string const& key) {
  auto const found = text.find("\n" + key + ":");
  double kilobytes = 0;
  if (found == std::string::npos ||
      !(std::istringstream(text.substr(found + key.size() + 2)) >> kilobytes))
    throw IoError(
        core::join(status, " has no line ", key, ": cannot measure memory on this system"));
  return 1024 * kilobytes;
}

}  // namespace

ProcessMemory process_memory() {
  std::ifstream file(status);
  std::string const text{std::istreambuf_iterator<char>(file), {}};
  return {bytes_of(text, "VmRSS"), bytes_of(text, "VmHWM")};
}

double over_ranks(double mine, comm::Reduce how, core::Device& device, comm::Communicator& ranks) {
  auto number = core::scalar(device, mine);
  ranks.all_reduce(number, how)->wait();
  device.download(number, &mine);
  return mine;
}

double median(std::vector<double> numbers) {
  core::check(!numbers.empty(), "median of an empty list");
  auto const middle = numbers.begin() + std::ssize(numbers) / 2;
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

}  // namespace train
