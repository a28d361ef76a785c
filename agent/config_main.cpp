#include "agent/config_main.hpp"

#include "agent/base/files.hpp"
#include "agent/base/stop.hpp"
#include "agent/host/gce_metadata.hpp"
#include "agent/host/http_client.hpp"
#include "agent/main_loop.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <stop_token>

#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr int needs_root = 77; // EX_NOPERM
constexpr int interrupted = 130;
constexpr auto metadata_deadline = 2s; // a person waits

boost::asio::awaitable<int> ask(MetadataSource& metadata, Result<MachineFacts>& facts) {
    try {
        facts = co_await metadata.read();
    } catch (const Stopped&) {
        co_return interrupted;
    }
    co_return 0;
}

} // namespace

Result<int> config_main(const ConfigOptions& options) {
    if (::geteuid() != 0) {
        std::cerr << "agent: `agent config` reads what only root may: use sudo\n";
        return needs_root;
    }
    const char* host = std::getenv("GCE_METADATA_HOST");
    const auto endpoint =
        metadata_endpoint(host ? std::string_view{host} : GceMetadata::standard_address);
    if (!endpoint)
        return context(endpoint.error(), "reading GCE_METADATA_HOST");
    boost::asio::io_context io{1};
    std::stop_source stop;
    BeastHttpClient http{io, stop.get_token()};
    GceMetadata metadata{http, *endpoint, metadata_deadline};
    Result<MachineFacts> facts = transient("not asked");
    if (const int status = run_main_loop(io, stop, ask(metadata, facts)); status != 0)
        return status;
    if (!facts)
        std::cerr << "agent: without the instance's metadata, for the files alone: "
                  << facts.error().message << "\n";
    return config_command(
        gather_sources(Root{}, facts ? &*facts : nullptr), options, std::cout, std::cerr);
}

} // namespace agent
