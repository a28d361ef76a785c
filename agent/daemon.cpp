#include "agent/daemon.hpp"

#include "agent/base/backoff.hpp"
#include "agent/base/boot_time.hpp"
#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"
#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/settings_sources.hpp"
#include "agent/steps/catalog.hpp"
#include "agent/steps/ready.hpp"
#include "agent/steps/tls_certificate.hpp"
#include "agent/version.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace agent {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr auto health_interval = 15s;
constexpr auto publishing_again = 1s;   // where /run was full, say
constexpr auto metadata_patience = 60s; // then a configuration on the disk is enough to go on
constexpr auto last_word = 5s;          // of agent.service's TimeoutStopSec
constexpr Backoff metadata_backoff{};
constexpr auto unknown_to_the_server = 10min; // before it is asked for the same again

StepStatus to_status(const StepProgress& progress) {
    StepStatus status;
    status.id = progress.id;
    status.state = name_of(progress.state);
    status.reason = progress.reason;
    status.attempts = progress.attempts;
    status.started = progress.started;
    status.seconds = progress.took.count();
    if (progress.error && progress.state == StepState::failed)
        status.error = progress.error->message;
    return status;
}

bool has_ended_well(const StepProgress& progress) {
    return progress.state == StepState::satisfied || progress.state == StepState::applied ||
           progress.state == StepState::skipped;
}

Problem problem_of(const StepProgress& step) {
    return {step.id,
            std::string{name_of(step.error->kind)},
            step.error->message,
            step.error->next.empty() ? "see `agent log " + step.id + "`" : step.error->next};
}

std::optional<Problem> first_problem(const std::vector<StepProgress>& progress) {
    // A required step's failure is what people need to hear of first.
    for (const StepState state : {StepState::failed, StepState::waiting})
        for (const Importance importance : {Importance::required, Importance::optional})
            for (const auto& step : progress)
                if (step.state == state && step.importance == importance && step.error)
                    return problem_of(step);
    return std::nullopt;
}

bool may_pass(const StepProgress& step) {
    return step.state == StepState::failed && step.error &&
           step.error->kind == ErrorKind::transient;
}

void log_diagnostic(const Diagnostic& diagnostic) {
    switch (diagnostic.severity) {
    case Severity::error:
        return log::error(one_line(diagnostic));
    case Severity::warning:
        return log::warning(one_line(diagnostic));
    case Severity::note:
        return log::notice(one_line(diagnostic));
    }
}

} // namespace

MachineState overall_state(const std::vector<StepProgress>& progress) {
    MachineState state = MachineState::ready;
    for (const auto& step : progress) {
        if (has_ended_well(step))
            continue;
        if (step.state != StepState::failed && step.state != StepState::blocked)
            return MachineState::provisioning;
        if (step.importance == Importance::required)
            state = MachineState::failed;
        else if (state == MachineState::ready)
            state = MachineState::degraded;
    }
    return state;
}

std::string summarise(const Status& status, const std::string& stop) {
    std::string state{name_of(status.state)};
    if (status.state == MachineState::ready)
        return (status.url.empty() ? "ready; no Jupyter is asked for" : "ready at " + status.url) +
               (stop.empty() ? "" : "; " + stop);
    if (!stop.empty())
        state += " (" + stop + ")";
    if (status.state == MachineState::stopping)
        return printable(state + (status.problem ? "; " + status.problem->message : ""), 300);
    if (status.problem) {
        const std::string step = status.problem->step.empty() ? "" : status.problem->step + ": ";
        return printable(state + ": " + step + status.problem->message, 300);
    }
    if (status.state == MachineState::starting)
        return state + ": asking the metadata server what this VM is to be";
    if (status.state != MachineState::provisioning || status.steps.empty())
        return state;
    std::size_t done = 0;
    std::string running;
    for (const auto& step : status.steps) {
        if (step.state == "satisfied" || step.state == "applied")
            ++done;
        if (step.state == "running")
            running += (running.empty() ? "" : ", ") + step.id +
                       (step.reason.empty() ? "" : " (" + step.reason + ")");
    }
    return printable(state + ": " + std::to_string(done) + " of " +
                         std::to_string(status.steps.size()) + " steps done" +
                         (running.empty() ? "" : "; " + running),
                     300);
}

