#include "agent/steps/uv_tool.hpp"

#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* version = "0.13.9";
#if defined(__x86_64__)
constexpr const char* wheel_name =
    "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
constexpr const char* wheel_sha256 =
    "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19";
#elif defined(__aarch64__)
constexpr const char* wheel_name = "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl";
constexpr const char* wheel_sha256 =
    "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375";
#else
#error "no uv is pinned for this architecture"
#endif
constexpr std::size_t wheel_limit = 64 << 20;

struct Places {
    std::filesystem::path incoming; // the user's, for what comes from the network
    std::filesystem::path wheel;    // root's copy of it
    std::filesystem::path unpacked; // root's, before it is complete
    std::filesystem::path home;     // tools/uv-VERSION: complete whenever it exists
};

// Steps that run side by side fetch side by side; whoever is first puts it into place.
Places places_in(const Root& root, const std::string& step) {
    const auto tools = root / layout::tools;
    return {tools / ("incoming-" + step),
            tools / (".uv-" + step + ".whl"),
            tools / (".uv-unpacked-" + step),
            tools / (std::string{"uv-"} + version)};
}

void clean_up(const Places& places) {
    std::error_code failure;
    std::filesystem::remove_all(places.incoming, failure);
    std::filesystem::remove_all(places.unpacked, failure);
    std::filesystem::remove(places.wheel, failure);
}

Result<void> prepare(const Places& places, const Account& user) {
    clean_up(places);
    if (auto made = ensure_directory(places.home.parent_path(), {.mode = 0755}); !made)
        return made;
    return ensure_directory(places.incoming, {.mode = 0700, .owner = user.uid, .group = user.gid});
}

boost::asio::awaitable<Result<void>> download(StepContext& context,
                                              const Places& places,
                                              Account user,
                                              std::filesystem::path prefix,
                                              std::string index_url,
                                              Network network) {
    Command command;
    command.argv = {(prefix / "bin/python").string(),
                    "-I",
                    "-m",
                    "pip",
                    "download",
                    "--disable-pip-version-check",
                    "--no-input",
                    "--progress-bar=off",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--dest",
                    places.incoming.string()};
    if (!index_url.empty())
        command.argv.push_back("--index-url=" + index_url);
    command.argv.push_back(std::string{"uv=="} + version);
    command.environment = fetching_environment(network);
    command.environment["TMPDIR"] = places.incoming.string();
    command.as = std::move(user);
    command.deadline = 3min;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto fetched = require_success(std::move(*outcome));
    if (!fetched)
        co_return agent::context(fetched.error(), "fetching uv from the package index");
    co_return Result<void>{};
}

Result<void> verify(const Places& places) {
    if (auto copied = copy_untrusted(places.incoming / wheel_name, places.wheel, wheel_limit);
        !copied)
        return context(copied.error(), "taking over uv");
    const UniqueFd fd{::open(places.wheel.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd)
        return system_error("reading uv's wheel", errno);
    const auto digest = sha256_hex_of_fd(fd.get());
    if (!digest)
        return digest.error();
    if (*digest != wheel_sha256)
        return permanent(std::string{"the uv that the package index sent has SHA-256 "} + *digest +
                         ", expected " + wheel_sha256);
    return {};
}

boost::asio::awaitable<Result<void>> unpack(StepContext& context, const Places& places) {
    Command command;
    command.argv = {"/usr/bin/python3",
                    "-I",
                    "-m",
                    "zipfile",
                    "--extract",
                    places.wheel.string(),
                    places.unpacked.string()};
    command.deadline = 2min;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto unpacked = require_success(std::move(*outcome));
    if (!unpacked)
        co_return agent::context(unpacked.error(), "unpacking uv");
    const auto scripts = places.unpacked / (std::string{"uv-"} + version + ".data") / "scripts";
    if (::chmod((scripts / "uv").c_str(), 0755) != 0 || ::chmod(scripts.c_str(), 0755) != 0)
        co_return system_error("unpacking uv", errno);
    if (auto synced = sync_file(scripts / "uv"); !synced)
        co_return synced;
    if (::access((places.home / "uv").c_str(), X_OK) == 0)
        co_return Result<void>{};
    std::error_code failure;
    std::filesystem::remove_all(places.home, failure);
    std::filesystem::rename(scripts, places.home, failure);
    if (failure)
        co_return system_error("putting uv into place", failure.value());
    co_return Result<void>{};
}

bool has_credentials(std::string_view url) {
    const auto scheme = url.find("://");
    if (scheme == std::string_view::npos)
        return false;
    const auto rest = url.substr(scheme + 3);
    return rest.substr(0, rest.find('/')).find('@') != std::string_view::npos;
}

} // namespace

boost::asio::awaitable<Result<std::filesystem::path>> provide_uv(StepContext& context,
                                                                 const StepPorts& ports,
                                                                 std::string step,
                                                                 Account user,
                                                                 std::filesystem::path prefix,
                                                                 std::string index_url,
                                                                 Network network) {
    const Places places = places_in(ports.root, step);
    const auto uv = places.home / "uv";
    if (::access(uv.c_str(), X_OK) == 0)
        co_return uv;
    context.progress("fetching uv");
    auto fetched = prepare(places, user);
    if (fetched)
        fetched = co_await download(context, places, user, prefix, index_url, network);
    if (fetched)
        fetched = verify(places);
    if (fetched)
        fetched = co_await unpack(context, places);
    clean_up(places);
    if (!fetched)
        co_return fetched.error();
    co_return uv;
}

Result<std::map<std::string, std::string>> uv_environment(std::string_view pip_config) {
    struct Variable {
        const char* name;
        const char* separator; // of several values
    };
    // pip's key (after the section) → uv's variable
    const std::map<std::string, Variable> variables{{"index-url", {"UV_DEFAULT_INDEX", " "}},
                                                    {"extra-index-url", {"UV_INDEX", " "}},
                                                    {"find-links", {"UV_FIND_LINKS", ","}}};
    std::map<std::string, std::string> environment;
    for (const auto& line : split(pip_config, '\n')) {
        const auto equals = line.find('=');
        const auto dot = line.find('.');
        if (equals == std::string::npos || dot == std::string::npos || dot > equals)
            continue;
        const auto variable = variables.find(line.substr(dot + 1, equals - dot - 1));
        if (variable == variables.end())
            continue;
        std::string value{trim(std::string_view{line}.substr(equals + 1))};
        if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"'))
            value = value.substr(1, value.size() - 2);
        // pip separates several by newlines, which `pip config list` prints as \n.
        for (auto at = value.find("\\n"); at != std::string::npos; at = value.find("\\n"))
            value.replace(at, 2, " ");
        std::vector<std::string> places = split(value, ' ');
        std::erase(places, std::string{});
        if (std::any_of(places.begin(), places.end(), has_credentials))
            return permanent("pip's configuration names an index with credentials in its URL");
        if (!places.empty())
            environment[variable->second.name] = join(places, variable->second.separator);
    }
    return environment;
}

} // namespace agent
