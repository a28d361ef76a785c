#include "agent/ports/bucket.hpp"

#include "agent/base/document.hpp"
#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/https_url.hpp"
#include "agent/ports/told_error.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace agent {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view api = "https://storage.googleapis.com/storage/v1/b/";
constexpr std::int64_t longest_time = 600'000;
constexpr std::size_t longest_next = 900; // it holds a whole command

Value::Array list_of(const std::vector<std::string>& texts) {
    return {texts.begin(), texts.end()};
}

std::vector<std::string> texts_in(const Value& order, const std::string& key) {
    std::vector<std::string> texts;
    if (const Value* found = order.find(key); found && found->as_array())
        for (const auto& one : *found->as_array())
            if (const auto* text = one.as_string())
                texts.push_back(*text);
    return texts;
}

// What it says of itself: {"error":{"code":…,"message":…}}, or the first line of a text.
std::string words_of(std::string_view body) {
    const auto json = parse_json(body);
    const Value* error = json ? json->find("error") : nullptr;
    const std::string message = error ? error->string_or("message", "") : std::string{};
    if (!message.empty())
        return ": " + printable(message, 300);
    const auto line = trim(body.substr(0, body.find('\n')));
    if (line.empty() || line.starts_with('<') || line.starts_with('{'))
        return {};
    return ": " + printable(line, 300);
}

bool lets_read(std::string_view scope) {
    constexpr std::string_view beginning = "https://www.googleapis.com/auth/";
    constexpr std::array<std::string_view, 5> all{"cloud-platform",
                                                  "cloud-platform.read-only",
                                                  "devstorage.full_control",
                                                  "devstorage.read_only",
                                                  "devstorage.read_write"};
    return scope.starts_with(beginning) &&
           std::find(all.begin(), all.end(), scope.substr(beginning.size())) != all.end();
}

std::string bucket_of(std::string_view place) {
    return std::string{place.substr(0, place.find('/', bucket_scheme.size()))};
}

Error not_allowed(const BucketOrder& order, const std::string& said) {
    const std::string bucket = bucket_of(order.place);
    if (!order.reader)
        return permanent("this VM has no service account, and not everybody may read it (" + said +
                             ")",
                         "give the VM, while it is stopped, an account with "
                         "roles/storage.objectViewer on " +
                             bucket +
                             " (gcloud compute instances set-service-account NAME "
                             "--service-account=EMAIL --scopes=cloud-platform)");
    const auto& [email, scopes, token] = *order.reader;
    const std::string who = email.empty() ? "the VM's service account" : email;
    const std::string name = email.empty() ? "EMAIL" : email;
    if (!scopes.empty() && std::none_of(scopes.begin(), scopes.end(), lets_read))
        return permanent("the VM's access scopes let " + who + " read no bucket (" + said + ")",
                         "give the VM, while it is stopped, the scope devstorage.read_only or "
                         "cloud-platform (gcloud compute instances set-service-account NAME "
                         "--service-account=" +
                             name +
                             " --scopes=cloud-platform), and the account "
                             "roles/storage.objectViewer on " +
                             bucket);
    return permanent(who + " may not read it (" + said + ")",
                     "give it that right, then `agent retry`: gcloud storage buckets "
                     "add-iam-policy-binding " +
                         bucket +
                         " --role=roles/storage.objectViewer --member=serviceAccount:" + name +
                         "; the VM's access scopes need devstorage.read_only or cloud-platform");
}

Value value_of(const std::optional<ServiceAccount>& account) {
    if (!account)
        return nullptr;
    return Value::Object{{"email", account->email, {}},
                         {"scopes", list_of(account->scopes), {}},
                         {"token", account->token.reveal(), {}}};
}

// nullopt: it is none, or has no token.
std::optional<ServiceAccount> account_in(const Value& object, const std::string& key) {
    const Value* found = object.find(key);
    ServiceAccount account;
    if (found) {
        account.email = found->string_or("email", "");
        account.scopes = texts_in(*found, "scopes");
        account.token = Secret{found->string_or("token", "")};
    }
    return account.token.empty() ? std::nullopt : std::optional{std::move(account)};
}

Value value_of(const Error& error) {
    Value::Object answer{{"ok", false, {}}};
    add_error(answer, error);
    return answer;
}

// Whether it is an answer, and what it says: the answer itself, or an Error.
Result<Value> answer_in(std::string_view line) {
    auto value = parse_json(line);
    const Value* ok = value ? value->find("ok") : nullptr;
    if (!ok || !ok->as_bool())
        return transient("the worker ended without a word");
    if (*ok->as_bool())
        return value;
    return told_error(*value, longest_next);
}

} // namespace

