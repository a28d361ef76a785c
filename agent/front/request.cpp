#include "agent/front/request.hpp"

#include "agent/base/text.hpp"

#include <algorithm>

namespace agent {
namespace {

bool is_letter_or_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_method(std::string_view text) {
    return !text.empty() && text.size() <= 32 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_target(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

bool all_of(std::string_view text, std::string_view besides) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return is_letter_or_digit(c) || besides.find(c) != std::string_view::npos;
    });
}

// A name, an IPv4 address or an IPv6 one in brackets, and perhaps a port.
bool is_host(std::string_view text) {
    if (text.size() > 300)
        return false;
    if (const auto port = text.rfind(':');
        port != std::string_view::npos && text.find(']', port) == std::string_view::npos) {
        const auto digits = text.substr(port + 1);
        if (digits.empty() || digits.size() > 5 ||
            digits.find_first_not_of("0123456789") != std::string_view::npos)
            return false;
        text = text.substr(0, port);
    }
    if (text.starts_with('[') && text.ends_with(']'))
        return all_of(text.substr(1, text.size() - 2), ":.");
    return all_of(text, "-._");
}

std::string_view next_line(std::string_view& rest) {
    const auto end = rest.find('\n');
    auto line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    return line;
}

} // namespace

std::optional<std::size_t> end_of_head(std::string_view bytes) {
    for (std::size_t at = bytes.find('\n'); at != std::string_view::npos;
         at = bytes.find('\n', at + 1)) {
        const auto rest = bytes.substr(at + 1);
        if (rest.starts_with("\r\n"))
            return at + 3;
        if (rest.starts_with('\n'))
            return at + 2;
    }
    return std::nullopt;
}

Result<RequestHead> parse_request_head(std::string_view head) {
    const auto line = next_line(head);
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    if (first == std::string_view::npos || first == last)
        return permanent("This is no HTTP request.");
    const auto method = line.substr(0, first);
    const auto target = line.substr(first + 1, last - first - 1);
    if (!is_method(method) || !is_target(target) || !line.substr(last + 1).starts_with("HTTP/1."))
        return permanent("This is no HTTP/1 request.");

    RequestHead request;
    request.method = method;
    request.target = target.starts_with('/') ? target : "/";
    while (!head.empty()) {
        const auto field = next_line(head);
        if (field.empty())
            break;
        const auto colon = field.find(':');
        if (colon == std::string_view::npos)
            return permanent("A header line of the request has no colon.");
        if (lower(field.substr(0, colon)) != "host")
            continue;
        const auto host = trim(field.substr(colon + 1));
        if (!request.host.empty() || !is_host(host))
            return permanent("The Host of the request is not one host.");
        request.host = host;
    }
    return request;
}

} // namespace agent