ControlAnswer answer_to_retry(const Status& status,
                              const std::vector<std::string>& steps,
                              const std::string& step,
                              Activity activity) {
    using Outcome = ControlAnswer::Outcome;
    if (!step.empty() && std::find(steps.begin(), steps.end(), step) == steps.end()) {
        const std::vector<std::string_view> names{steps.begin(), steps.end()};
        const std::string meant = nearest(step, names);
        return {Outcome::invalid,
                "there is no step " + printable(step, 80) + " here" +
                    (meant.empty() ? "" : "; did you mean " + meant + "?") + "; the steps are " +
                    join(steps, ", ")};
    }
    const auto those = [&](std::string_view state) {
        std::vector<std::string> ids;
        for (const auto& one : status.steps)
            if (one.state == state)
                ids.push_back(one.id);
        return ids;
    };
    if (activity == Activity::converging) {
        const auto running = those("running");
        return {
            Outcome::accepted,
            (running.empty() ? "the steps are being run" : "running now: " + join(running, ", ")) +
                "; the retry" + (step.empty() ? "" : " of " + step) + " follows"};
    }
    if (!step.empty())
        return {Outcome::accepted, step + " runs again now"};
    const auto failed = those("failed");
    const auto blocked = those("blocked");
    if (failed.empty())
        return {Outcome::accepted,
                "nothing has failed; the configuration is read and every step "
                "is looked at again"};
    return {Outcome::accepted,
            "run again now: " + join(failed, ", ") +
                (blocked.empty() ? "" : ", and what that blocked: " + join(blocked, ", "))};
}

Daemon::Daemon(World world)
    : world_{std::move(world)}, accounts_{world_.accounts},
      ports_{world_.root, accounts_, world_.services, world_.clock, world_.front_control},
      status_file_{world_.root}, console_{world_.root}, step_log_{world_.root, world_.clock},
      timeline_{world_.root}, guest_attributes_{world_.metadata, world_.clock, world_.root},
      control_desk_{{world_.root,
                     world_.accounts,
                     world_.privileges,
                     world_.clock,
                     [this] { return settings_ ? settings_->machine.user : std::string{}; },
                     [this](const std::string& step) { return retry(step); },
                     [this] { limits_.wake(); }}},
      limits_{{world_.io,
               world_.root,
               world_.clock,
               world_.services,
               world_.terminals,
               [this]() -> const Hold& { return control_desk_.hold(); },
               [this] { publish(); }}},
      wake_{world_.io} {}

asio::awaitable<void> Daemon::run() {
    status_.boot_id = current_boot_id(world_.root);
    booted_ = first_process_started(world_.root);
    record({.kind = TimelineEvent::Kind::boot,
            .boot_id = status_.boot_id,
            .wall = world_.clock.wall()},
           log::Priority::info,
           std::string{"agent "} + version() + " begins");
    enter(MachineState::starting);
    world_.notifier.ready();

    // All unwind with Stopped; what else they may throw is a bug that ends the process.
    std::exception_ptr failure;
    unsigned running = 5;
    asio::steady_timer ended{world_.io, asio::steady_timer::time_point::max()};
    const auto on_end = [&](const std::exception_ptr& thrown) {
        --running;
        try {
            if (thrown)
                std::rethrow_exception(thrown);
        } catch (const Stopped&) {
            // as asked
        } catch (...) {
            failure = thrown;
            world_.io.stop();
        }
        ended.cancel();
    };
    asio::co_spawn(world_.io, guest_attributes_.run(world_.stop), on_end);
    asio::co_spawn(world_.io, follow_attributes(), on_end);
    asio::co_spawn(world_.io, follow_preemption(), on_end);
    asio::co_spawn(world_.io, limits_.run(world_.stop), on_end);
    auto answering = world_.control.serve([this](ControlPeer peer, ControlRequest request) {
        return control_desk_.answer(peer, std::move(request));
    });
    asio::co_spawn(world_.io, std::move(answering), on_end);
    try {
        co_await live();
    } catch (const Stopped&) {
        // as asked
    }
    while (running > 0) {
        boost::system::error_code cancelled;
        co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    }
    if (failure)
        std::rethrow_exception(failure);

    world_.notifier.stopping();
    tell_what_was_interrupted();
    enter(MachineState::stopping);
    co_await guest_attributes_.flush(world_.last_metadata, world_.last_clock, last_word);
}

asio::awaitable<void> Daemon::live() {
    while (true) {
        changed_ = false;
        co_await learn_facts();
        auto asked = std::exchange(asked_, std::nullopt);
        co_await accept_settings(std::move(asked));
        co_await watch();
    }
}

