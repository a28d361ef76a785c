#include "agent/steps/conda_spec.hpp"

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <string>
#include <vector>

using namespace agent;

TEST_CASE("conda spec: its package is told without channel and versions", "[unit][steps]") {
    CHECK(conda_name("numpy") == "numpy");
    CHECK(conda_name("NumPy=1.26") == "numpy");
    CHECK(conda_name("conda-forge::gdal>=3.8,<4") == "gdal");
    CHECK(conda_name("python!=3.12") == "python");
}

TEST_CASE("conda spec: a pin is met by its version alone, a range by any", "[unit][steps]") {
    struct Row {
        const char* spec;
        bool met;
    };
    const std::map<std::string, std::string> there{{"numpy", "1.26.4"}};
    for (const auto& [spec, met] : {Row{"numpy", true},
                                    Row{"conda-forge::numpy", true},
                                    Row{"numpy=1.26", true},
                                    Row{"numpy=1.26.4", true},
                                    Row{"numpy=1.26.*", true},
                                    Row{"numpy=1.26.4=py312h1", true},
                                    Row{"numpy==1.26.4", true},
                                    Row{"numpy==1.26.*", true},
                                    Row{"numpy==1.26", false},
                                    Row{"numpy=1.2", false},
                                    Row{"numpy=1.25", false},
                                    Row{"numpy=1.26|1.25", true},
                                    Row{"numpy>=2", true},
                                    Row{"scipy", false}}) {
        CAPTURE(spec);
        CHECK(unmet_conda_specs({spec}, there).empty() == met);
    }
}
