#include "agent/base/stop.hpp"
#include "agent/report/guest_attribute_writer.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_metadata.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <exception>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;

namespace {

Status status_of(MachineState state, std::string summary) {
    Status status;
    status.state = state;
    status.summary = std::move(summary);
    return status;
}

struct Machine {
    boost::asio::io_context io{1};
    std::stop_source stop;
    FakeClock clock{FakeClock::Advance::by_sleeping, stop.get_token()};
    FakeMetadata metadata{stop.get_token()};
    TempRoot root;
    bool made = std::filesystem::create_directories(root.path() / "run/agent");
    GuestAttributeWriter writer{metadata, clock, root.root()};
    bool stopped = false;

    void start() {
        boost::asio::co_spawn(io, writer.run(stop.get_token()), [this](std::exception_ptr thrown) {
            try {
                if (thrown)
                    std::rethrow_exception(thrown);
            } catch (const Stopped&) {
                stopped = true;
            }
        });
    }
    // Until nothing more happens by itself.
    void settle() {
        io.restart();
        io.poll();
    }
    [[nodiscard]] std::vector<std::string> keys() const {
        std::vector<std::string> all;
        for (const auto& put : metadata.puts)
            all.push_back(put.key);
        return all;
    }
};

} // namespace

TEST_CASE("guest attribute writer: tells what is offered before and while it runs",
          "[unit][report]") {
    Machine machine;
    machine.writer.offer(status_of(MachineState::starting, "Starting"));
    machine.start();
    machine.settle();
    CHECK(machine.keys() == std::vector<std::string>{"report", "state", "summary"});

    machine.writer.offer(status_of(MachineState::ready, "Ready"));
    machine.settle();
    CHECK(machine.metadata.told("state") == "ready");
    CHECK(machine.metadata.told("summary") == "Ready");
    CHECK(machine.metadata.puts.back().key == "state");
}

TEST_CASE("guest attribute writer: a stop ends it, idle or waiting", "[unit][report]") {
    Machine machine;
    machine.start();
    SECTION("idle") {}
    SECTION("waiting to try again") {
        machine.metadata.outcomes.assign(1000, GuestWrite::later);
        machine.writer.offer(status_of(MachineState::starting, "Starting"));
        machine.metadata.on_put = [&machine] {
            if (machine.metadata.puts.size() == 20)
                machine.stop.request_stop();
        };
    }
    machine.settle();
    machine.stop.request_stop();
    machine.settle();
    CHECK(machine.stopped);
}

TEST_CASE("guest attribute writer: the next process of a boot counts what this one wrote",
          "[unit][report]") {
    Machine machine;
    machine.writer.offer(status_of(MachineState::ready, "Ready"));
    machine.start();
    machine.settle();
    REQUIRE(machine.metadata.puts.size() == 3);

    GuestAttributeWriter next{machine.metadata, machine.clock, machine.root.root()};
    const Monotonic begin = machine.clock.now();
    next.offer(status_of(MachineState::starting, "Starting"));
    run_coroutine(machine.io, next.flush(machine.metadata, machine.clock, 10s));
    CHECK(machine.metadata.puts.size() == 4);
    next.offer(status_of(MachineState::ready, "Ready again"));
    run_coroutine(machine.io, next.flush(machine.metadata, machine.clock, 10s));
    CHECK(machine.metadata.puts.size() == 6);
    CHECK(machine.metadata.told("state") == "ready");
    CHECK(machine.clock.now() - begin < 10s);
}

TEST_CASE("guest attribute writer: keeps trying until the metadata server takes it",
          "[unit][report]") {
    Machine machine;
    machine.metadata.outcomes.assign(5, GuestWrite::later);
    machine.writer.offer(status_of(MachineState::ready, "Ready"));
    machine.start();
    machine.settle();
    CHECK(machine.metadata.told("state") == "ready");
    CHECK(machine.metadata.puts.size() == 8);
}

TEST_CASE("guest attribute writer: says that guest attributes are off", "[unit][report]") {
    Machine machine;
    machine.metadata.outcomes = {GuestWrite::disabled};
    machine.writer.offer(status_of(MachineState::ready, "Ready"));
    CHECK_FALSE(machine.writer.disabled());
    machine.start();
    machine.settle();
    CHECK(machine.writer.disabled());
    CHECK(machine.metadata.puts.size() == 1);
}

TEST_CASE("guest attribute writer: the last word is told after the stop", "[unit][report]") {
    Machine machine;
    machine.writer.offer(status_of(MachineState::ready, "Ready"));
    machine.start();
    machine.settle();
    machine.stop.request_stop();
    machine.settle();
    REQUIRE(machine.stopped);

    FakeClock clock;
    clock.advance(10s); // later than anything the writer has seen
    FakeMetadata metadata;
    machine.writer.offer(status_of(MachineState::stopping, "Stopping"));
    run_coroutine(machine.io, machine.writer.flush(metadata, clock, 3s));
    CHECK(metadata.told("state") == "stopping");
    CHECK(metadata.puts.size() == 3);
}

TEST_CASE("guest attribute writer: the last word does not wait longer than it may",
          "[unit][report]") {
    Machine machine;
    FakeClock clock;
    FakeMetadata metadata;
    metadata.outcomes.assign(1000, GuestWrite::later);
    machine.writer.offer(status_of(MachineState::stopping, "Stopping"));
    const Monotonic begin = clock.now();
    run_coroutine(machine.io, machine.writer.flush(metadata, clock, 3s));
    CHECK(clock.now() - begin <= 3s);
    CHECK(metadata.puts.size() == 2);
}