// Returns with facts_, or without them when a configuration lies on the disk and the metadata
// server has had its time.
asio::awaitable<void> Daemon::learn_facts() {
    // Whoever asked for a retry is not kept waiting for a server that is not there.
    const auto patience_ends = world_.clock.now() + (asked_ ? 0s : metadata_patience);
    bool logged = false;
    for (unsigned attempt = 1;; ++attempt) {
        auto facts = co_await world_.metadata.read();
        if (facts) {
            facts_ = std::move(*facts);
            status_.instance_id = facts_->instance_id;
            co_return;
        }
        const bool waited = world_.clock.now() >= patience_ends;
        const bool configured = settings_ || settings_from_disk();
        if (waited && configured) {
            log::warning("going on without the metadata server: " + facts.error().message);
            attributes_etag_.clear(); // whatever it says when it is back is news
            co_return;
        }
        if (!std::exchange(logged, true))
            log::warning("waiting for the metadata server: " + facts.error().message);
        tell_of_waiting(facts.error(), waited, configured);
        co_await world_.clock.sleep(metadata_backoff.delay(attempt, world_.clock.random()));
    }
}

// A machine that is up already goes on as it is; one that is not says what it waits for.
void Daemon::tell_of_waiting(const Error& error, bool waited, bool configured) {
    Problem problem{"", std::string{name_of(error.kind)}, error.message, error.next};
    if (configured)
        problem.next = "within a minute it goes on with the configuration that it has";
    else if (problem.next.empty())
        problem.next = "it is asked again until it answers; on GCE: check that the VM reaches "
                       "169.254.169.254; elsewhere: write " +
                       std::string{layout::config_file};
    const bool known = status_.problem && status_.problem->message == problem.message;
    if (waited && (!known || status_.state == MachineState::starting)) {
        fail(std::move(problem));
        limits_.stands(LimitKeeper::Standing::trying_again);
    } else if (!known && status_.state == MachineState::starting) {
        status_.problem = std::move(problem);
        publish();
    }
}

bool Daemon::settings_from_disk() const {
    const auto found = gather_sources(world_.root, facts_ ? &*facts_ : nullptr);
    return std::holds_alternative<Settings>(read_settings(found.sources));
}

// A valid configuration is converged to; a bad one is told and changes nothing.
asio::awaitable<void> Daemon::accept_settings(std::optional<Asked> asked) {
    const auto found = gather_sources(world_.root, facts_ ? &*facts_ : nullptr);
    auto read = read_configuration(found.sources);
    for (const auto& diagnostics : {found.notes, read.diagnostics})
        for (const auto& diagnostic : diagnostics)
            log_diagnostic(diagnostic);
    begin_setup(read, asked.has_value());
    auto accepted = accept(std::move(read));
    if (const auto* errors = std::get_if<ConfigErrors>(&accepted)) {
        fail({"",
              std::string{name_of(ErrorKind::misconfigured)},
              agent::summarise(*errors),
              errors->diagnostics.front().hint.empty()
                  ? "correct it; `agent check FILE` shows every error"
                  : errors->diagnostics.front().hint});
        co_return;
    }
    settings_ = std::get<Settings>(std::move(accepted));
    status_.config_sha256 = settings_->sha256;
    publish_machine();
    if (!asked && basis() == converged_basis_)
        settle(converged_);
    else
        co_await converge(asked);
}

// Also with a configuration that is not valid: a setup that has failed at once. Its limits count as
// far as they could be read, unless those of a valid one are known.
void Daemon::begin_setup(const Configuration& read, bool asked) {
    if (facts_) {
        const auto found = facts_->instance_attributes.find("created-by");
        limits_.created_by(found == facts_->instance_attributes.end() ? "" : found->second);
    }
    const auto& limits = read.is_valid() || !settings_ ? read.settings.limits : settings_->limits;
    limits_.begin({limits.on_failure == OnFailure::stop, limits.grace, limits.lifetime},
                  read.settings.sha256,
                  asked ? SetupClock::Begin::anew : SetupClock::Begin::going_on);
}

// What the steps are made of: when it is the same, converging again would find nothing new.
std::string Daemon::basis() const {
    std::string text = settings_->sha256;
    if (facts_)
        text += " " + facts_->instance_id + " " + facts_->name + " " + facts_->hostname + " " +
                join(facts_->internal_addresses, ",") + " " + join(facts_->external_addresses, ",");
    return text;
}

