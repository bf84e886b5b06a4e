#pragma once
#include <string>

namespace train {

/// Parses a positive number with an optional decimal (k, M, G, T, P) or binary (Ki, Mi, Gi, Ti)
/// prefix and an optional unit: "141GB", "141GiB", "790T". `unit`: "B", or "" for none.
/// `name`: name of the option, for error messages.
/// Throws: ConfigError if the text has a different form or the number is not positive and finite.
double parse_quantity(std::string const& name, std::string const& text, std::string const& unit);

/// Formats a quantity with three or four digits and a decimal prefix up to P: "1.23 GB".
std::string written_quantity(double value, std::string const& unit);

}  // namespace train
