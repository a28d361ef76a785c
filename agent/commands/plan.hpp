// Owns `agent plan`: what the next run would do and why each step is due. Changes nothing.
#pragma once

#include "agent/base/files.hpp"
#include "agent/graph/engine.hpp"
#include "agent/ports/account.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/command.hpp"
#include "agent/ports/front_control.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/ports/services.hpp"
#include "agent/settings.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <iosfwd>
#include <string>
#include <vector>

namespace agent {

struct PlanOptions {
    bool json = false;
    Colours colours = Colours::off; // of the diagnostics
};

struct PlanWorld {
    boost::asio::io_context& io;
    Root root;
    CommandRunner& commands;
    Accounts& accounts;
    ServiceManager& services;
    Clock& clock;
    MetadataSource& metadata;
    FrontControl& front_control;
};

// Must be root: the checks look where others may not. The exit code: 0 when a plan could be made,
// whatever it says; 1 when not, with the configuration's errors on `err`. Throws Stopped.
[[nodiscard]] boost::asio::awaitable<int>
plan_command(PlanOptions options, PlanWorld world, std::ostream& out, std::ostream& err);

struct Prospect {
    std::vector<Outlook> steps;
    std::vector<std::string> notes; // what the plan is to be read with, one sentence each
    std::string config_sha256;
};
// 80 columns; the last line counts.
[[nodiscard]] std::string render_plan(const Prospect& prospect);
// {"schema":1,"config_sha256":…,"notes":[…],"steps":[{"id","will","after","why"}]}; `will` is one
// of nothing, run, wait, fail; `after` is null unless it is wait.
[[nodiscard]] Value plan_value(const Prospect& prospect);

} // namespace agent