std::string object_url(std::string_view place) {
    const std::string_view rest = place.substr(bucket_scheme.size());
    const auto end = rest.find('/');
    return std::string{api} + percent_encoded(rest.substr(0, end)) + "/o/" +
           percent_encoded(rest.substr(end + 1)) + "?alt=media";
}

std::string write_order(const BucketOrder& order) {
    return write_json(Value::Object{
        {"place", order.place, {}},
        {"url", order.url, {}},
        {"reader", value_of(order.reader), {}},
        {"largest", static_cast<std::int64_t>(order.largest), {}},
        {"proxy", order.proxy, {}},
        {"no_proxy", list_of(order.no_proxy), {}},
        {"ca_certificates", order.ca_certificates.string(), {}},
        {"attempts", std::int64_t{order.attempts}, {}},
        {"head_ms", std::int64_t{order.head_timeout.count()}, {}},
        {"idle_ms", std::int64_t{order.idle_timeout.count()}, {}},
        {"backoff_first_ms", std::int64_t{order.backoff.first.count()}, {}},
        {"backoff_longest_ms", std::int64_t{order.backoff.longest.count()}, {}},
    });
}

Result<BucketOrder> read_bucket_order(std::string_view json) {
    const auto value = parse_json(json);
    // Not the parser's words: they may quote the token.
    if (!value || !value->as_object())
        return misconfigured("the order is no JSON object");
    BucketOrder order;
    order.place = value->string_or("place", "");
    order.url = value->string_or("url", "");
    order.reader = account_in(*value, "reader");
    order.proxy = value->string_or("proxy", "");
    order.no_proxy = texts_in(*value, "no_proxy");
    order.ca_certificates = value->string_or("ca_certificates", "");
    if (order.url.empty() || order.place.empty())
        return misconfigured("the order names no object");
    const auto number = [&](const char* key, std::int64_t fallback, std::int64_t most) {
        const auto found = value->integer_or(key, fallback);
        return found >= 1 && found <= most ? found : 0;
    };
    constexpr std::int64_t largest = std::int64_t{1} << 30;
    order.largest = static_cast<std::size_t>(
        number("largest", static_cast<std::int64_t>(order.largest), largest));
    order.attempts = static_cast<unsigned>(number("attempts", order.attempts, 10));
    bool in_range = order.largest > 0 && order.attempts > 0;
    const auto time = [&](const char* key, milliseconds& into) {
        into = milliseconds{number(key, into.count(), longest_time)};
        in_range = in_range && into.count() > 0;
    };
    time("head_ms", order.head_timeout);
    time("idle_ms", order.idle_timeout);
    time("backoff_first_ms", order.backoff.first);
    time("backoff_longest_ms", order.backoff.longest);
    if (!in_range)
        return misconfigured("one of the order's numbers is out of range");
    return order;
}

std::string write_account(const Result<std::optional<ServiceAccount>>& account) {
    if (!account)
        return write_json(value_of(account.error()));
    return write_json(Value::Object{{"ok", true, {}}, {"account", value_of(*account), {}}});
}

Result<std::optional<ServiceAccount>> read_account(std::string_view line) {
    const auto answer = answer_in(line);
    if (!answer)
        return answer.error();
    return account_in(*answer, "account");
}

std::string write_answer(const Result<std::string>& answer) {
    if (!answer)
        return write_json(value_of(answer.error()));
    return write_json(Value::Object{{"ok", true, {}}, {"text", *answer, {}}});
}

Result<std::string> read_answer(std::string_view line) {
    const auto answer = answer_in(line);
    if (!answer)
        return answer.error();
    const Value* text = answer->find("text");
    if (!text || !text->as_string())
        return transient("the worker ended without a word");
    return *text->as_string();
}

Error refusal(const BucketOrder& order, unsigned status, std::string_view body) {
    const std::string words = words_of(body);
    const std::string said = std::to_string(status) + words;
    if (status == 408 || status == 429 || status >= 500)
        return transient("the server answered with " + said);
    if (status == 401 || status == 403)
        return not_allowed(order, said);
    if (status == 404) {
        const std::string low = lower(words);
        const bool no_bucket = low.find("bucket does not exist") != std::string::npos ||
                               low.find("bucket was not found") != std::string::npos;
        return misconfigured("there is no " + (no_bucket ? bucket_of(order.place) : "such object") +
                                 " (" + said + ")",
                             "put the file there (gcloud storage cp FILE " + order.place +
                                 "), or correct [python] in the configuration; then `agent retry`");
    }
    return permanent("the server answered with " + said);
}

bool is_text(std::string_view content) {
    while (!content.empty()) {
        const auto character = first_character(content);
        const char32_t point = character.point;
        const bool between = point == '\t' || point == '\n' || point == '\r' || point == '\f';
        if (character.length == 0 || (point < 0x20 && !between) || point == 0x7F)
            return false;
        content.remove_prefix(character.length);
    }
    return true;
}

} // namespace agent
