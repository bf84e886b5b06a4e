#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace train {

/// Hash of the picture of a code point in each face: equal for equal pictures; 0 if the face does
/// not have the code point.
using Pictures = std::vector<uint64_t>;

/// Returns the code points that at least `min_fonts` faces have, in ascending order. Of code points
/// that look the same in every face that has both, only the first is kept, since no classifier
/// could distinguish them.
std::vector<uint32_t> choose_classes(std::map<uint32_t, Pictures> const& all, int min_fonts);

/// Display name of a code point, such as "一 U+4E00".
std::string code_point_name(uint32_t code_point);

}  // namespace train
