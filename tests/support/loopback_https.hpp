// Owns an https server on the loopback in a thread of its own: a worker blocks while it asks, on an
// io_context of its own.
#pragma once

#include "agent/ports/crypto.hpp"
#include "tests/support/loopback_http.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

namespace agent::test {

class LoopbackHttps {
public:
    LoopbackHttps() : thread_{[this] { io_.run(); }} { std::ofstream{ca_certificates()} << pem_; }
    ~LoopbackHttps() {
        io_.stop();
        thread_.join();
    }
    LoopbackHttps(const LoopbackHttps&) = delete;
    LoopbackHttps& operator=(const LoopbackHttps&) = delete;

    [[nodiscard]] std::string url(std::string_view path) const {
        return ("https://127.0.0.1:" + std::to_string(server.port())).append(path);
    }
    [[nodiscard]] std::filesystem::path directory() const { return root_.path(); }
    // Whom the client must trust.
    [[nodiscard]] std::filesystem::path ca_certificates() const { return root_.path() / "ca.pem"; }

private:
    TempRoot root_{TempRoot::in_memory()};
    boost::asio::io_context io_{1};
    std::string pem_ =
        make_certificate("test", {"127.0.0.1"}, std::chrono::system_clock::now()).value().reveal();

public:
    LoopbackHttp server{io_, pem_};

private:
    std::thread thread_;
};

} // namespace agent::test
