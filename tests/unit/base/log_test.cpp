#include "agent/base/log.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>

using namespace agent;

TEST_CASE("log: an event's entry has one field a line, whatever is in it", "[unit][base]") {
    const std::string entry =
        log::journal_entry(log::Priority::error, "a\nPRIORITY=0\033", "{\"a\":\n1}");
    CHECK(entry ==
          "SYSLOG_IDENTIFIER=agent\nPRIORITY=3\nMESSAGE_ID=" + std::string{log::event_message_id} +
              "\nMESSAGE=a PRIORITY=0?\nAGENT_EVENT={\"a\": 1}\n");
}
