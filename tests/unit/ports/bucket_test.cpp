#include "agent/ports/bucket.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <optional>
#include <string>
#include <vector>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* email = "123-compute@developer.gserviceaccount.com";

BucketOrder order_for(const std::string& place) {
    BucketOrder order;
    order.place = place;
    order.url = object_url(place);
    order.reader = {email, {"https://www.googleapis.com/auth/cloud-platform"}, Secret{"geheim"}};
    return order;
}

std::string said_by_google(unsigned status, const std::string& message) {
    return R"({"error": {"code": )" + std::to_string(status) + R"(, "message": ")" + message +
           R"(", "errors": [{"reason": "x"}]}})";
}

} // namespace

TEST_CASE("bucket: an object's name is one component of its URL", "[unit][ports]") {
    CHECK(object_url("gs://my-bucket/requirements.txt") ==
          "https://storage.googleapis.com/storage/v1/b/my-bucket/o/requirements.txt?alt=media");
    CHECK(object_url("gs://a.b_c/lists/r 1?x#y%/ä.txt") ==
          "https://storage.googleapis.com/storage/v1/b/a.b_c/o/"
          "lists%2Fr%201%3Fx%23y%25%2F%C3%A4.txt?alt=media");
}

TEST_CASE("bucket: an order comes as it was sent", "[unit][ports]") {
    BucketOrder order = order_for("gs://b-1/o");
    order.proxy = "http://proxy:3128";
    order.no_proxy = {"intranet"};
    order.ca_certificates = "/etc/company.pem";
    order.attempts = 2;
    order.head_timeout = std::chrono::seconds{7};
    const auto read = read_bucket_order(write_order(order)).value();
    CHECK(read.place == order.place);
    CHECK(read.url == order.url);
    REQUIRE(read.reader.has_value());
    CHECK(read.reader->token == order.reader->token);
    CHECK(read.reader->email == order.reader->email);
    CHECK(read.reader->scopes == order.reader->scopes);
    CHECK(read.proxy == order.proxy);
    CHECK(read.no_proxy == order.no_proxy);
    CHECK(read.ca_certificates == order.ca_certificates);
    CHECK(read.largest == order.largest);
    CHECK(read.attempts == 2);
    CHECK(read.head_timeout == order.head_timeout);
    CHECK(read.idle_timeout == order.idle_timeout);
}

