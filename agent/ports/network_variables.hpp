// Owns the names by which a program's environment tells it of a company's network, so that the step
// that fits Jupyter's unit and the service that passes them on agree: curl's, Python's, pip's,
// uv's, git's, Go's and Node's names for the same things.
#pragma once

namespace agent::network_variables {

inline constexpr const char* proxy[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
inline constexpr const char* without_proxy[] = {"no_proxy", "NO_PROXY"};
inline constexpr const char* certificates[] = {"SSL_CERT_FILE",
                                               "REQUESTS_CA_BUNDLE",
                                               "PIP_CERT",
                                               "CURL_CA_BUNDLE",
                                               "GIT_SSL_CAINFO",
                                               "NODE_EXTRA_CA_CERTS"};

} // namespace agent::network_variables
