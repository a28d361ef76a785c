#include "agent/front/front.hpp"

#include "agent/base/files.hpp"
#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"
#include "agent/front/limits.hpp"
#include "agent/front/page.hpp"
#include "agent/front/relay.hpp"
#include "agent/front/request.hpp"
#include "agent/ports/probe.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace agent {
namespace {

namespace asio = boost::asio;
using Timer = asio::steady_timer;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t head_limit = 32'768;
constexpr std::size_t head_piece = 4'096;
constexpr unsigned char tls_handshake_record = 22; // RFC 8446 §5.1, ContentType
constexpr std::chrono::milliseconds pause_after_failed_accept{100};
constexpr std::chrono::minutes between_complaints{1}; // whoever connects must not fill the journal

class Front {
public:
    Front(const asio::any_io_executor& executor,
          FrontWorld world,
          FrontSettings settings,
          std::stop_token stop)
        : executor_{executor}, world_{std::move(world)}, settings_{std::move(settings)},
          stop_{std::move(stop)}, gate_{settings_.times.gate},
          changed_{executor, Timer::time_point::max()}, probe_due_{executor} {}

    asio::awaitable<void> run();

private:
    // Everything that runs beside run() is counted, and run() returns only when none is left.
    enum class OnThrow { end_front, end_session };
    void start(asio::awaitable<void> work, OnThrow on_throw);
    // Until changed() finds that `done` holds, or until `deadline`.
    template <class Done>
    asio::awaitable<void> until(Done done, Timer::time_point deadline = Timer::time_point::max());
    void changed() { changed_.cancel(); }

    asio::awaitable<void> accept_from(Listener& listener);
    void complain(const std::string& what);
    asio::awaitable<void> listen_to_control();
    Result<std::string> take_over(const Secret& message);
    asio::awaitable<void> probe_again_and_again();
    asio::awaitable<void> probe();
    asio::awaitable<ProbeObservation> observe(std::string& what);
    void say_state();

    asio::awaitable<void> session(std::unique_ptr<Incoming> client);
    asio::awaitable<void> serve_over_tls(Incoming& client, std::string received);
    // Whether Jupyter has it; otherwise nothing was answered, and it gets the page.
    asio::awaitable<bool> relayed(Incoming& client, const std::string& received);
    void lost();
    // What was read, the whole head and perhaps more; nullopt: no head came, or it has been
    // refused.
    asio::awaitable<std::optional<std::string>> read_head(Incoming& client);
    asio::awaitable<void> send(Incoming& client, std::string answer);
    [[nodiscard]] PageContent content() const;

    // What must be closed when the front ends, or when Jupyter is found open.
    class Registration {
    public:
        Registration(std::set<ByteStream*>& streams, ByteStream& stream)
            : streams_{streams}, stream_{stream} {
            streams_.insert(&stream_);
        }
        Registration(const Registration&) = delete;
        Registration& operator=(const Registration&) = delete;
        ~Registration() { streams_.erase(&stream_); }

    private:
        std::set<ByteStream*>& streams_;
        ByteStream& stream_;
    };
    // Closes whoever has to go for it.
    class Place {
    public:
        Place(Front& front, Places& places, Incoming& client)
            : front_{front}, places_{places}, network_{client.peer_network()},
              number_{++front.last_number_} {
            front_.placed_[number_] = &client;
            const auto admission = places_.admit(number_, network_);
            admitted_ = admission.admitted;
            if (admission.pushed_out)
                front_.placed_.at(*admission.pushed_out)->close();
            if (!admitted_ || admission.pushed_out)
                front_.complain("There are more connections than places; the newest is from " +
                                network_ + ".");
        }
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            places_.release(number_, network_);
            front_.placed_.erase(number_);
        }
        [[nodiscard]] bool admitted() const { return admitted_; }

    private:
        Front& front_;
        Places& places_;
        std::string network_;
        Places::Number number_;
        bool admitted_ = false;
    };
    static void close_all(const std::set<ByteStream*>& streams) {
        for (auto* stream : streams)
            stream->close();
    }

    asio::any_io_executor executor_;
    FrontWorld world_;
    FrontSettings settings_;
    std::stop_token stop_;
    Gate gate_;
    Places newcomers_{64, 16, ShareTaken::push_out_its_oldest}; // have not asked for anything yet
    Places sessions_{256, 64, ShareTaken::refuse};
    std::map<Places::Number, Incoming*> placed_;
    Places::Number last_number_ = 0;
    RelayMemory memory_;
    Timer::time_point next_complaint_{};
    std::set<ByteStream*> clients_;
    std::set<ByteStream*> backends_;
    std::string told_;  // the last word about Jupyter in the journal
    std::string state_; // and what systemd was told of it
    std::size_t tasks_ = 0;
    std::exception_ptr failure_;
    Timer changed_;
    Timer probe_due_;
};

