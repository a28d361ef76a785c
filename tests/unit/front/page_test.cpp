#include "agent/front/page.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace agent {
namespace {

RequestHead get(std::string target = "/", std::string host = "203.0.113.7:8888") {
    return {"GET", std::move(target), std::move(host)};
}

std::string page_of(const std::string& status_json) {
    return render_page(page_content(status_json));
}

} // namespace

TEST_CASE("page: names the step that runs and what is under way", "[unit][front]") {
    const auto page = page_of(R"({"schema":1,"state":"provisioning","summary":"2 of 4 steps done",
        "problem":null,"steps":[
        {"id":"service_user","state":"satisfied","reason":"exists"},
        {"id":"python_packages","state":"running","reason":"installing 12 packages"},
        {"id":"jupyter_config","state":"pending","reason":""}]})");
    CHECK_THAT(page, ContainsSubstring("<title>Not ready yet: python_packages</title>"));
    CHECK_THAT(page, ContainsSubstring("<p>installing 12 packages</p>"));
    CHECK_THAT(page,
               ContainsSubstring("<span class=\"satisfied\">satisfied</span><b>service_user"));
    CHECK_THAT(page, ContainsSubstring("<span class=\"pending\">pending</span><b>jupyter_config"));
    CHECK_THAT(page, ContainsSubstring("<meta http-equiv=\"refresh\" content=\"2\">"));
}

TEST_CASE("page: a failure shows the problem and what to do", "[unit][front]") {
    const auto page = page_of(R"({"schema":1,"state":"failed","summary":"failed",
        "problem":{"step":"apt_packages","kind":"permanent","message":"apt has no package foo.",
                   "next":"Remove foo from [apt] packages."},
        "steps":[{"id":"apt_packages","state":"failed","reason":"apt-get exited with status 100"}]})");
    CHECK_THAT(page, ContainsSubstring("<h1>Setting up failed: apt_packages</h1>"));
    CHECK_THAT(page, ContainsSubstring("apt has no package foo."));
    CHECK_THAT(page, ContainsSubstring("Remove foo from [apt] packages."));
}

TEST_CASE("page: says what each state of the machine means here", "[unit][front]") {
    struct Row {
        std::string state;
        std::string title;
    };
    const auto row = GENERATE(Row{"starting", "Not ready yet"},
                              Row{"ready", "Not ready yet: Jupyter"},
                              Row{"degraded", "Not ready yet: Jupyter"},
                              Row{"stopping", "Stopping"},
                              Row{"failed", "Setting up failed"});
    const auto page = page_of(R"({"schema":1,"state":")" + row.state + R"(","summary":"s"})");
    CHECK_THAT(page, ContainsSubstring("<title>" + row.title + "</title>"));
}

TEST_CASE("page: a step that waits for a person comes first", "[unit][front]") {
    const auto page = page_of(R"({"schema":1,"state":"provisioning","summary":"","steps":[
        {"id":"python","state":"running","reason":"x"},
        {"id":"repository:work","state":"waiting","reason":"add the key to GitHub"}]})");
    CHECK_THAT(page, ContainsSubstring("<h1>Waiting for you: repository:work</h1>"));
    CHECK_THAT(page, ContainsSubstring("<p>add the key to GitHub</p>"));
}

TEST_CASE("page: without a status that can be read it still says something", "[unit][front]") {
    const std::optional<std::string> status =
        GENERATE(std::optional<std::string>{},
                 std::optional<std::string>{""},
                 std::optional<std::string>{"{"},
                 std::optional<std::string>{"[]"},
                 std::optional<std::string>{R"({"schema":2,"state":"failed"})"},
                 std::optional<std::string>{R"({"schema":1,"steps":7,"problem":[]})"},
                 std::optional<std::string>{R"({"schema":1,"steps":[1,{"state":"running"}]})"});
    const auto page = render_page(page_content(status));
    CHECK_THAT(page, ContainsSubstring("<title>Not ready yet</title>"));
    CHECK_THAT(page, ContainsSubstring("This machine is starting"));
}

TEST_CASE("page: no text of the status becomes markup", "[unit][front]") {
    const std::string evil = R"(\"'><script>alert(1)</script>&amp;)";
    const auto page =
        page_of(R"({"schema":1,"state":")" + evil + R"(","summary":")" + evil +
                R"(","problem":{"step":")" + evil + R"(","message":")" + evil + R"(","next":")" +
                evil + R"("},"steps":[{"id":")" + evil + R"(","state":"running","reason":")" +
                evil + R"("},{"id":"b","state":")" + evil + R"(","reason":""}]})");
    CHECK(page.find("<script") == std::string::npos);
    CHECK(page.find("\"'>") == std::string::npos);
    CHECK_THAT(page,
               ContainsSubstring("&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;"));
}

TEST_CASE("page: loads nothing and stays bounded", "[unit][front]") {
    std::string steps;
    for (int i = 0; i < 1000; ++i)
        steps += (i ? "," : "") + std::string{R"({"id":"x","state":"running","reason":")"} +
                 std::string(2000, 'y') + R"("})";
    const auto page = page_of(R"({"schema":1,"state":"provisioning","steps":[)" + steps + "]}");
    CHECK(page.size() < 200'000);
    for (const char* loading : {"src=", "href=", "url(", "@import", "http://", "https://"})
        CHECK(page.find(loading) == std::string::npos);
}

TEST_CASE("page: the answer is a 503 that nobody keeps", "[unit][front]") {
    const auto answer = page_answer(get(), {});
    CHECK_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK_THAT(answer, ContainsSubstring("\r\nRetry-After: 2\r\n"));
    CHECK_THAT(answer, ContainsSubstring("\r\nCache-Control: no-store\r\n"));
    CHECK_THAT(answer, ContainsSubstring("\r\nConnection: close\r\n"));
    CHECK_THAT(answer, ContainsSubstring("\r\nContent-Security-Policy: default-src 'none'; "));
    const auto body = answer.substr(answer.find("\r\n\r\n") + 4);
    CHECK_THAT(answer,
               ContainsSubstring("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
}

TEST_CASE("page: HEAD gets no body", "[unit][front]") {
    auto request = get();
    request.method = "HEAD";
    CHECK(page_answer(request, {}).ends_with("\r\n\r\n"));
}

TEST_CASE("page: plain HTTP is sent to HTTPS on the same host and port", "[unit][front]") {
    const auto answer = redirect_answer(get("/lab?a=b"));
    CHECK_THAT(answer, StartsWith("HTTP/1.1 301 Moved Permanently\r\n"));
    CHECK_THAT(answer, ContainsSubstring("\r\nLocation: https://203.0.113.7:8888/lab?a=b\r\n"));
    CHECK_THAT(redirect_answer(get("/", "")), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
}

} // namespace agent
