#pragma once
#include <string>

namespace train {

/// A positive number with a prefix of the powers of ten (k, M, G, T, P) or of two (Ki, Mi, Gi, Ti)
/// and then `unit` or nothing: "141GB", "141GiB", "790T". `unit`: "B", or "" for none.
/// Throws ConfigError that begins with `name` and says what was expected.
double parse_quantity(std::string const& name, std::string const& text, std::string const& unit);

/// "1.23 GB": three or four digits, with the prefixes k to P.
std::string written_quantity(double value, std::string const& unit);

}  // namespace train
