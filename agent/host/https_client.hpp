// Owns the HTTPS client that fetches what is large (Asio's resolver, Beast's parser, OpenSSL):
// names, the proxy's CONNECT (over TLS where it is an https:// one), TLS 1.2 or newer with
// certificate authorities and host names checked, a body as it comes. There is no way to switch a
// check off.
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/download.hpp"
#include "agent/ports/https_url.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace agent {

struct HttpsSettings {
    std::optional<ProxyAddress> proxy;
    std::vector<std::string> no_proxy;
    std::filesystem::path ca_certificates;     // a PEM bundle; empty: the system's
    std::chrono::milliseconds head_timeout{0}; // each for connecting, TLS, and the answer's head
    std::chrono::milliseconds idle_timeout{0}; // for each piece of the body
    int earliest_year = 0;                     // a clock before it is wrong
};

struct HttpsHead {
    unsigned status = 0;
    std::map<std::string, std::string> headers; // names in lower case; of repeated ones the first
    std::optional<std::uint64_t> content_length;
    [[nodiscard]] std::string header(const std::string& name) const;
};

// One connection at a time, used again where the server lets it be. Not to be destroyed while one
// of its coroutines is suspended: close() it and wait.
class HttpsConnection {
public:
    virtual ~HttpsConnection() = default;
    // Sends a GET and reads the answer's head, whatever its status. Connects anew to another host,
    // or when what came before was not read to its end.
    virtual boost::asio::awaitable<DownloadResult<HttpsHead>>
    ask(HttpsUrl url, std::map<std::string, std::string> headers) = 0;
    // The next bytes of the body, at least one; 0: it has ended in order.
    virtual boost::asio::awaitable<DownloadResult<std::size_t>> read(std::span<char> buffer) = 0;
    // What is pending fails as abandoned.
    virtual void close() = 0;
};

class HttpsClient {
public:
    // Misconfigured when the bundle of certificates is not there or holds none.
    static Result<HttpsClient> make(boost::asio::io_context& io, HttpsSettings settings);

    [[nodiscard]] std::unique_ptr<HttpsConnection> connection() const;

    struct State;

private:
    explicit HttpsClient(std::shared_ptr<State> state) : state_{std::move(state)} {}
    std::shared_ptr<State> state_; // shared with its connections
};

// Why a certificate was not accepted.
struct CertificateProblem {
    int code = 0;                   // X509_V_ERR_…
    std::string issuer;             // of the certificate at fault
    std::vector<std::string> names; // that the server's certificate is for
    std::chrono::system_clock::time_point not_before;
    std::chrono::system_clock::time_point not_after;
};
// In words, with what to do. A clock before `earliest_year` is no fault of the certificate: it may
// pass.
[[nodiscard]] DownloadFailure explain_certificate(const std::string& host,
                                                  const CertificateProblem& problem,
                                                  std::chrono::system_clock::time_point now,
                                                  int earliest_year);

} // namespace agent
