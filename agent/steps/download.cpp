#include "agent/steps/download.hpp"

#include "agent/base/file_system.hpp"
#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/download.hpp"

#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto longest = 24h; // the step's own deadline comes first

struct Places {
    std::filesystem::path destination;
    std::filesystem::path incoming; // the fetching user's
};

Places places_of(const Root& root, const Wish& wish) {
    const auto destination = root / wish.destination.string();
    return {destination,
            destination.parent_path() / ("." + destination.filename().string() + ".incoming")};
}

// An existing one keeps its mode: it may be closed to others for a reason.
Result<void> prepare_home(const std::filesystem::path& home) {
    struct stat status{};
    if (::lstat(home.c_str(), &status) != 0)
        return ensure_directory(home, {.mode = 0755});
    if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return permanent(home.string() + " is no directory that only root writes");
    return {};
}

// What an earlier attempt of another user left is of no use to this one.
Result<void> prepare(const Places& places, const Wish& wish) {
    if (auto made = prepare_home(places.destination.parent_path()); !made)
        return made;
    struct stat status{};
    if (::lstat(places.incoming.c_str(), &status) == 0 &&
        (!S_ISDIR(status.st_mode) || status.st_uid != wish.as.uid)) {
        std::error_code failure;
        std::filesystem::remove_all(places.incoming, failure);
        if (failure)
            return system_error("removing " + places.incoming.string(), failure.value());
    }
    return ensure_directory(places.incoming,
                            {.mode = 0700, .owner = wish.as.uid, .group = wish.as.gid});
}

// Before a byte is fetched, when the size is known: the worker asks for the first of the two
// itself.
Result<void> room_for_two(const Places& places, const Wish& wish) {
    if (!wish.size)
        return {};
    const auto found = file_system_of(places.destination);
    if (!found)
        return found.error();
    if (found->free_bytes >= 2 * *wish.size)
        return {};
    return permanent("it needs " + shown_bytes(2 * *wish.size) + " at " +
                         places.destination.parent_path().string() +
                         " (the file, and its copy as " + "it is taken over), " +
                         shown_bytes(found->free_bytes) + " are free",
                     "free disk space or grow the disk (df -h), then `agent retry`");
}

// What a worker's lines come to; it outlives the command that fills it.
struct Said {
    std::optional<DownloadOutcome> outcome;
};

enum class Runs { as_root, as_user };

boost::asio::awaitable<Result<DownloadOutcome>>
run_worker(StepContext& context, std::string verb, std::string order, const Wish& wish, Runs runs) {
    const auto said = std::make_shared<Said>();
    Command command;
    command.argv = {"/proc/self/exe", "worker", std::move(verb)};
    command.input = std::move(order);
    command.deadline = longest;
    if (runs == Runs::as_user)
        command.as = wish.as;
    command.on_line = [said, &context, &wish](std::string_view line) {
        auto read = read_line(line);
        if (!read)
            context.log(printable(line));
        else if (const auto* progress = std::get_if<DownloadProgress>(&*read))
            context.progress("fetching " + wish.what + ": " + shown(*progress));
        else if (const auto* note = std::get_if<DownloadNote>(&*read))
            context.log(printable(note->text, 900));
        else
            said->outcome = std::get<DownloadOutcome>(std::move(*read));
    };
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    // Killed and out of memory may pass; what is there is gone on with.
    auto ended = require_success(std::move(*outcome), ErrorKind::transient);
    if (!ended)
        co_return ended.error();
    if (!said->outcome)
        co_return transient("the worker ended without a word");
    if (said->outcome->error)
        co_return *said->outcome->error;
    co_return *said->outcome;
}

boost::asio::awaitable<Result<bool>>
is_there(StepContext& context, const Places& places, const Wish& wish) {
    struct stat status{};
    if (::lstat(places.destination.c_str(), &status) != 0)
        co_return false;
    AdoptOrder order;
    order.to = places.destination;
    order.sha256 = wish.sha256;
    order.size = static_cast<std::uint64_t>(status.st_size);
    auto looked = co_await run_worker(context, "adopt", write_order(order), wish, Runs::as_root);
    if (!looked && looked.error().kind == ErrorKind::transient)
        co_return looked.error();
    if (!looked)
        context.log(printable("what is there is fetched anew: " + looked.error().message, 900));
    co_return looked.has_value();
}

boost::asio::awaitable<Result<void>>
fetch_and_adopt(StepContext& context, const Places& places, const Wish& wish) {
    if (auto prepared = prepare(places, wish); !prepared)
        co_return prepared.error();
    if (auto room = room_for_two(places, wish); !room)
        co_return room.error();
    DownloadOrder order;
    order.url = wish.url;
    order.sha256 = wish.sha256;
    order.size = wish.size;
    order.directory = places.incoming;
    order.name = "file";
    order.proxy = wish.network.proxy;
    order.no_proxy = wish.network.no_proxy;
    order.ca_certificates = wish.network.ca_certificates;
    context.progress("fetching " + wish.what);
    auto fetched = co_await run_worker(context, "fetch", write_order(order), wish, Runs::as_user);
    if (!fetched)
        co_return fetched.error();
    context.progress("verifying " + wish.what);
    AdoptOrder adoption;
    adoption.from = places.incoming / order.name;
    adoption.to = places.destination;
    adoption.sha256 = wish.sha256;
    adoption.size = fetched->size;
    adoption.mode = wish.mode;
    auto adopted =
        co_await run_worker(context, "adopt", write_order(adoption), wish, Runs::as_root);
    if (!adopted)
        co_return adopted.error();
    std::error_code ignored; // it is replaced by the next fetch
    std::filesystem::remove_all(places.incoming, ignored);
    co_return Result<void>{};
}

} // namespace

boost::asio::awaitable<Result<void>>
fetch(StepContext& context, const StepPorts& ports, Wish wish) {
    const Places places = places_of(ports.root, wish);
    if (wish.as.uid == 0)
        co_return permanent("fetching " + wish.what + ": nothing is fetched as root");
    auto found = co_await is_there(context, places, wish);
    if (!found)
        co_return agent::context(found.error(), "looking for " + wish.what);
    if (*found)
        co_return Result<void>{};
    auto fetched = co_await fetch_and_adopt(context, places, wish);
    if (!fetched)
        co_return agent::context(fetched.error(), "fetching " + wish.what);
    co_return Result<void>{};
}

} // namespace agent
