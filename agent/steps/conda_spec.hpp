// Owns what steps know of conda's specs ("numpy=1.26", "conda-forge::gdal>=3.8"): which package one
// is about, and whether what is there visibly meets it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// Lower case, without its channel.
[[nodiscard]] std::string conda_name(std::string_view spec);

// Those of `specs` that these packages (name → version) do not visibly meet: the package is absent,
// or a pin (= or ==) names another version. Ranges are met by any version: only a resolver can
// tell.
[[nodiscard]] std::vector<std::string>
unmet_conda_specs(const std::vector<std::string>& specs,
                  const std::map<std::string, std::string>& packages);

} // namespace agent
