#include "agent/host/gce_metadata.hpp"

#include "agent/base/document.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/https_url.hpp"
#include "agent/ports/layout.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view flavor_name = "Metadata-Flavor";
constexpr std::string_view flavor = "Google";
constexpr std::size_t size_limit = 1'048'576; // all custom metadata together is below 512 KB
// The server answers an unchanged value after timeout_sec; Google's own agent waits 70 s for that.
constexpr auto poll_deadline = 70s;
constexpr auto put_deadline = 5s;
constexpr std::size_t longest_token = 4096;

const Value& member(const Value& object, const std::string& key) {
    static const Value nothing;
    const Value* found = object.find(key);
    return found ? *found : nothing;
}

const Value::Array& elements(const Value& value) {
    static const Value::Array none;
    const auto* array = value.as_array();
    return array ? *array : none;
}

std::string last_component(const std::string& path) {
    return path.substr(path.rfind('/') + 1); // npos + 1 is 0
}

std::string digits_of(const Value& id) {
    if (const auto* small = id.as_integer())
        return std::to_string(*small);
    if (const auto* large = std::get_if<std::uint64_t>(&id.data))
        return std::to_string(*large);
    return {};
}

std::map<std::string, std::string> attributes_of(const Value& tree) {
    std::map<std::string, std::string> attributes;
    const Value& found = member(tree, "attributes");
    if (const auto* members = found.as_object())
        for (const auto& [key, value, position] : *members)
            if (const auto* text = value.as_string())
                attributes.emplace(key, *text);
    return attributes;
}

void add_text(std::vector<std::string>& list, const Value& value) {
    if (const auto* text = value.as_string(); text && !text->empty())
        list.push_back(*text);
}

MachineFacts facts_of(const Value& tree) {
    const Value& instance = member(tree, "instance");
    const Value& project = member(tree, "project");
    MachineFacts facts;
    facts.instance_id = digits_of(member(instance, "id"));
    facts.name = instance.string_or("name", "");
    facts.hostname = instance.string_or("hostname", "");
    facts.zone = last_component(instance.string_or("zone", ""));
    facts.project_id = project.string_or("projectId", "");
    for (const auto& interface : elements(member(instance, "networkInterfaces"))) {
        add_text(facts.internal_addresses, member(interface, "ip"));
        for (const auto& access : elements(member(interface, "accessConfigs")))
            add_text(facts.external_addresses, member(access, "externalIp"));
    }
    if (const auto& interfaces = elements(member(instance, "networkInterfaces"));
        !interfaces.empty())
        facts.network = last_component(interfaces.front().string_or("network", ""));
    for (const auto& tag : elements(member(instance, "tags")))
        add_text(facts.tags, tag);
    facts.instance_attributes = attributes_of(instance);
    facts.project_attributes = attributes_of(project);
    return facts;
}

// What a header can carry: visible ASCII.
bool is_token(const std::string& text) {
    return !text.empty() && text.size() <= longest_token &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

// 412 is what Google's own agent retries as well.
bool is_passing(unsigned status) {
    return status == 408 || status == 412 || status == 429 || status >= 500;
}

} // namespace

Result<TcpEndpoint> metadata_endpoint(std::string_view text) {
    const auto wrong = [&] {
        return misconfigured(std::string{metadata_variable} + " is \"" + printable(text, 80) +
                                 "\", which is no numeric address with or without a port",
                             "set it to an address such as 169.254.169.254 or 127.0.0.1:8080, or "
                             "unset it");
    };
    std::string_view address = text;
    std::string_view port;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos)
            return wrong();
        address = text.substr(1, end - 1);
        port = text.substr(end + 1);
    } else if (const auto colon = text.find(':');
               colon != std::string_view::npos && colon == text.rfind(':')) {
        address = text.substr(0, colon);
        port = text.substr(colon);
    }
    TcpEndpoint endpoint;
    endpoint.address = std::string{address};
    boost::system::error_code not_numeric;
    boost::asio::ip::make_address(endpoint.address, not_numeric);
    if (not_numeric)
        return wrong();
    if (!port.empty()) {
        const char* const end = port.data() + port.size();
        const auto [rest, failed] = std::from_chars(port.data() + 1, end, endpoint.port);
        if (port.front() != ':' || failed != std::errc{} || rest != end || endpoint.port == 0)
            return wrong();
    }
    return endpoint;
}

Result<TcpEndpoint> metadata_server() {
    const char* const told = std::getenv(metadata_variable);
    return metadata_endpoint(told && *told != 0 ? std::string_view{told}
                                                : GceMetadata::standard_address);
}

GceMetadata::GceMetadata(HttpClient& http,
                         TcpEndpoint endpoint,
                         std::chrono::milliseconds read_deadline)
    : http_{http}, endpoint_{std::move(endpoint)}, read_deadline_{read_deadline} {}

HttpRequest GceMetadata::request(std::string_view path) const {
    HttpRequest request;
    request.endpoint = endpoint_;
    request.host = endpoint_.address.find(':') == std::string::npos ? endpoint_.address
                                                                    : "[" + endpoint_.address + "]";
    if (endpoint_.port != 80)
        request.host += ":" + std::to_string(endpoint_.port);
    request.target = "/computeMetadata/v1/" + std::string{path};
    request.headers.emplace(flavor_name, flavor);
    request.body_limit = size_limit;
    return request;
}