void Front::start(asio::awaitable<void> work, OnThrow on_throw) {
    ++tasks_;
    asio::co_spawn(executor_, std::move(work), [this, on_throw](const std::exception_ptr& thrown) {
        --tasks_;
        try {
            if (thrown)
                std::rethrow_exception(thrown);
        } catch (const Stopped&) {
            changed(); // the probe, when the process ends
            return;
        } catch (const std::exception& bug) {
            if (on_throw == OnThrow::end_front)
                failure_ = thrown;
            else
                log::error(std::string{"A session ended by a bug: "} + bug.what() + ".");
        }
        changed();
    });
}

template <class Done> asio::awaitable<void> Front::until(Done done, Timer::time_point deadline) {
    while (!done() && Timer::clock_type::now() < deadline) {
        changed_.expires_at(deadline);
        co_await changed_.async_wait(quietly);
    }
}

asio::awaitable<void> Front::run() {
    const std::stop_callback stopped{stop_, [this] { changed(); }};
    try {
        co_await probe();
    } catch (const Stopped&) {
        co_return;
    }
    for (const auto& listener : world_.listeners)
        start(accept_from(*listener), OnThrow::end_front);
    start(probe_again_and_again(), OnThrow::end_front);
    if (world_.control)
        start(listen_to_control(), OnThrow::end_front);
    world_.notifier.ready();

    co_await until([this] { return stop_.stop_requested() || failure_; });
    world_.notifier.stopping();
    for (const auto& listener : world_.listeners)
        listener->close();
    if (world_.control)
        world_.control->close();
    probe_due_.cancel();
    if (!failure_)
        co_await until([this] { return sessions_.taken() == 0 && newcomers_.taken() == 0; },
                       Timer::clock_type::now() + settings_.times.drain);
    close_all(clients_);
    close_all(backends_);
    co_await until([this] { return tasks_ == 0; });
    if (failure_)
        std::rethrow_exception(failure_);
}

asio::awaitable<void> Front::accept_from(Listener& listener) {
    Timer pause{executor_};
    while (!stop_.stop_requested() && !failure_) {
        auto accepted = co_await listener.accept();
        if (stop_.stop_requested() || failure_)
            co_return;
        if (!accepted) {
            complain(accepted.error().message);
            pause.expires_after(pause_after_failed_accept);
            co_await pause.async_wait(quietly);
            continue;
        }
        start(session(std::move(*accepted)), OnThrow::end_session);
    }
}

void Front::complain(const std::string& what) {
    const auto now = Timer::clock_type::now();
    if (now < next_complaint_)
        return;
    next_complaint_ = now + between_complaints;
    log::warning(what);
}

asio::awaitable<void> Front::listen_to_control() {
    Timer pause{executor_};
    while (!stop_.stop_requested() && !failure_) {
        const auto request = co_await world_.control->next();
        if (stop_.stop_requested() || failure_)
            co_return;
        if (!request) {
            complain(request.error().message);
            pause.expires_after(pause_after_failed_accept);
            co_await pause.async_wait(quietly);
            continue;
        }
        (*request)->answer(write_front_answer(take_over((*request)->message())));
    }
}

Result<std::string> Front::take_over(const Secret& message) {
    auto identity = read_front_identity(message);
    if (!identity)
        return identity.error();
    auto sha256 = world_.replace_certificate(identity->certificate);
    if (!sha256) {
        log::error("Another certificate was offered and is not served: " + sha256.error().message);
        return sha256;
    }
    settings_.certificate_sha256 = *sha256;
    settings_.token = std::move(identity->token);
    log::notice("New connections are served with the certificate " + sha256->substr(0, 12) + ".");
    say_state();
    return sha256;
}

void Front::say_state() {
    world_.notifier.status(front_identity_status(settings_.certificate_sha256, settings_.token) +
                           " " + state_);
}

asio::awaitable<void> Front::probe_again_and_again() {
    while (!stop_.stop_requested() && !failure_) {
        world_.notifier.alive();
        probe_due_.expires_at(gate_.next_probe());
        co_await probe_due_.async_wait(quietly);
        if (!stop_.stop_requested() && !failure_ && Timer::clock_type::now() >= gate_.next_probe())
            co_await probe();
    }
}

asio::awaitable<void> Front::probe() {
    std::string what;
    const auto observation = co_await observe(what);
    gate_.probed(observation, Timer::clock_type::now());
    if (observation.outcome == ProbeOutcome::unsafe)
        close_all(backends_);

    std::string word = gate_.open() ? std::string{"Relaying to Jupyter."} : what;
    if (word == told_)
        co_return;
    state_ = gate_.open() ? word : "Showing the page: " + word;
    say_state();
    if (!gate_.open() && observation.outcome == ProbeOutcome::unsafe)
        log::error("Nothing is relayed: " + word);
    else
        log::notice(state_);
    told_ = std::move(word);
}

