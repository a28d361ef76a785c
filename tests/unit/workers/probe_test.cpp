#include "agent/ports/crypto.hpp"
#include "agent/workers/probe.hpp"
#include "tests/support/loopback_http.hpp"
#include "tests/support/result_value.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <thread>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

// The worker has an io_context of its own and blocks: its server needs another thread.
struct Front {
    Front() : thread{[this] { io.run(); }} {}
    ~Front() {
        io.stop();
        thread.join();
    }
    Front(const Front&) = delete;
    Front& operator=(const Front&) = delete;

    [[nodiscard]] std::string question(const std::string& certificate_sha256) const {
        return R"({"address":"127.0.0.1","port":)" + std::to_string(server.port()) +
               R"(,"certificate_sha256":")" + certificate_sha256 +
               R"(","token":"secret-token","deadline_ms":20000})";
    }

    std::string pem = make_certificate("vm", {}, std::chrono::system_clock::now()).value().reveal();
    std::string sha256 = read_certificate(pem).value().sha256;
    boost::asio::io_context io{1};
    LoopbackHttp server{io, pem};
    std::thread thread;
};

std::string asked(const std::string& question, int expected_exit = 0) {
    std::istringstream input{question};
    std::ostringstream output;
    CHECK(probe_worker(input, output) == expected_exit);
    return output.str();
}

} // namespace

TEST_CASE("probe worker: says in one line that Jupyter answers and is ours", "[unit][workers]") {
    Front front;
    front.server.answer(http_response(403, ""));
    front.server.answer(http_response(200, "{}"));
    CHECK(asked(front.question(front.sha256)) == "{\"ok\":true}\n");
}

TEST_CASE("probe worker: says in one line what is wrong and of what kind", "[unit][workers]") {
    Front front;
    SECTION("another certificate") {
        const std::string line = asked(front.question(std::string(64, '0')));
        CHECK_THAT(line, ContainsSubstring(R"({"ok":false,"kind":"permanent","message":")"));
        CHECK_THAT(line, ContainsSubstring("certificate"));
        CHECK_THAT(line, ContainsSubstring(R"("next":")"));
        CHECK(line.find('\n') == line.size() - 1);
    }
    SECTION("Jupyter is down") {
        front.server.answer(http_response(503, "down"));
        const std::string line = asked(front.question(front.sha256));
        CHECK_THAT(line, ContainsSubstring(R"({"ok":false,"kind":"transient","message":")"));
        CHECK_THAT(line, ContainsSubstring("503"));
        CHECK_THAT(line, !ContainsSubstring("secret-token"));
    }
}

TEST_CASE("probe worker: a question without sense is wrong usage and no answer",
          "[unit][workers]") {
    const std::string question =
        GENERATE("",
                 "[]",
                 "{",
                 R"({"address":"127.0.0.1","port":8888,"token":"t"})",
                 R"({"address":"127.0.0.1","port":0,"certificate_sha256":"00","token":"t"})",
                 R"({"address":"127.0.0.1","port":70000,"certificate_sha256":"00","token":"t"})",
                 R"({"address":"127.0.0.1","port":8888,"certificate_sha256":"00","token":""})",
                 R"({"address":"127.0.0.1","port":8888,"certificate_sha256":"00","token":"t",
                     "deadline_ms":0})");
    CHECK(asked(question, 64).empty());
}
