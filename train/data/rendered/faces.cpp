#include "train/data/rendered/faces.h"
#include <filesystem>
#include <map>
#include "train/data/rendered/font.h"
#include "train/errors.h"

namespace train {

std::vector<Face> find_files(std::vector<Face> faces) {
  for (Face& face : faces) face.path = std::filesystem::canonical(find_font(face.path));
  return faces;
}

void check_lineages(std::string const& section, std::vector<Face> const& train,
                    std::vector<Face> const& test) {
  std::map<std::string, std::string> trained;  // name of the training font, by file and family
  for (Face const& face : train) {
    trained.emplace(face.path, face.name);
    trained.emplace(Font(face.path, face.index).family(), face.name);
  }
  for (Face const& face : test)
    for (std::string const& key : {face.path, Font(face.path, face.index).family()})
      if (auto const found = trained.find(key); !key.empty() && found != trained.end())
        throw ConfigError(core::join(section, ": test font '", face.name, "' is related to ",
                                     "training font '", found->second, "': both are ", key));
}

}  // namespace train