TEST_CASE("bucket: an order that makes no sense is refused without its words", "[unit][ports]") {
    const auto wrong = GENERATE(as<std::string>{},
                                "",
                                "geheim",
                                R"({"place": "gs://b/o", "reader": {"token": "geheim"}})",
                                R"({"url": "https://h/geheim"})",
                                R"({"place": "gs://b/o", "url": "https://h", "attempts": 0})",
                                R"({"place": "gs://b/o", "url": "https://h", "head_ms": -1})",
                                R"({"place": "gs://b/o", "url": "https://h", "largest": -1})");
    const auto read = read_bucket_order(wrong);
    REQUIRE(read.has_error());
    CHECK(read.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(read.error().message, !ContainsSubstring("geheim"));
}

TEST_CASE("bucket: an answer is the text or an error with its kind", "[unit][ports]") {
    const std::string text = "numpy\n# \"ä\"\tb\\\n";
    CHECK(read_answer(write_answer(text)).value() == text);
    CHECK(read_answer(write_answer(std::string{})).value().empty());
    for (const Error& error : {transient("a", "b"), permanent("c"), misconfigured("d", "e")}) {
        const auto read = read_answer(write_answer(error));
        REQUIRE(read.has_error());
        CHECK(read.error().kind == error.kind);
        CHECK(read.error().message == error.message);
        CHECK(read.error().next == error.next);
    }
    for (const char* nothing : {"", "{}", R"({"ok": 1})", "numpy"})
        CHECK(read_answer(nothing).error().kind == ErrorKind::transient);
    CHECK(read_answer(R"({"ok": true})").has_error());
}

TEST_CASE("bucket: an account comes with its token, or there is none, or an error",
          "[unit][ports]") {
    const auto account = order_for("gs://b-1/o").reader;
    const auto read = read_account(write_account(account)).value();
    REQUIRE(read.has_value());
    CHECK(read->email == email);
    CHECK(read->scopes == account->scopes);
    CHECK(read->token == account->token);
    CHECK_FALSE(read_account(write_account(std::optional<ServiceAccount>{})).value().has_value());
    const auto failed = read_account(write_account(transient("no answer")));
    REQUIRE(failed.has_error());
    CHECK(failed.error().message == "no answer");
    for (const char* nothing : {"", "{}", "geheim"})
        CHECK_THAT(read_account(nothing).error().message, !ContainsSubstring("geheim"));
}

TEST_CASE("bucket: who may not read it is named, with the role and the scope", "[unit][ports]") {
    const auto order = order_for("gs://my-bucket/lists/r.txt");
    const std::string said = std::string{email} + " does not have storage.objects.get access";
    const Error error = refusal(order, 403, said_by_google(403, said));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.message == std::string{email} + " may not read it (403: " + said + ")");
    CHECK_THAT(error.next, ContainsSubstring("roles/storage.objectViewer"));
    CHECK_THAT(error.next, ContainsSubstring("add-iam-policy-binding gs://my-bucket "));
    CHECK_THAT(error.next, ContainsSubstring(std::string{"serviceAccount:"} + email));
    CHECK_THAT(error.next, ContainsSubstring("devstorage.read_only or cloud-platform"));
    for (const unsigned status : {401U, 403U})
        CHECK_THAT(refusal(order, status, "").message, !ContainsSubstring("geheim"));
}

TEST_CASE("bucket: access scopes that let nothing be read are named", "[unit][ports]") {
    auto order = order_for("gs://my-bucket/r.txt");
    order.reader->scopes = {"https://www.googleapis.com/auth/logging.write"};
    const Error error = refusal(order, 403, said_by_google(403, "Insufficient Permission"));
    CHECK_THAT(error.message, ContainsSubstring("the VM's access scopes let "));
    CHECK_THAT(error.message, ContainsSubstring("(403: Insufficient Permission)"));
    CHECK_THAT(error.next, ContainsSubstring("devstorage.read_only or cloud-platform"));
    CHECK_THAT(error.next, ContainsSubstring("roles/storage.objectViewer on gs://my-bucket"));
    order.reader->scopes.emplace_back("https://www.googleapis.com/auth/devstorage.read_only");
    CHECK_THAT(refusal(order, 403, "").message, ContainsSubstring(" may not read it (403)"));
}

TEST_CASE("bucket: a VM without an account is told that it has none", "[unit][ports]") {
    BucketOrder order = order_for("gs://my-bucket/r.txt");
    order.reader.reset();
    CHECK_FALSE(read_bucket_order(write_order(order)).value().reader.has_value());
    const Error error =
        refusal(order,
                401,
                said_by_google(401, "Anonymous caller does not have storage.objects.get access"));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK_THAT(error.message, ContainsSubstring("this VM has no service account"));
    CHECK_THAT(error.message, ContainsSubstring("(401: Anonymous caller"));
    CHECK_THAT(error.next, ContainsSubstring("roles/storage.objectViewer on gs://my-bucket"));
}

TEST_CASE("bucket: what is not there is said to be the bucket or the object", "[unit][ports]") {
    const auto order = order_for("gs://my-bucket/r.txt");
    const Error bucket =
        refusal(order, 404, said_by_google(404, "The specified bucket does not exist."));
    CHECK(bucket.kind == ErrorKind::misconfigured);
    CHECK(bucket.message ==
          "there is no gs://my-bucket (404: The specified bucket does not exist.)");
    const Error object = refusal(order, 404, "No such object: my-bucket/r.txt\n");
    CHECK(object.message == "there is no such object (404: No such object: my-bucket/r.txt)");
    CHECK_THAT(object.next, ContainsSubstring("gcloud storage cp FILE gs://my-bucket/r.txt"));
    CHECK(refusal(order, 404, "<html>nothing").message == "there is no such object (404)");
}

TEST_CASE("bucket: what may pass is tried again", "[unit][ports]") {
    const auto order = order_for("gs://my-bucket/r.txt");
    for (const unsigned status : {408U, 429U, 500U, 502U, 503U, 504U})
        CHECK(refusal(order, status, "").kind == ErrorKind::transient);
    for (const unsigned status : {301U, 400U, 412U})
        CHECK(refusal(order, status, "").kind == ErrorKind::permanent);
    CHECK(refusal(order, 503, said_by_google(503, "Backend\\nError")).message ==
          "the server answered with 503: Backend Error");
}

TEST_CASE("bucket: text is what a person could have written", "[unit][ports]") {
    CHECK(is_text(""));
    CHECK(is_text("numpy==1.0\r\n\t# Größe\n"));
    CHECK_FALSE(is_text(std::string_view{"PK\x03\x04", 4}));
    CHECK_FALSE(is_text(std::string_view{"a\0b", 3}));
    CHECK_FALSE(is_text("\xff\xfe"));
    CHECK_FALSE(is_text("\x1f\x8b\x08"));
}
