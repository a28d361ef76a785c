#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/settings_grammar.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <utility>

namespace agent::rules {
namespace {

constexpr std::size_t shortest_bucket = 3;
constexpr std::size_t longest_part = 63; // of a bucket's name, between its dots
constexpr std::size_t longest_bucket = 222;
constexpr std::size_t longest_object = 1024; // bytes

Complaint wrong_bucket(std::string message, std::string label) {
    return {code::file_path,
            std::move(message),
            std::move(label),
            "3 to 63 characters of a-z, 0-9, - _ and ., beginning and ending with a letter or a "
            "digit"};
}

Complaint wrong_object(std::string message, std::string label) {
    return {code::file_path,
            std::move(message),
            std::move(label),
            "such as gs://my-bucket/path/requirements.txt"};
}

// https://cloud.google.com/storage/docs/buckets#naming; what Google keeps for itself may be read.
Verdict judge_bucket_name(std::string_view name) {
    if (name.empty())
        return wrong_object("no bucket is named behind gs://", "no bucket");
    const std::string alphanumeric = std::string{lower_letters} + std::string{digits};
    if (!only(name, alphanumeric + "-_."))
        return wrong_bucket("the bucket's name holds a character that no bucket's name has",
                            "not a bucket's name");
    if (name.size() < shortest_bucket)
        return wrong_bucket(shown(name) + " is shorter than any bucket's name", "too short");
    if (!is_one_of(name.front(), alphanumeric) || !is_one_of(name.back(), alphanumeric))
        return wrong_bucket(shown(name) + " begins or ends with what no bucket's name does",
                            "not a bucket's name");
    const auto parts = split(name, '.');
    if (name.size() > longest_bucket ||
        std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
            return part.size() > longest_part;
        }))
        return wrong_bucket("the bucket's name is longer than 63 characters", "too long");
    // Each part of a name with dots is one of a domain's name.
    if (parts.size() > 1 && std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
            return part.empty() || part.front() == '-' || part.back() == '-';
        }))
        return wrong_bucket(shown(name) + " has a dot where no bucket's name has one",
                            "not a bucket's name");
    if (is_ip_address(name))
        return wrong_bucket(shown(name) + " is an address, which no bucket's name is",
                            "an address");
    return std::nullopt;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const auto length = first_character(text).length;
        if (length == 0)
            return false;
        text.remove_prefix(length);
    }
    return true;
}

} // namespace

Verdict judge_bucket_object(std::string_view place) {
    const std::string_view rest = place.substr(bucket_scheme.size());
    const auto end = std::min(rest.find('/'), rest.size());
    if (has_control(rest))
        return wrong_object("the object's name holds a newline or a control character",
                            "control character");
    if (auto wrong = judge_bucket_name(rest.substr(0, end)))
        return wrong;
    const std::string_view object = rest.substr(std::min(end + 1, rest.size()));
    if (object.empty())
        return wrong_object("a bucket is named, and no object in it", "a bucket alone");
    if (object == "." || object == "..")
        return wrong_object("no object can be called " + shown(object), "not an object");
    if (object.ends_with('/'))
        return wrong_object("a folder of a bucket is named, and no object in it", "a folder");
    if (object.size() > longest_object)
        return wrong_object("the object's name is longer than 1024 bytes", "too long");
    if (!is_utf8(object))
        return wrong_object("the object's name is not UTF-8", "not UTF-8");
    return std::nullopt;
}

Verdict judge_foreign_scheme(std::string_view place, std::string_view example) {
    const auto end = place.find("://");
    const std::string_view scheme = place.substr(0, end);
    constexpr std::size_t longest_scheme = 20;
    if (end == std::string_view::npos || scheme.empty() || scheme.size() > longest_scheme ||
        !only(scheme, std::string{word_characters} + "+-."))
        return std::nullopt;
    const bool almost = lower(scheme) == "gs";
    return Complaint{
        code::file_path,
        "found `" + std::string{scheme} +
            "://`, expected a path on the machine or an object of a bucket, gs://BUCKET/OBJECT",
        "another scheme",
        almost ? std::string{"write gs:// in lower case"}
               : "copy the file to the machine (such as " + std::string{example} +
                     ") or into a bucket, and name that"};
}

} // namespace agent::rules
