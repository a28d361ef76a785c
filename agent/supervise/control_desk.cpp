#include "agent/supervise/control_desk.hpp"

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

#include <utility>

namespace agent {
namespace {

namespace asio = boost::asio;
using Outcome = ControlAnswer::Outcome;
using Verb = ControlRequest::Verb;

std::string asked_for(const ControlRequest& request) {
    switch (request.verb) {
    case Verb::retry:
        return "a retry" + (request.step.empty() ? "" : " of " + printable(request.step, 80));
    case Verb::hold:
        return "a hold of " + std::to_string(request.duration.count()) + " s";
    case Verb::release:
        break;
    }
    return "the release of the hold";
}

std::string command_of(const ControlRequest& request) {
    switch (request.verb) {
    case Verb::retry:
        return "retry";
    case Verb::hold:
        return "hold";
    case Verb::release:
        break;
    }
    return "release";
}

} // namespace

ControlDesk::ControlDesk(World world) : world_{std::move(world)} {
    auto left = read_hold(world_.root);
    if (left)
        hold_ = std::move(*left);
    else
        log::warning(left.error().message);
}

asio::awaitable<ControlAnswer> ControlDesk::answer(ControlPeer peer, ControlRequest request) {
    const auto asker = co_await identify(peer, request);
    if (!asker) {
        log::warning(asker.error().message);
        co_return ControlAnswer{Outcome::failed,
                                asker.error().message + "; use `sudo agent " + command_of(request) +
                                    "`"};
    }
    const bool allowed =
        asker->may_act_as_root || (request.verb == Verb::hold && asker->longest_hold.count() > 0);
    log::notice(asker->name + " asked for " + asked_for(request) + (allowed ? "" : ": refused"));
    if (!allowed)
        co_return ControlAnswer{Outcome::forbidden,
                                asker->name + " is neither root nor a sudoer; use `sudo agent " +
                                    command_of(request) + "`"};
    switch (request.verb) {
    case Verb::retry:
        co_return world_.retry(request.step);
    case Verb::hold:
        co_return extend_hold(*asker, request.duration);
    case Verb::release:
        break;
    }
    co_return release_hold();
}

asio::awaitable<Result<ControlDesk::Asker>> ControlDesk::identify(ControlPeer peer,
                                                                  const ControlRequest& request) {
    if (peer.uid == 0)
        co_return Asker{"root", Hold::longest, true};
    const std::string uid = std::to_string(peer.uid);
    auto account = co_await world_.accounts.find(uid);
    if (!account)
        co_return context(account.error(), "finding out who asks");
    if (!*account || (*account)->uid != peer.uid)
        co_return Asker{"user " + uid};
    Asker asker{(*account)->name};
    if (asker.name == world_.service_user()) {
        asker.longest_hold = Hold::longest_of_service_user;
        if (request.verb == Verb::hold && request.duration <= asker.longest_hold)
            co_return asker;
    }
    const auto sudoer = co_await world_.privileges.is_sudoer(std::move(**account));
    if (!sudoer)
        co_return context(sudoer.error(), "finding out what " + asker.name + " may do");
    if (*sudoer)
        asker = {asker.name, Hold::longest, true};
    co_return asker;
}

ControlAnswer ControlDesk::extend_hold(const Asker& asker, std::chrono::seconds duration) {
    if (duration > asker.longest_hold)
        return {Outcome::invalid,
                asker.name + " may hold the machine for at most " +
                    std::to_string(asker.longest_hold.count()) + " h at a time"};
    const Hold::Now now{world_.clock.since_boot(), world_.clock.wall()};
    Hold extended = hold_;
    const bool longer = extended.extend(now, duration, asker.name);
    if (longer) {
        if (auto kept = keep(extended); !kept)
            return {Outcome::failed, kept.error().message};
        hold_ = std::move(extended);
        world_.on_hold();
    }
    const auto term = hold_.at(now.since_boot);
    return {Outcome::accepted,
            (longer ? "held up until " : "held up longer already, until ") +
                clock_face(term->shown, now.wall) + " by " + term->by};
}

ControlAnswer ControlDesk::release_hold() {
    Hold released = hold_;
    const bool held = released.release(world_.clock.since_boot());
    if (auto removed = remove_file(world_.root / layout::hold_file); !removed)
        return {Outcome::failed, removed.error().message};
    hold_ = std::move(released);
    world_.on_hold();
    return {Outcome::accepted,
            held ? "released: nothing keeps the machine up now" : "nobody held the machine"};
}

Result<void> ControlDesk::keep(const Hold& hold) {
    auto written = durable_write(world_.root / layout::hold_file,
                                 write_json(hold.to_value()) + "\n",
                                 {.mode = 0644},
                                 Durability::ephemeral);
    return written ? written : context(written.error(), "recording the hold");
}

Result<Hold> read_hold(const Root& root) {
    const auto text =
        read_file(root / layout::hold_file, control_message_limit, Writers::ourselves);
    if (!text)
        return context(text.error(), "reading the hold");
    if (!*text)
        return Hold{};
    const auto value = parse_json(**text);
    if (!value)
        return context(value.error(), "reading the hold");
    auto hold = Hold::from_value(*value);
    return hold ? hold : context(hold.error(), "reading the hold");
}

} // namespace agent
