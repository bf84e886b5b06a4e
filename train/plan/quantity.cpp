#include "train/plan/quantity.h"
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>
#include "train/errors.h"

namespace train {
namespace {

constexpr std::array<std::pair<char const*, double>, 6> powers_of_ten{
    {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}}};
constexpr std::array<std::pair<char const*, double>, 4> powers_of_two{
    {{"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}}};

/// Factor of a suffix; 0 if it is not valid.
double factor_of(std::string const& suffix, std::string const& unit) {
  for (auto const& [prefix, factor] : powers_of_ten)
    if (suffix == prefix || suffix == prefix + unit) return factor;
  for (auto const& [prefix, factor] : powers_of_two)
    if (suffix == prefix || suffix == prefix + unit) return factor;
  return 0;
}

}  // namespace

double parse_quantity(std::string const& name, std::string const& text, std::string const& unit) {
  double number = 0;
  auto const* const end = text.data() + text.size();
  auto const [rest, error] = std::from_chars(text.data(), end, number);
  double const factor = factor_of({rest, end}, unit);
  double const value = number * factor;
  if (error != std::errc() || factor == 0 || !(value > 0) || !std::isfinite(value))
    throw ConfigError(core::join(name, ": '", text,
                                 "'; expected a positive number with k, M, G, T, P "
                                 "or Ki, Mi, Gi, Ti",
                                 unit.empty() ? "" : " and then " + unit, ": 141G", unit));
  return value;
}

std::string written_quantity(double value, std::string const& unit) {
  auto const* best = &powers_of_ten.front();
  for (auto const& power : powers_of_ten)
    if (value >= power.second) best = &power;
  std::array<char, 32> text{};
  double const shown = value / best->second;
  int const digits = shown >= 100 ? 0 : shown >= 10 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f ", digits, shown);
  return text.data() + (best->first + unit);
}

}  // namespace train
