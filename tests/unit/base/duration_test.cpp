#include "agent/base/duration.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <optional>
#include <string>

using namespace agent;
using namespace std::chrono_literals;

TEST_CASE("duration: one is a number and its unit", "[unit][base]") {
    struct Row {
        std::string text;
        std::optional<std::chrono::milliseconds> duration;
    };
    const auto row = GENERATE(Row{"0s", 0ms},
                              Row{"1500ms", 1500ms},
                              Row{"90s", 90s},
                              Row{"10m", 10min},
                              Row{"2h", 2h},
                              Row{"31536000h", 31'536'000h},
                              Row{"", {}},
                              Row{"s", {}},
                              Row{"10", {}},
                              Row{"10 s", {}},
                              Row{" 10s", {}},
                              Row{"10sec", {}},
                              Row{"10d", {}},
                              Row{"1.5h", {}},
                              Row{"-1s", {}},
                              Row{"+1s", {}},
                              Row{"1h30m", {}},
                              Row{"31536001s", {}},
                              Row{"99999999999999999999s", {}});
    CHECK(parse_duration(row.text) == row.duration);
}

TEST_CASE("duration: it is written in the largest unit of which there are two", "[unit][base]") {
    struct Row {
        std::chrono::seconds duration;
        std::string written;
        std::string said;
    };
    const auto row = GENERATE(Row{0s, "0s", "0 s"},
                              Row{60s, "60s", "60 s"},
                              Row{90s, "90s", "90 s"},
                              Row{2min, "2m", "2 min"},
                              Row{60min, "60m", "60 min"},
                              Row{90min, "90m", "90 min"},
                              Row{2h, "2h", "2 h"},
                              Row{24h, "24h", "24 h"},
                              Row{2h + 1s, "7201s", "7201 s"});
    CHECK(short_duration(row.duration) == row.written);
    CHECK(in_units(row.duration) == row.said);
    CHECK(parse_duration(row.written) == row.duration);
}