boost::asio::awaitable<Result<HttpResponse>> GceMetadata::get(HttpRequest request) {
    auto found = co_await find(std::move(request));
    if (!found)
        co_return found.error();
    if (!*found)
        co_return permanent("the metadata server answered with status 404");
    co_return std::move(**found);
}

boost::asio::awaitable<Result<std::optional<HttpResponse>>> GceMetadata::find(HttpRequest request) {
    auto response = co_await http_.exchange(std::move(request));
    if (!response)
        co_return context(response.error(), "asking the metadata server");
    const std::string status = std::to_string(response->status);
    if (is_passing(response->status))
        co_return transient("the metadata server answered with status " + status);
    if (response->header(std::string{flavor_name}) != flavor)
        co_return permanent("what answers at " + endpoint_.address +
                                " is not GCE's metadata server: "
                                "the header `Metadata-Flavor: Google` is missing (status " +
                                status + ")",
                            "take away the proxy or portal in front of " + endpoint_.address +
                                "; where there is no GCE, write the configuration to " +
                                layout::config_file);
    if (response->status == 404)
        co_return std::nullopt;
    if (response->status != 200)
        co_return permanent("the metadata server answered with status " + status + ": " +
                            printable(trim(response->body), 120));
    co_return std::optional{std::move(*response)};
}

boost::asio::awaitable<Result<MachineFacts>> GceMetadata::read() {
    HttpRequest whole = request("?recursive=true&alt=json");
    whole.deadline = read_deadline_;
    const auto response = co_await get(std::move(whole));
    if (!response)
        co_return response.error();
    const auto tree = parse_json(response->body);
    if (!tree)
        co_return transient("the metadata server's answer is no JSON: " + tree.error().message);
    if (!tree->as_object())
        co_return transient("the metadata server's answer is no JSON object");
    MachineFacts facts = facts_of(*tree);
    // Whoever went on with this would take the machine for another one.
    if (facts.instance_id.empty())
        co_return transient("the metadata server's answer is not whole: `instance.id` is missing");
    co_return facts;
}

boost::asio::awaitable<Result<std::optional<ServiceAccount>>> GceMetadata::service_account() {
    const std::string account = "instance/service-accounts/default/";
    auto ask = request(account + "?recursive=true&alt=json"); // without its token
    const auto described = co_await find(std::move(ask));
    if (!described)
        co_return described.error();
    if (!*described)
        co_return std::nullopt;
    auto ask_token = request(account + "token");
    const auto given = co_await find(std::move(ask_token));
    if (!given)
        co_return given.error();
    if (!*given)
        co_return std::nullopt;
    // No parser's words from here on: they might quote.
    const auto description = parse_json((*described)->body);
    const auto answer = parse_json((*given)->body);
    if (!description || !answer)
        co_return transient("the metadata server's answer about the service account is no JSON");
    ServiceAccount found;
    found.email = description->string_or("email", "");
    for (const auto& scope : elements(member(*description, "scopes")))
        add_text(found.scopes, scope);
    found.token = Secret{answer->string_or("access_token", "")};
    if (!is_token(found.token.reveal()))
        co_return transient("the metadata server gave no access token for the service account");
    co_return std::optional{std::move(found)};
}

boost::asio::awaitable<Result<HttpResponse>> GceMetadata::wait_for_change(std::string target,
                                                                          std::string etag) {
    HttpRequest poll = request(target);
    if (!etag.empty()) {
        poll.target += target.find('?') == std::string::npos ? '?' : '&';
        poll.target += "wait_for_change=true&timeout_sec=60&last_etag=" + percent_encoded(etag);
        poll.deadline = poll_deadline;
    }
    auto response = co_await get(std::move(poll));
    if (response && response->header("etag").empty())
        co_return transient("the metadata server answered without an ETag");
    co_return response;
}

boost::asio::awaitable<Result<std::string>> GceMetadata::wait_for_attributes(std::string etag) {
    std::string target = "instance/attributes/?recursive=true";
    const auto response = co_await wait_for_change(std::move(target), std::move(etag));
    if (!response)
        co_return response.error();
    co_return response->header("etag");
}

boost::asio::awaitable<Result<MetadataSource::Preemption>>
GceMetadata::wait_for_preemption(std::string etag) {
    std::string target = "instance/preempted";
    const auto response = co_await wait_for_change(std::move(target), std::move(etag));
    if (!response)
        co_return response.error();
    co_return Preemption{trim(response->body) == "TRUE", response->header("etag")};
}

boost::asio::awaitable<GuestWrite> GceMetadata::put_guest_attribute(std::string key,
                                                                    std::string value) {
    HttpRequest write = request("instance/guest-attributes/agent/" + key);
    write.method = "PUT";
    write.body = std::move(value);
    write.deadline = put_deadline;
    const auto response = co_await http_.exchange(std::move(write));
    if (!response || is_passing(response->status))
        co_return GuestWrite::later;
    if (response->status >= 200 && response->status < 300)
        co_return GuestWrite::written;
    // "Guest attributes endpoint access is disabled."
    co_return response->status == 403 ? GuestWrite::disabled : GuestWrite::rejected;
}

} // namespace agent