asio::awaitable<void> Daemon::converge(std::optional<Asked> asked) {
    struct Busy {
        bool& flag;
        ~Busy() { flag = false; }
    } const busy{converging_};
    converging_ = true;
    accounts_.forget();
    converged_basis_.clear();
    if (!std::exchange(retrying_, false))
        retries_.begin_anew();
    retry_at_.reset();
    status_.problem.reset();
    enter(MachineState::provisioning);
    auto ledger = Ledger::open(world_.root);
    if (!ledger) {
        fail({"",
              std::string{name_of(ledger.error().kind)},
              ledger.error().message,
              ledger.error().next});
        co_return;
    }
    for (const auto& note : ledger->notes())
        log::warning(note);

    Engine::World engine_world{
        world_.io,
        world_.commands,
        world_.clock,
        *ledger,
        facts_ ? facts_->instance_id : std::string{},
        [this](const StepProgress& step) { take_progress(step); },
        [this](std::string_view id, std::string_view line) { step_log_.line(id, line); },
        [asked = std::move(asked)](std::string_view id) {
            return asked && (asked->step.empty() || asked->step == id);
        },
        [this] { return changed_; },
        {settings_->limits.setup, limits_.setup_spent(), settings_->limits.person}};
    auto steps = make_steps(*settings_, facts_ ? &*facts_ : nullptr, ports_);
    TimelineEvent run{.kind = TimelineEvent::Kind::run};
    for (const auto& step : steps)
        run.steps.push_back({step.traits.id, step.traits.needs});
    record(
        std::move(run), log::Priority::info, "a run of " + std::to_string(steps.size()) + " steps");
    Engine engine{std::move(engine_world), std::move(steps)};
    status_.steps.clear();
    for (const auto& step : engine.progress())
        status_.steps.push_back(to_status(step));
    const auto progress = co_await engine.converge();
    if (!progress) {
        fail({"",
              std::string{name_of(progress.error().kind)},
              progress.error().message,
              "please report it"});
        co_return;
    }
    converged_basis_ = basis();
    converged_ = *progress;
    const auto left = settings_->limits.setup - limits_.setup_spent();
    if (left > 0s && std::any_of(converged_.begin(), converged_.end(), may_pass)) {
        const auto delay = retries_.next(world_.clock.random());
        // When the setup's time is over, that is said then.
        const bool has_failed = overall_state(converged_) == MachineState::failed;
        retry_at_ = world_.clock.now() +
                    (has_failed ? std::min<std::chrono::milliseconds>(delay, left) : delay);
    }
    settle(converged_);
}

void Daemon::take_progress(const StepProgress& step) {
    const auto shown = std::find_if(status_.steps.begin(),
                                    status_.steps.end(),
                                    [&](const StepStatus& one) { return one.id == step.id; });
    TimelineEvent event{.state = std::string{name_of(step.state)},
                        .step = step.id,
                        .why = step.error ? step.error->message : step.reason};
    if (step.state == StepState::running) {
        event.doing = name_of(step.doing);
        if (step.doing == Doing::working)
            event.why.clear(); // of its phrases the status and its log tell
    }
    if (timeline_news_.is_news(event)) {
        const std::string text = event.step + ": " + event.state +
                                 (step.error          ? ": " + event.why
                                  : event.why.empty() ? ""
                                                      : " (" + event.why + ")");
        record(std::move(event),
               step.state == StepState::failed ? log::Priority::error : log::Priority::info,
               text);
    }
    *shown = to_status(step);
    if (step.interrupted)
        interrupted_.push_back(step.id);
    if (step.state == StepState::waiting)
        status_.problem = problem_of(step);
    else if (status_.problem && status_.problem->step == step.id)
        status_.problem.reset();
    if (step.id == "tls_certificate" && has_ended_well(step) && status_.certificate_sha256.empty())
        publish_certificate();
    if (step.id == "ready" && has_ended_well(step))
        status_.url = jupyter_url(*settings_, facts_ ? &*facts_ : nullptr);
    tell_limits();
    publish();
}

void Daemon::settle(const std::vector<StepProgress>& progress) {
    publish_certificate();
    status_.problem = first_problem(progress);
    if (status_.problem && retry_at_) {
        const auto at = world_.clock.wall() + std::chrono::duration_cast<WallTime::duration>(
                                                  *retry_at_ - world_.clock.now());
        status_.problem->next += "; it is tried again by itself at " + timestamp(at);
    }
    enter(overall_state(progress));
}

