// Owns what a single value of the configuration may be, and the words for one that may not.
// Pure; no message, label or hint quotes a value that could be a secret.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/release.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace agent::rules {

// Every diagnostic code there is; a code keeps its meaning for ever.
namespace code {
inline constexpr std::string_view no_configuration = "E1001";
inline constexpr std::string_view too_large = "E1002";
inline constexpr std::string_view encoding = "E1003";
inline constexpr std::string_view foreign_document = "E1004";
inline constexpr std::string_view too_many_errors = "E1005";
inline constexpr std::string_view unreadable = "E1006";
inline constexpr std::string_view not_a_file = "E1007";
inline constexpr std::string_view untrusted = "E1008";
inline constexpr std::string_view syntax = "E1101";
inline constexpr std::string_view defined_twice = "E1102";
inline constexpr std::string_view unclosed = "E1103";
inline constexpr std::string_view escape = "E1104";
inline constexpr std::string_view number = "E1105";
inline constexpr std::string_view word = "E1106";
inline constexpr std::string_view too_deep = "E1107";
inline constexpr std::string_view wrong_type = "E1201";
inline constexpr std::string_view unknown_table = "E1202";
inline constexpr std::string_view schema = "E1203";
inline constexpr std::string_view unknown_key = "E1204";
inline constexpr std::string_view range = "E1205";
inline constexpr std::string_view choice = "E1206";
inline constexpr std::string_view contradiction = "E1207";
inline constexpr std::string_view too_long = "E1208";
inline constexpr std::string_view repeated_entry = "E1209";
inline constexpr std::string_view missing_key = "E1210";
inline constexpr std::string_view user_name = "E1301";
inline constexpr std::string_view apt_package = "E1302";
inline constexpr std::string_view requirement = "E1303";
inline constexpr std::string_view no_requirement = "E1304";
inline constexpr std::string_view import_name = "E1305";
inline constexpr std::string_view prefix = "E1306";
inline constexpr std::string_view directory = "E1307";
inline constexpr std::string_view url = "E1308";
inline constexpr std::string_view host_name = "E1309";
inline constexpr std::string_view plaintext = "E1310";
inline constexpr std::string_view password_hash = "E1311";
inline constexpr std::string_view weak_hash = "E1312";
inline constexpr std::string_view private_key = "E1313";
inline constexpr std::string_view repository_name = "E1314";
inline constexpr std::string_view suite = "E1315";
inline constexpr std::string_view component = "E1316";
inline constexpr std::string_view signing_key = "E1317";
inline constexpr std::string_view file_path = "E1318";
inline constexpr std::string_view proxy = "E1319";
inline constexpr std::string_view no_proxy = "E1320";
inline constexpr std::string_view duration = "E1321";
inline constexpr std::string_view sha256 = "E1322";
inline constexpr std::string_view conda_spec = "E1323";
inline constexpr std::string_view channel = "E1324";
inline constexpr std::string_view terms = "E1325";
inline constexpr std::string_view python_version = "E1330";
inline constexpr std::string_view index_name = "E1331";
inline constexpr std::string_view environment_name = "E1332";
inline constexpr std::string_view unread_hash = "E1341";
inline constexpr std::string_view sudo_allowed = "W1401";
inline constexpr std::string_view not_the_projects = "W1402";
inline constexpr std::string_view setup_beyond_lifetime = "W1403";
inline constexpr std::string_view idle_index = "W1410";
inline constexpr std::string_view repeated_package = "W1411";
inline constexpr std::string_view no_schema = "N1501";
inline constexpr std::string_view project_ignored = "N1502";
inline constexpr std::string_view near_attribute = "N1503";
} // namespace code

struct Complaint {
    std::string_view code;
    std::string message;
    std::string label;
    std::string hint;
};
using Verdict = std::optional<Complaint>;

// A document as a whole: its encoding, and whether it is TOML at all. Position {0,0}: as a whole.
struct DocumentComplaint {
    Complaint complaint;
    Position position;
};
[[nodiscard]] std::optional<DocumentComplaint> judge_document(std::string_view text);

