#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace train {

/// What stands for the picture of a code point in each face: equal for equal pictures of a face, 0
/// where the face has none.
using Pictures = std::vector<uint64_t>;

/// Code points that at least `min_fonts` faces have, ascending. Of those that look the same in
/// every face that has both, the first alone is kept: nothing could tell them apart.
std::vector<uint32_t> choose_classes(std::map<uint32_t, Pictures> const& all, int min_fonts);

/// "一 U+4E00"
std::string code_point_name(uint32_t code_point);

}  // namespace train
