// Owns an HttpClient in tests: records the requests, gives the answers in the order they were put.
#pragma once

#include "agent/ports/http.hpp"

#include <boost/asio/awaitable.hpp>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace agent::test {

class FakeHttp final : public HttpClient {
public:
    // When no answer is left, nobody answers.
    boost::asio::awaitable<Result<HttpResponse>> exchange(HttpRequest request) override {
        requests.push_back(std::move(request));
        if (answers.empty())
            co_return transient("nobody answers");
        auto answer = std::move(answers.front());
        answers.pop_front();
        co_return answer;
    }

    void answer(unsigned status,
                std::string body = {},
                std::map<std::string, std::string> headers = {}) {
        HttpResponse response;
        response.status = status;
        response.body = std::move(body);
        response.headers = std::move(headers);
        answers.emplace_back(std::move(response));
    }
    void fail(Error error) { answers.emplace_back(std::move(error)); }

    std::deque<Result<HttpResponse>> answers;
    std::vector<HttpRequest> requests;
};

} // namespace agent::test
