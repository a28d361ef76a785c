#include "agent/steps/environment.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <vector>

using namespace agent;

TEST_CASE("environment: names are compared as PEP 503 says", "[unit][steps]") {
    struct Row {
        std::string written;
        std::string normal;
    };
    const auto row = GENERATE(Row{"pandas", "pandas"},
                              Row{"scikit-learn", "scikit-learn"},
                              Row{"Scikit_Learn", "scikit-learn"},
                              Row{"ruamel.yaml", "ruamel-yaml"},
                              Row{"a-_.-b", "a-b"},
                              Row{"PyYAML", "pyyaml"},
                              Row{"", ""});
    CHECK(normalised_name(row.written) == row.normal);
}

TEST_CASE("environment: a requirement is about the name before extras and versions",
          "[unit][steps]") {
    struct Row {
        std::string requirement;
        std::string name;
    };
    const auto row = GENERATE(Row{"pandas", "pandas"},
                              Row{" pandas ", "pandas"},
                              Row{"pandas==2.0", "pandas"},
                              Row{"pandas >= 2.0, < 3", "pandas"},
                              Row{"Scikit.Learn[alldeps,tests]~=1.2", "scikit-learn"},
                              Row{"dask [complete]", "dask"},
                              Row{"x!=1", "x"},
                              Row{"x<1", "x"},
                              Row{"x>1", "x"},
                              Row{"x===1", "x"},
                              Row{"x (>=1)", "x"});
    CHECK(required_name(row.requirement) == row.name);
}

TEST_CASE("environment: what is not visibly met is unmet", "[unit][steps]") {
    struct Row {
        std::string requirement;
        std::string installed; // empty: not at all
        bool met;
    };
    const auto row = GENERATE(Row{"numpy", "1.26.4", true},
                              Row{"numpy", "", false},
                              Row{"NumPy", "1.26.4", true},
                              Row{"numpy==1.26.4", "1.26.4", true},
                              Row{"numpy == 1.26.4", "1.26.4", true},
                              Row{"numpy[x]==1.26.4", "1.26.4", true},
                              Row{"numpy==1.26.3", "1.26.4", false},
                              Row{"numpy==1.26.3", "", false},
                              Row{"numpy>=9", "1.26.4", true}, // only a resolver can tell
                              Row{"numpy==1.25.*", "1.26.4", true},
                              Row{"numpy==1.26.4,<2", "1.26.4", true},
                              Row{"numpy===1.26.4", "1.26.4", true},
                              Row{"numpy!=1.26.4", "1.26.4", true});
    Environment environment;
    environment.packages["other"] = "1";
    if (!row.installed.empty())
        environment.packages["numpy"] = row.installed;
    INFO(row.requirement << " with " << row.installed);
    CHECK(unmet({row.requirement}, environment).empty() == row.met);
}

TEST_CASE("environment: a pin is the version however it is written", "[unit][steps]") {
    struct Row {
        std::string pin;
        std::string installed;
        bool met;
    };
    const auto row = GENERATE(Row{"2.0", "2.0.0", true}, // PEP 440: missing parts are 0
                              Row{"2.0.0.0", "2.0", true},
                              Row{"2", "2.0.1", false},
                              Row{"2.10", "2.1", false},
                              Row{"20", "2.0", false},
                              Row{"0", "0.0.0", true},
                              Row{"v1.2", "1.2", true},
                              Row{"01.2", "1.2", true},
                              Row{"1.0RC1", "1.0rc1", true},
                              Row{"1.0-rc.1", "1.0rc1", true},
                              Row{"1.0.0.rc1", "1.0rc1", true},
                              Row{"1.0alpha2", "1.0a2", true},
                              Row{"1.0.beta", "1.0b0", true},
                              Row{"1.0c1", "1.0rc1", true},
                              Row{"1.0rc1", "1.0", false},
                              Row{"1.0", "1.0rc1", false},
                              Row{"1.0.post1", "1.0.post1", true},
                              Row{"1.0-1", "1.0.post1", true},
                              Row{"1.0", "1.0.post1", false},
                              Row{"1.0.dev3", "1.0.dev3", true},
                              Row{"1.0", "1.0.dev3", false},
                              Row{"2.1.0", "2.1.0+cpu", true}, // no local part asked for
                              Row{"2.1.0+cpu", "2.1.0+cpu", true},
                              Row{"2.1.0+cpu", "2.1.0+cu121", false},
                              Row{"2.1.0+cpu", "2.1.0", false},
                              Row{"1!1.0", "1!1.0", true},
                              Row{"1.0", "1!1.0", false});
    Environment environment;
    environment.packages["torch"] = row.installed;
    INFO(row.pin << " with " << row.installed);
    CHECK(unmet({"torch==" + row.pin}, environment).empty() == row.met);
}

TEST_CASE("environment: what is unmet is named as it was written, in its order", "[unit][steps]") {
    Environment environment;
    environment.packages = {{"b", "1"}};
    CHECK(unmet({"Z_z>=1", "B==1", "B==2", "a"}, environment) ==
          std::vector<std::string>{"Z_z>=1", "B==2", "a"});
}

TEST_CASE("environment: a requirement is asked for where its marker holds", "[unit][steps]") {
    Environment environment;
    environment.python = "3.9.2";
    environment.packages["numpy"] = "1.26.4";
    const std::vector<std::string> asked{"numpy==1.20; python_version < '3.9'",
                                         "numpy==1.26.4; python_version == '3.9'",
                                         "pywin32; sys_platform == 'win32'",
                                         "uvloop; sys_platform == 'linux'"};
    CHECK(unmet(asked, environment) == std::vector<std::string>{"uvloop; sys_platform == 'linux'"});
    environment.python.clear(); // it cannot be told
    CHECK(unmet({"x1; python_version < '3.9'"}, environment).empty());
}
