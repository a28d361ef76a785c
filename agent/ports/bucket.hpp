// Owns objects of Cloud Storage buckets: how one is named and where it is read, what a step and the
// workers that read it say to each other, and the words for what the server refuses.
#pragma once

#include "agent/base/backoff.hpp"
#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

inline constexpr std::string_view bucket_scheme = "gs://";

[[nodiscard]] inline bool is_in_bucket(std::string_view place) {
    return place.starts_with(bucket_scheme);
}

// "gs://BUCKET/OBJECT", which the configuration's rules have found to be one → where the JSON API
// has its content (https://cloud.google.com/storage/docs/json_api/v1/objects/get, alt=media).
[[nodiscard]] std::string object_url(std::string_view place);

// Who this VM is to Google's services, as it is now: a token is for an hour at most.
struct ServiceAccount {
    std::string email;
    std::vector<std::string> scopes; // what any token of it may be used for
    Secret token;
};

// One line of the worker that asks the metadata server, for the step's eyes alone; nullopt: the VM
// has no account.
[[nodiscard]] std::string write_account(const Result<std::optional<ServiceAccount>>& account);
[[nodiscard]] Result<std::optional<ServiceAccount>> read_account(std::string_view line);

struct BucketOrder {
    std::string place; // "gs://…", for people
    std::string url;
    std::optional<ServiceAccount> reader; // nullopt: it is asked for as nobody in particular
    std::size_t largest = std::size_t{1} << 20;

    std::string proxy; // "http://host:port"; empty: none
    std::vector<std::string> no_proxy;
    std::filesystem::path ca_certificates; // a PEM bundle; empty: the system's

    unsigned attempts = 3;                                            // while the failure may pass
    std::chrono::milliseconds head_timeout{std::chrono::seconds{10}}; // connecting until the head
    std::chrono::milliseconds idle_timeout{std::chrono::seconds{10}}; // without a byte
    Backoff backoff{std::chrono::milliseconds{500}, std::chrono::seconds{4}};
};

[[nodiscard]] std::string write_order(const BucketOrder& order);
// Misconfigured when something is missing or out of range; the message quotes no value.
[[nodiscard]] Result<BucketOrder> read_bucket_order(std::string_view json);

// One line: the object's text, or why there is none.
[[nodiscard]] std::string write_answer(const Result<std::string>& answer);
[[nodiscard]] Result<std::string> read_answer(std::string_view line);

// Any status but 200, with the beginning of its body: GCS's JSON error, or one line of text.
[[nodiscard]] Error refusal(const BucketOrder& order, unsigned status, std::string_view body);

// A list of packages: UTF-8 without control characters other than those between lines and words.
[[nodiscard]] bool is_text(std::string_view content);

} // namespace agent