void Daemon::fail(Problem problem) {
    log::error((problem.step.empty() ? "" : problem.step + ": ") + problem.message +
               (problem.next.empty() ? "" : "; next: " + problem.next));
    status_.problem = std::move(problem);
    // What runs on an earlier configuration goes on running.
    const bool converged =
        status_.state == MachineState::ready || status_.state == MachineState::degraded;
    enter(converged ? status_.state : MachineState::failed);
}

void Daemon::enter(MachineState state) {
    if (state != status_.state || status_.since == WallTime{}) {
        status_.state = state;
        status_.since = world_.clock.wall();
        tell_limits();
        publish();
        record({.kind = TimelineEvent::Kind::machine, .state = std::string{name_of(state)}},
               log::Priority::notice,
               status_.summary);
        return;
    }
    tell_limits();
    publish();
}

// For the timeline: of this boot in /run, of every boot in the journal.
void Daemon::record(TimelineEvent event, log::Priority priority, const std::string& text) {
    event.at = std::chrono::duration<double>(world_.clock.since_boot() - booted_).count();
    const std::string line = to_line(event);
    timeline_.append(line);
    log::event(priority, text, line);
}

void Daemon::tell_limits() {
    using enum MachineState;
    using Standing = LimitKeeper::Standing;
    if (status_.state == starting || status_.state == stopping)
        return;
    const auto are = [this](std::string_view state) {
        return std::any_of(status_.steps.begin(), status_.steps.end(), [&](const StepStatus& step) {
            return step.state == state;
        });
    };
    if (status_.state == provisioning)
        limits_.stands(are("waiting") && !are("running") ? Standing::waiting : Standing::working);
    else if (status_.state == failed)
        limits_.stands(retry_at_ ? Standing::trying_again : Standing::failed,
                       status_.problem ? status_.problem->message : std::string{});
    else
        limits_.stands(Standing::done);
}

void Daemon::publish() {
    Status told = status_;
    std::string in_sight;
    const PlannedStop* stop = limits_.near_stop();
    if (told.state == MachineState::stopping && stop &&
        stop->fate != PlannedStop::Fate::powered_off)
        stop = nullptr; // it stops for another reason
    if (stop) {
        const auto now = world_.clock.wall();
        in_sight = in_brief(*stop, now);
        if (told.problem)
            told.problem->next = with_remedy(*stop, now) +
                                 (told.problem->next.empty() ? "" : "; " + told.problem->next);
    }
    told.summary = agent::summarise(told, in_sight);
    status_.summary = told.summary;
    auto written = status_file_.write(told);
    if (!written)
        log::warning(written.error().message);
    published_ = written.has_value();
    console_.tell(told);
    world_.notifier.status(told.summary);
    if (!settings_ || settings_->report.guest_attributes)
        guest_attributes_.offer(told);
}

void Daemon::publish_machine() {
    MachineCard card;
    if (facts_) {
        card.name = facts_->name;
        card.project = facts_->project_id;
        card.zone = facts_->zone;
        card.network = facts_->network;
        card.tags = facts_->tags;
        card.has_external_address = !facts_->external_addresses.empty();
    }
    card.port = settings_->jupyter.port;
    card.reach = jupyter_reach(*settings_);
    card.landing = settings_->jupyter.interface == JupyterInterface::lab ? "lab" : "tree";
    card.user = settings_->machine.user;
    if (settings_->python.kind != PythonKind::none)
        card.prefix = settings_->python.prefix.string();
    card.directory = settings_->jupyter.directory.string();
    card.variables = network_environment(*settings_);
    if (auto written = write_machine_card(world_.root, card); !written)
        log::warning(written.error().message);
}

void Daemon::publish_certificate() {
    status_.certificate_sha256 = current_certificate_sha256(world_.root);
    const std::string pem = current_public_certificate(world_.root);
    if (pem.empty())
        return;
    if (auto written = agent::publish_certificate(world_.root, pem); !written)
        log::warning(written.error().message);
}

// Until the configuration changes: looks after Jupyter, from outside, through the front.
asio::awaitable<void> Daemon::watch() {
    while (!changed_) {
        const auto now = world_.clock.now();
        if (retry_at_ && *retry_at_ <= now) {
            retry_at_.reset();
            retrying_ = true;
            converged_basis_.clear();
            break;
        }
        const auto left = retry_at_ ? std::chrono::ceil<std::chrono::milliseconds>(*retry_at_ - now)
                                    : std::chrono::milliseconds{health_interval};
        co_await nap(std::min<std::chrono::milliseconds>(
            published_ ? health_interval : publishing_again, left));
        if (!published_)
            publish(); // there may be room by now
        else if (!changed_ && settings_ && !status_.url.empty())
            co_await look_after_jupyter();
    }
}