asio::awaitable<ProbeObservation> Front::observe(std::string& what) {
    ProbeObservation observation;
    {
        const auto connection = co_await world_.backend.connect(settings_.times.connect);
        if (!connection) {
            what = connection.error().message;
            if (connection.error().kind != ErrorKind::transient)
                observation.outcome = ProbeOutcome::unsafe;
            co_return observation;
        }
        observation.process = connection->process;
    }
    Result<void> answered{};
    if (gate_.open_to(observation.process))
        answered = co_await ask_proven_jupyter(
            world_.http, settings_.backend, settings_.token, settings_.times.probe);
    else
        answered = co_await probe_jupyter(
            world_.http, settings_.backend, settings_.token, settings_.times.probe);
    if (answered) {
        observation.outcome = ProbeOutcome::passed;
        co_return observation;
    }
    what = answered.error().message;
    observation.outcome = answered.error().kind == ErrorKind::transient ? ProbeOutcome::unanswered
                                                                        : ProbeOutcome::unsafe;
    co_return observation;
}

asio::awaitable<void> Front::session(std::unique_ptr<Incoming> client) {
    const Registration registered{clients_, *client};
    std::optional<Place> newcomer;
    newcomer.emplace(*this, newcomers_, *client);

    client->expires_after(settings_.times.handshake);
    const auto first = co_await client->peek();
    if (!first || !*first)
        co_return;
    const bool over_tls = **first == tls_handshake_record;
    if (over_tls) {
        if (const auto secured = co_await client->start_tls(); !secured)
            co_return;
    } else if (**first < 'A' || **first > 'Z') {
        co_return;
    }
    auto received = co_await read_head(*client);
    if (!received)
        co_return;
    newcomer.reset();

    const Place place{*this, sessions_, *client};
    if (!place.admitted()) {
        std::string answer = refusal(503, "Too many connections at once. Close some, or wait.");
        co_await send(*client, std::move(answer));
        co_return;
    }
    if (over_tls) {
        co_await serve_over_tls(*client, std::move(*received));
    } else {
        const auto request = parse_request_head(*received);
        std::string answer =
            request ? redirect_answer(*request) : refusal(400, request.error().message);
        co_await send(*client, std::move(answer));
    }
    client->close();
}

asio::awaitable<void> Front::serve_over_tls(Incoming& client, std::string received) {
    const bool done = co_await relayed(client, received);
    if (done)
        co_return;
    const auto request = parse_request_head(received);
    std::string answer =
        request ? page_answer(*request, content()) : refusal(400, request.error().message);
    co_await send(client, std::move(answer));
}

asio::awaitable<bool> Front::relayed(Incoming& client, const std::string& received) {
    if (!gate_.open())
        co_return false;
    const auto connection = co_await world_.backend.connect(settings_.times.connect);
    // Asked after the wait: Jupyter may have been found open meanwhile.
    if (!connection || !gate_.open_to(connection->process)) {
        lost();
        co_return false;
    }
    auto& backend = *connection->stream;
    const Registration registered{backends_, backend};
    client.expires_after(std::nullopt);
    backend.expires_after(settings_.times.request);
    if (const auto passed_on = co_await backend.write_all(received); !passed_on) {
        lost();
        co_return false;
    }
    backend.expires_after(std::nullopt);
    const auto end = co_await relay(client, backend, memory_, settings_.times.half_closed);
    if (end == RelayEnd::over)
        co_return true;
    gate_.doubted(Timer::clock_type::now());
    probe_due_.cancel();
    co_return false;
}

void Front::lost() {
    if (!gate_.open())
        return;
    gate_.lost(Timer::clock_type::now());
    probe_due_.cancel();
}

asio::awaitable<std::optional<std::string>> Front::read_head(Incoming& client) {
    client.expires_after(settings_.times.request);
    std::string received;
    while (true) {
        const auto buffer = memory_.scratch().first(head_piece);
        const auto got = client.try_read(buffer);
        if (!got)
            co_return std::nullopt;
        if (!*got) {
            if (const auto ready = co_await client.readable(); !ready)
                co_return std::nullopt;
            continue;
        }
        if (**got == 0)
            co_return std::nullopt;
        received.append(buffer.data(), **got);
        if (end_of_head(received))
            co_return received;
        if (received.size() >= head_limit) {
            std::string answer = refusal(431, "The head of the request is too long.");
            co_await send(client, std::move(answer));
            co_return std::nullopt;
        }
    }
}

asio::awaitable<void> Front::send(Incoming& client, std::string answer) {
    client.expires_after(settings_.times.answer);
    if (const auto written = co_await client.write_all(answer); !written)
        co_return;
    if (const auto finished = co_await client.finish_writing(); !finished)
        co_return;
    // Closing with bytes unread (a body that we do not want) would reset the connection under the
    // answer; so we wait for the peer's end, but not for long.
    client.expires_after(settings_.times.linger);
    while (true) {
        const auto got = client.try_read(memory_.scratch());
        if (!got || (*got && **got == 0))
            co_return;
        if (!*got)
            if (const auto ready = co_await client.readable(); !ready)
                co_return;
    }
}

PageContent Front::content() const {
    const auto status = read_file(settings_.status_file, status_file_limit);
    return page_content(status ? *status : std::nullopt);
}

} // namespace

asio::awaitable<void> run_front(FrontWorld world, FrontSettings settings, std::stop_token stop) {
    const auto executor = co_await asio::this_coro::executor;
    Front front{executor, std::move(world), std::move(settings), std::move(stop)};
    co_await front.run();
}

} // namespace agent