[[nodiscard]] Verdict judge_user(std::string_view name);
[[nodiscard]] Verdict judge_apt_package(std::string_view entry);
[[nodiscard]] Verdict judge_prefix(std::string_view path);
[[nodiscard]] Verdict judge_directory(std::string_view path);
[[nodiscard]] Verdict judge_index_url(std::string_view url);
[[nodiscard]] Verdict judge_tls_name(std::string_view name);
[[nodiscard]] Verdict judge_password_hash(std::string_view hash);
[[nodiscard]] Verdict judge_proxy(std::string_view url);
[[nodiscard]] Verdict judge_no_proxy(std::string_view entry);
[[nodiscard]] Verdict judge_ca_certificates(std::string_view path);

struct DurationRule {
    std::chrono::seconds shortest;
    std::chrono::seconds longest;
    std::string_view example; // "60m"
};
[[nodiscard]] Verdict judge_duration(std::string_view text, const DurationRule& rule);

// Of a Python that conda makes.
[[nodiscard]] Verdict judge_installer(std::string_view url);
[[nodiscard]] Verdict judge_sha256(std::string_view digest);
[[nodiscard]] Verdict judge_channel(std::string_view channel);
[[nodiscard]] Verdict judge_environment_file(std::string_view path);
// Whether Anaconda's terms of use are about what comes from there: a channel, or an installer's
// URL.
[[nodiscard]] bool is_anacondas(std::string_view channel_or_url);

// Of an apt repository.
[[nodiscard]] Verdict judge_repository_name(std::string_view name);
[[nodiscard]] Verdict judge_repository_url(std::string_view url);
[[nodiscard]] Verdict judge_suite(std::string_view suite);
[[nodiscard]] Verdict judge_component(std::string_view component);
[[nodiscard]] Verdict judge_keyring(std::string_view path);
// One ASCII-armoured public key; what is written to a file of apt's.
[[nodiscard]] Verdict judge_signing_key(std::string_view armoured);

// Whether the text is, or holds, a private key of whatever kind.
[[nodiscard]] bool holds_private_key(std::string_view text);
[[nodiscard]] Complaint private_key_complaint();

struct Requirement {
    std::string name;        // as pip compares it: lower case, runs of -_. are one -
    std::string text;        // without needless blanks
    std::string marker = {}; // what stands behind `;`
};
// PEP 508 without URLs: name, extras, version specifiers, marker.
[[nodiscard]] std::variant<Requirement, Complaint> read_requirement(std::string_view entry);
// The name of a package and nothing more.
[[nodiscard]] Verdict judge_plain_package(std::string_view entry);
[[nodiscard]] Verdict judge_python_version(std::string_view version);
// gs://BUCKET/OBJECT, an object of Cloud Storage.
[[nodiscard]] Verdict judge_bucket_object(std::string_view place);
// What is neither that nor a path, but another scheme; nullopt: it has none. `example` is a path.
[[nodiscard]] Verdict judge_foreign_scheme(std::string_view place, std::string_view example);
// A requirements, lock or constraints file, on the machine or in a bucket.
[[nodiscard]] Verdict judge_requirements_file(std::string_view path);
[[nodiscard]] Verdict judge_index_name(std::string_view name);
[[nodiscard]] Verdict judge_environment_name(std::string_view name);

// What conda takes by name: [CHANNEL::]NAME and versions, `numpy=1.26`, `numpy>=1.20,<2`.
struct CondaSpec {
    std::string name;    // lower case
    std::string channel; // may be empty
    std::string text;    // without blanks
};
[[nodiscard]] std::variant<CondaSpec, Complaint> read_conda_spec(std::string_view entry);
// The distribution that goes with a name that is only imported (`sklearn`); empty: it is none.
[[nodiscard]] std::string_view distribution_of(std::string_view import_name);

// Whether no version that meets the requirement is `bound` or later.
[[nodiscard]] bool stays_below(const Requirement& requirement, Release bound);

// Whether a key of this name (or one misspelt a little) holds what nobody may see.
[[nodiscard]] bool is_secret_key(std::string_view key);
// Whether the text holds a word that goes with secrets.
[[nodiscard]] bool mentions_secret(std::string_view text);
// `value` in backticks, or "the value" when it may hold a secret or is not fit to print.
[[nodiscard]] std::string shown(std::string_view value);

} // namespace agent::rules
