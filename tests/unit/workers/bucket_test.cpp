#include "agent/ports/bucket.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/workers/bucket.hpp"
#include "tests/support/loopback_https.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Bucket {
    Bucket() {
        order.place = "gs://my-bucket/lists/r.txt";
        order.url = https.url("/storage/v1/b/my-bucket/o/lists%2Fr.txt?alt=media");
        order.reader = {"vm@example.com", {}, Secret{"ya29.geheim"}};
        order.ca_certificates = https.ca_certificates();
        order.backoff = {1ms, 1ms};
        order.largest = 100;
    }

    Result<std::string> read() {
        std::istringstream input{write_order(order)};
        std::ostringstream output;
        REQUIRE(bucket_worker(input, output, 2024) == 0);
        said = output.str();
        return read_answer(said);
    }

    LoopbackHttps https;
    LoopbackHttp& server = https.server;
    BucketOrder order;
    std::string said;
};

} // namespace

TEST_CASE("bucket worker: the object is asked for with the token, which nobody is told",
          "[unit][workers]") {
    Bucket bucket;
    bucket.server.answer(http_response(200, "numpy==1.26.4\n"));
    CHECK(bucket.read().value() == "numpy==1.26.4\n");
    const std::string request = bucket.server.requests().front();
    CHECK_THAT(request,
               ContainsSubstring("GET /storage/v1/b/my-bucket/o/lists%2Fr.txt?alt=media HTTP/1.1"));
    CHECK_THAT(request, ContainsSubstring("Authorization: Bearer ya29.geheim\r\n"));
    CHECK_THAT(bucket.said, !ContainsSubstring("geheim"));
}

TEST_CASE("bucket worker: without a token nothing says who asks", "[unit][workers]") {
    Bucket bucket;
    bucket.order.reader.reset();
    bucket.server.answer(http_response(200, "numpy\n"));
    CHECK(bucket.read().value() == "numpy\n");
    CHECK_THAT(bucket.server.requests().front(), !ContainsSubstring("Authorization"));
}

TEST_CASE("bucket worker: a refusal is said once, with the object's name and the server's words",
          "[unit][workers]") {
    Bucket bucket;
    bucket.server.answer(http_response(403, R"({"error": {"message": "no objects.get access"}})"));
    const auto answer = bucket.read();
    REQUIRE(answer.has_error());
    CHECK(answer.error().kind == ErrorKind::permanent);
    CHECK(answer.error().message == "reading gs://my-bucket/lists/r.txt: vm@example.com may not "
                                    "read it (403: no objects.get access)");
    CHECK(bucket.server.requests().size() == 1);
    CHECK_THAT(bucket.said, !ContainsSubstring("geheim"));
}

TEST_CASE("bucket worker: what passes is tried again, a few times", "[unit][workers]") {
    Bucket bucket;
    SECTION("and then is there") {
        bucket.server.answer(http_response(503, ""));
        bucket.server.answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nnum");
        bucket.server.answer(http_response(200, "numpy\n"));
        CHECK(bucket.read().value() == "numpy\n");
        CHECK(bucket.server.requests().size() == 3);
    }
    SECTION("and then given up") {
        for (int i = 0; i < 3; ++i)
            bucket.server.answer(http_response(503, ""));
        const auto answer = bucket.read();
        REQUIRE(answer.has_error());
        CHECK(answer.error().kind == ErrorKind::transient);
        CHECK_THAT(answer.error().message, ContainsSubstring("answered with 503"));
        CHECK(bucket.server.requests().size() == 3);
    }
}

TEST_CASE("bucket worker: the token goes to no other server", "[unit][workers]") {
    Bucket bucket;
    bucket.server.answer(http_response(302, "", {"Location: https://127.0.0.1:1/other"}));
    const auto answer = bucket.read();
    REQUIRE(answer.has_error());
    CHECK(answer.error().kind == ErrorKind::permanent);
    CHECK_THAT(answer.error().message, ContainsSubstring("answered with 302"));
    CHECK(bucket.server.requests().size() == 1);
}

TEST_CASE("bucket worker: what is no list of packages is not taken", "[unit][workers]") {
    Bucket bucket;
    SECTION("too large by its own word") {
        bucket.server.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        CHECK_THAT(bucket.read().error().message, ContainsSubstring("larger than 100 bytes"));
    }
    SECTION("too large without a word") {
        bucket.server.answer("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" +
                             std::string(101, 'a'));
        CHECK_THAT(bucket.read().error().message, ContainsSubstring("larger than 100 bytes"));
    }
    SECTION("no text") {
        bucket.server.answer(http_response(200, std::string_view{"PK\x03\x04\0", 5}));
        CHECK_THAT(bucket.read().error().message, ContainsSubstring("it is no UTF-8 text"));
    }
    CHECK(read_answer(bucket.said).error().kind == ErrorKind::misconfigured);
    CHECK(bucket.server.requests().size() == 1);
}

TEST_CASE("bucket worker: whose certificate nobody vouches for is told nothing",
          "[unit][workers]") {
    Bucket bucket;
    const TempRoot other{TempRoot::in_memory()};
    std::ofstream{other.path() / "ca.pem"}
        << make_certificate("other", {"127.0.0.1"}, std::chrono::system_clock::now())
               .value()
               .reveal();
    bucket.order.ca_certificates = other.path() / "ca.pem";
    const auto answer = bucket.read();
    REQUIRE(answer.has_error());
    CHECK(answer.error().kind == ErrorKind::permanent);
    CHECK_THAT(answer.error().message, ContainsSubstring("the certificate of 127.0.0.1"));
    CHECK(bucket.server.requests().empty());
}

TEST_CASE("bucket worker: a server that is not reached may be later", "[unit][workers]") {
    Bucket bucket;
    bucket.order.url = "https://127.0.0.1:1/storage";
    const auto answer = bucket.read();
    REQUIRE(answer.has_error());
    CHECK(answer.error().kind == ErrorKind::transient);
    CHECK_THAT(answer.error().message, ContainsSubstring("reading gs://my-bucket/lists/r.txt: "));
}

TEST_CASE("bucket worker: an order that makes no sense is wrong usage", "[unit][workers]") {
    std::istringstream input{"geheim"};
    std::ostringstream output;
    CHECK(bucket_worker(input, output, 2024) == 64);
    CHECK(output.str().empty());
}