// Observes only: systemd and `agent jupyter` restart it, the front shows its page meanwhile.
asio::awaitable<void> Daemon::look_after_jupyter() {
    const bool withdrawn = status_.problem && status_.problem->step == "ready";
    if (status_.state != MachineState::ready && !withdrawn)
        co_return;
    const auto probed = co_await probe_through_front(
        world_.commands, ports_, settings_->jupyter.port, ProbeDepth::proven);
    if (probed && withdrawn) {
        status_.problem.reset();
        enter(MachineState::ready);
    } else if (!probed && !withdrawn) {
        status_.problem = Problem{"ready",
                                  std::string{name_of(probed.error().kind)},
                                  "Jupyter stopped answering: " + probed.error().message,
                                  "it is being restarted; see `journalctl -u agent-jupyter`"};
        enter(MachineState::degraded);
    }
}

// Runs beside everything else; tells live() when the instance's attributes are others than those
// read.
asio::awaitable<void> Daemon::follow_attributes() {
    for (unsigned failures = 0;;) {
        throw_if_stopped(world_.stop);
        auto now = co_await world_.metadata.wait_for_attributes(attributes_etag_);
        if (!now) {
            co_await world_.clock.sleep(metadata_backoff.delay(++failures, world_.clock.random()));
            continue;
        }
        failures = 0;
        // The first answer as well: it may be younger than what live() has read.
        if (*now != attributes_etag_)
            reload();
        attributes_etag_ = std::move(*now);
    }
}

// Runs beside everything else. GCE says so before it sends the stop itself.
asio::awaitable<void> Daemon::follow_preemption() {
    std::string etag;
    for (unsigned failures = 0;;) {
        throw_if_stopped(world_.stop);
        auto notice = co_await world_.metadata.wait_for_preemption(etag);
        if (!notice) {
            const bool passes = notice.error().kind == ErrorKind::transient;
            const auto delay = metadata_backoff.delay(++failures, world_.clock.random());
            co_await world_.clock.sleep(passes ? delay : unknown_to_the_server);
            continue;
        }
        failures = 0;
        etag = std::move(notice->etag);
        if (notice->noticed) {
            log::warning("GCE preempts this VM: it stops within 30 s");
            preempted_ = true;
            world_.request_stop();
        }
    }
}

void Daemon::tell_what_was_interrupted() {
    if (interrupted_.empty() && !preempted_)
        return;
    std::string message = preempted_ ? "GCE preempts this VM" : "";
    if (!interrupted_.empty())
        message += (message.empty() ? "" : "; ") + ("interrupted:" + join(interrupted_, ","));
    status_.problem = Problem{interrupted_.empty() ? "" : interrupted_.front(),
                              "interrupted",
                              std::move(message),
                              "the next boot goes on where this one was"};
}

void Daemon::reload() {
    changed_ = true;
    wake_.cancel();
}

// The answer is given on what is known now; what then runs, on what is read again.
ControlAnswer Daemon::retry(const std::string& step) {
    using Outcome = ControlAnswer::Outcome;
    const MachineFacts* facts = facts_ ? &*facts_ : nullptr;
    const auto found = gather_sources(world_.root, facts);
    const auto read = read_settings(found.sources);
    if (const auto* errors = std::get_if<ConfigErrors>(&read)) {
        reload();
        if (!facts && found.sources.empty())
            return {Outcome::accepted,
                    "the metadata server has not answered yet; it is asked again"};
        return {Outcome::failed, agent::summarise(*errors)};
    }
    std::vector<std::string> steps;
    for (const auto& one : make_steps(std::get<Settings>(read), facts, ports_))
        steps.push_back(one.traits.id);
    auto answer = answer_to_retry(
        status_, steps, step, converging_ ? Activity::converging : Activity::settled);
    if (answer.outcome == Outcome::accepted) {
        // Of two, both: what was asked for singly is part of all.
        asked_ = Asked{asked_ && asked_->step != step ? "" : step};
        reload();
    }
    return answer;
}

asio::awaitable<void> Daemon::nap(std::chrono::milliseconds longest) {
    throw_if_stopped(world_.stop);
    wake_.expires_after(longest);
    const std::stop_callback on_stop{world_.stop, [this] { wake_.cancel(); }};
    boost::system::error_code cancelled;
    co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    throw_if_stopped(world_.stop);
}

} // namespace agent
