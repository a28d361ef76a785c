// Owns the life of the process behind agent.service: learn → converge → watch, and the last word
// when it is asked to stop. Composes what the rooms give; decides nothing that a step or a policy
// decides.
#pragma once

#include "agent/base/files.hpp"
#include "agent/base/log.hpp"
#include "agent/graph/engine.hpp"
#include "agent/ports/account.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/command.hpp"
#include "agent/ports/control.hpp"
#include "agent/ports/front_control.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/ports/notify.hpp"
#include "agent/ports/privileges.hpp"
#include "agent/ports/services.hpp"
#include "agent/ports/terminals.hpp"
#include "agent/report/console.hpp"
#include "agent/report/guest_attribute_writer.hpp"
#include "agent/report/status.hpp"
#include "agent/report/status_file.hpp"
#include "agent/report/step_log.hpp"
#include "agent/report/timeline_events.hpp"
#include "agent/settings.hpp"
#include "agent/steps/account_memory.hpp"
#include "agent/steps/step_ports.hpp"
#include "agent/supervise/control_desk.hpp"
#include "agent/supervise/limit_keeper.hpp"
#include "agent/supervise/retry_schedule.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace agent {

class Daemon {
public:
    // References to what main owns; they outlive run().
    struct World {
        boost::asio::io_context& io;
        Root root;
        CommandRunner& commands;
        Accounts& accounts;
        ServiceManager& services;
        FrontControl& front_control;
        Clock& clock;
        MetadataSource& metadata;
        ServiceNotifier& notifier;
        Privileges& privileges;
        Terminals& terminals;
        ControlServer& control;
        // These are not stopped with the rest: for the last guest attributes.
        MetadataSource& last_metadata;
        Clock& last_clock;
        std::stop_token stop;
        std::function<void()> request_stop; // as a SIGTERM does
    };

    explicit Daemon(World world);
    // Until the process is asked to stop; then has said `stopping` everywhere. Never throws
    // Stopped.
    boost::asio::awaitable<void> run();
    // Reads the configuration and the machine's facts again; converges when they are others.
    void reload();

private:
    // That a person asked for steps to be run again.
    struct Asked {
        std::string step; // empty: all
    };
    boost::asio::awaitable<void> live();
    boost::asio::awaitable<void> learn_facts();
    void tell_of_waiting(const Error& error, bool waited, bool configured);
    boost::asio::awaitable<void> accept_settings(std::optional<Asked> asked);
    void begin_setup(const Configuration& read, bool asked);
    boost::asio::awaitable<void> converge(std::optional<Asked> asked);
    boost::asio::awaitable<void> watch();
    boost::asio::awaitable<void> look_after_jupyter();
    boost::asio::awaitable<void> follow_attributes();
    boost::asio::awaitable<void> follow_preemption();
    boost::asio::awaitable<void> nap(std::chrono::milliseconds longest);
    ControlAnswer retry(const std::string& step);

    [[nodiscard]] bool settings_from_disk() const;
    [[nodiscard]] std::string basis() const;
    void take_progress(const StepProgress& step);
    void tell_what_was_interrupted();
    void settle(const std::vector<StepProgress>& progress);
    void fail(Problem problem);
    void enter(MachineState state);
    void record(TimelineEvent event, log::Priority priority, const std::string& text);
    void tell_limits();
    void publish();
    void publish_machine();
    void publish_certificate();

    World world_;
    AccountMemory accounts_; // of the run in hand
    StepPorts ports_;
    StatusFile status_file_;
    Console console_;
    StepLog step_log_;
    TimelineFile timeline_;
    TimelineNews timeline_news_;
    std::chrono::nanoseconds booted_{0}; // base/boot_time.hpp, of the first process
    GuestAttributeWriter guest_attributes_;
    ControlDesk control_desk_;
    LimitKeeper limits_;
    boost::asio::steady_timer wake_;
    Status status_;
    std::optional<MachineFacts> facts_;
    std::optional<Settings> settings_; // the last that were valid
    bool changed_ = false;             // what was read may be out of date
    std::string attributes_etag_;      // of those that follow_attributes() has told of
    bool converging_ = false;
    bool published_ = true;      // what is known stands in the status file
    std::optional<Asked> asked_; // for the next converging
    // The last converging's inputs and how its steps ended.
    std::string converged_basis_;
    std::vector<StepProgress> converged_;
    RetrySchedule retries_;
    bool retrying_ = false; // the next converging is one of those
    std::optional<Monotonic> retry_at_;
    std::vector<std::string> interrupted_; // steps, by the stop
    bool preempted_ = false;
};

// What the steps' ends make of the machine, and the sentence for people, with that of a stop which
// is near. Pure.
[[nodiscard]] MachineState overall_state(const std::vector<StepProgress>& progress);
[[nodiscard]] std::string summarise(const Status& status, const std::string& stop = {});

// What a retry comes to. `steps` are those that the configuration asks for now; an empty `step`
// means whatever failed.
enum class Activity { settled, converging };
[[nodiscard]] ControlAnswer answer_to_retry(const Status& status,
                                            const std::vector<std::string>& steps,
                                            const std::string& step,
                                            Activity activity);

} // namespace agent
