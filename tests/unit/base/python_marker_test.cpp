#include "agent/base/python_marker.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <utility>

using namespace agent;

namespace {

const PythonFacts facts{"3.11.2", "x86_64"};

} // namespace

TEST_CASE("python_marker: a marker holds for this Python, or it does not", "[unit][base]") {
    const auto& [marker, holds] = GENERATE(table<std::string, bool>({
        {"python_version < '3.9'", false},
        {"python_version < '3.12'", true}, // numbers, not texts
        {"python_version >= \"3.11\"", true},
        {"python_version == '3.11'", true},
        {"python_version == '3.*'", true},
        {"python_version != '3.11.*'", false},
        {"python_full_version > '3.11'", true},
        {"python_full_version == '3.11.2'", true},
        {"'3.9' <= python_version", true},
        {"sys_platform == 'win32'", false},
        {"sys_platform != 'win32' and python_version > '3'", true},
        {"os_name == 'nt' or platform_system == 'Linux'", true},
        {"os_name == 'nt' or os_name == 'java' and os_name == 'posix'", false},
        {"(os_name == 'nt' or os_name == 'posix') and (python_version > '3')", true},
        {"platform_machine in 'x86_64 AMD64'", true},
        {"platform_machine not in 'x86_64 AMD64'", false},
        {"implementation_name=='cpython'", true},
        {"platform_python_implementation == 'PyPy'", false},
    }));
    CAPTURE(marker);
    CHECK(marker_holds(marker, facts) == holds);
}

TEST_CASE("python_marker: what is no marker is not guessed at", "[unit][base]") {
    const std::string marker = GENERATE(as<std::string>{},
                                        "",
                                        "python_version",
                                        "python_version <",
                                        "python_version < 3.9",
                                        "python_version < '3.9",
                                        "python_version < 'three'",
                                        "python_version ~= '3.9'",
                                        "python_version > '3.9.*'",
                                        "'3' < '4'",
                                        "os_name == sys_platform",
                                        "sys_platform > 'linux'",
                                        "extra == 'test'",
                                        "platform_release > '6'",
                                        "python_version > '3' and",
                                        "python_version > '3' python_version > '3'",
                                        "(python_version > '3'",
                                        "python_version > '3')",
                                        "python_version not '3'",
                                        "orpython_version > '3'");
    CAPTURE(marker);
    CHECK_FALSE(marker_holds(marker, facts).has_value());
}

TEST_CASE("python_marker: brackets without end are no reason to run out of stack", "[unit][base]") {
    CHECK_FALSE(marker_holds(std::string(100'000, '('), facts).has_value());
}

TEST_CASE("python_marker: a requirement parts at its semicolon", "[unit][base]") {
    using Parts = std::pair<std::string_view, std::string_view>;
    CHECK(split_marker(" numpy>=1 ; os_name=='posix' ") == Parts{"numpy>=1", "os_name=='posix'"});
    CHECK(split_marker("numpy") == Parts{"numpy", ""});
}
