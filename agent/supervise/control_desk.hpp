// Owns the answers to what people ask of the daemon: who may ask for what, and the hold with its
// file. What a retry comes to, the daemon knows.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/account.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/control.hpp"
#include "agent/ports/privileges.hpp"
#include "agent/supervise/hold.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string>

namespace agent {

class ControlDesk {
public:
    struct World {
        Root root;
        Accounts& accounts;
        Privileges& privileges;
        const Clock& clock;
        // The user that Jupyter runs as, who may hold the machine; empty: not known yet.
        std::function<std::string()> service_user;
        // Whoever asks has been allowed to; the step's name is not checked.
        std::function<ControlAnswer(const std::string& step)> retry;
        // The hold is another one now.
        std::function<void()> on_hold = [] {};
    };

    // Takes over the hold that an earlier daemon of this boot left.
    explicit ControlDesk(World world);
    // Root and sudoers may ask for anything; the service user may hold the machine, for less long.
    // Says in the journal who asked. Throws Stopped.
    boost::asio::awaitable<ControlAnswer> answer(ControlPeer peer, ControlRequest request);

    [[nodiscard]] const Hold& hold() const { return hold_; }

private:
    struct Asker {
        std::string name;
        std::chrono::hours longest_hold{0};
        bool may_act_as_root = false;
    };
    boost::asio::awaitable<Result<Asker>> identify(ControlPeer peer, const ControlRequest& request);
    ControlAnswer extend_hold(const Asker& asker, std::chrono::seconds duration);
    ControlAnswer release_hold();
    [[nodiscard]] Result<void> keep(const Hold& hold);

    World world_;
    Hold hold_;
};

// The hold as its file says it; none when there is no file. For whoever only shows it.
[[nodiscard]] Result<Hold> read_hold(const Root& root);

} // namespace agent
