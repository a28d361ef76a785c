// Owns the talk with GCE's metadata server: paths, the Metadata-Flavor header, what its answers
// mean.
#pragma once

#include "agent/ports/bucket.hpp"
#include "agent/ports/http.hpp"
#include "agent/ports/metadata.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

// "169.254.169.254" or "127.0.0.1:8080", as in GCE_METADATA_HOST; a host name is refused, for
// nothing here asks DNS.
[[nodiscard]] Result<TcpEndpoint> metadata_endpoint(std::string_view text);

// Where GCE_METADATA_HOST says that the server is; unset or empty: at its standard address.
[[nodiscard]] Result<TcpEndpoint> metadata_server();

class GceMetadata final : public MetadataSource {
public:
    // Where the server is unless GCE_METADATA_HOST says otherwise; the same on every VM.
    static constexpr std::string_view standard_address = "169.254.169.254";

    // `http` outlives this. `read_deadline` bounds read(), which is answered in milliseconds.
    GceMetadata(HttpClient& http,
                TcpEndpoint endpoint,
                std::chrono::milliseconds read_deadline = std::chrono::seconds{5});

    boost::asio::awaitable<Result<MachineFacts>> read() override;
    boost::asio::awaitable<Result<std::string>> wait_for_attributes(std::string etag) override;
    boost::asio::awaitable<Result<Preemption>> wait_for_preemption(std::string etag) override;
    boost::asio::awaitable<GuestWrite> put_guest_attribute(std::string key,
                                                           std::string value) override;

    // nullopt: the VM has none. Errors as of read(), one attempt; none holds a word of the token.
    boost::asio::awaitable<Result<std::optional<ServiceAccount>>> service_account();

private:
    [[nodiscard]] HttpRequest request(std::string_view path) const;
    boost::asio::awaitable<Result<HttpResponse>> wait_for_change(std::string target,
                                                                 std::string etag);
    // Only a 200 of GCE's own server is a success; and a 404, which is nullopt.
    boost::asio::awaitable<Result<HttpResponse>> get(HttpRequest request);
    boost::asio::awaitable<Result<std::optional<HttpResponse>>> find(HttpRequest request);

    HttpClient& http_;
    TcpEndpoint endpoint_;
    std::chrono::milliseconds read_deadline_;
};

} // namespace agent
