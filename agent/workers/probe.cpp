#include "agent/workers/probe.hpp"

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"
#include "agent/base/log.hpp"
#include "agent/base/secret.hpp"
#include "agent/host/http_client.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/probe.hpp"
#include "agent/workers/work.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <iostream>
#include <stop_token>
#include <string>
#include <utility>

namespace agent {
namespace {

constexpr std::size_t input_limit = 65'536;
constexpr int wrong_usage = 64;

struct Question {
    TlsEndpoint endpoint;
    Secret token;
    std::chrono::milliseconds deadline{5000};
    bool proven = false; // only whether it still answers
};

Result<Question> read_question(std::istream& input) {
    const auto value = parse_json(read_input(input, input_limit));
    // Not the parser's words: they may quote the token.
    if (!value || !value->as_object())
        return permanent("the probe's question is no JSON object");
    Question question;
    question.endpoint.address = value->string_or("address", "");
    question.endpoint.certificate_sha256 = value->string_or("certificate_sha256", "");
    question.token = Secret{value->string_or("token", "")};
    const auto port = value->integer_or("port", 0);
    const auto deadline = value->integer_or("deadline_ms", question.deadline.count());
    if (question.endpoint.address.empty() || question.endpoint.certificate_sha256.empty() ||
        question.token.empty() || port < 1 || port > 65535 || deadline < 1 || deadline > 600'000)
        return permanent(
            "the probe's question lacks its address, port, certificate or token, or one "
            "of them is out of range");
    const Value* const proven = value->find("proven");
    question.proven = proven && proven->as_bool() && *proven->as_bool();
    question.endpoint.port = static_cast<std::uint16_t>(port);
    question.deadline = std::chrono::milliseconds{deadline};
    return question;
}

Result<void> probe(Question question) {
    boost::asio::io_context io{1};
    BeastHttpClient http{io, std::stop_token{}};
    const Result<void> nothing = permanent("the probe did not run");
    const auto ask = question.proven ? ask_proven_jupyter : probe_jupyter;
    return run_alone(io, ask(http, question.endpoint, question.token, question.deadline), nothing);
}

void add(Value::Object& object, std::string key, Value value) {
    object.push_back({std::move(key), std::move(value), {}});
}

} // namespace

int probe_worker(std::istream& input, std::ostream& output) {
    auto question = read_question(input);
    if (!question) {
        log::error(question.error().message);
        return wrong_usage;
    }
    const auto outcome = probe(std::move(*question));
    Value::Object line;
    add(line, "ok", outcome.has_value());
    if (!outcome) {
        add(line, "kind", std::string{name_of(outcome.error().kind)});
        add(line, "message", outcome.error().message);
        add(line, "next", outcome.error().next);
    }
    output << write_json(Value{std::move(line)}) << '\n' << std::flush;
    return 0;
}

int probe_worker() {
    return probe_worker(std::cin, std::cout);
}

} // namespace agent
