#include "agent/settings_rules.hpp"

#include "agent/base/duration.hpp"
#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/settings_grammar.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace agent::rules {
namespace {

using namespace std::string_literals;

constexpr std::string_view lower_hex = "0123456789abcdef";

constexpr std::string_view make_a_hash =
    "`agent password` reads a password and prints the hash to write here";
constexpr std::string_view make_another_hash =
    "`agent password` reads a password and prints the hash to write here; for a notebook before "
    "6.1 `agent password --for notebook-6.0`";

// Documents.

std::optional<Complaint> foreign(std::string_view text) {
    const auto is = [](std::string what, std::string hint) {
        return Complaint{code::foreign_document,
                         "this is " + std::move(what) + ", not the agent's TOML configuration",
                         {},
                         std::move(hint)};
    };
    const std::string_view body = trim(text);
    const std::string start = lower(body.substr(0, 512));
    if (start.starts_with("#cloud-config") || start.starts_with("#cloud-boothook"))
        return is("cloud-init user data", "that goes into the metadata key user-data");
    if (start.starts_with("#!"))
        return is("a script", "that goes into the metadata key startup-script");
    if (start.starts_with("content-type:") || start.starts_with("mime-version:"))
        return is("a MIME document", "the agent reads one TOML document");
    if (start.starts_with('<'))
        return is("HTML or XML, perhaps the error page of a download",
                  "look at how the document was fetched");
    if (start.starts_with("-----begin "))
        return is("a PEM key or certificate",
                  "if it is a private key, remove it from here and replace it by a new one");
    if (contains(start, "\"ignition\"") && body.starts_with('{'))
        return is("an Ignition configuration", "the agent reads TOML: key = value");
    const std::string_view after = trim(body.substr(std::min<std::size_t>(1, body.size())));
    if (body.starts_with('{') || (body.starts_with('[') && after.starts_with('{')))
        return is("JSON", "the agent reads TOML: key = value");
    if (start.starts_with("---"))
        return is("YAML", "the agent reads TOML: key = value");
    for (const std::string& line : split(body.substr(0, 65536), '\n')) {
        const std::string_view content = trim(line);
        if (content.empty() || content.starts_with('#'))
            continue;
        const auto end = content.find_first_not_of(std::string{word_characters} + "_-");
        if (end != 0 && end != std::string_view::npos && content[end] == ':' &&
            (end + 1 == content.size() || is_one_of(content[end + 1], " \t")))
            return is("YAML", "the agent reads TOML: key = value");
        break;
    }
    const bool one_block = body.find_first_of(" \t[#") == std::string_view::npos;
    if (body.size() >= 40 && one_block && only(body, std::string{word_characters} + "+/\r\n=") &&
        !contains(body, "= ") && body.find('=') >= body.size() - 2)
        return is("base64", "decode it: the agent reads the TOML text itself");
    return std::nullopt;
}

std::optional<Complaint> binary(std::string_view text) {
    const auto is = [](std::string_view what, std::string message, std::string hint) {
        return Complaint{what, std::move(message), {}, std::move(hint)};
    };
    const std::string save = "save the document as UTF-8";
    if (text.starts_with("\x1F\x8B"))
        return is(code::foreign_document,
                  "this is gzip, not the agent's TOML configuration",
                  "decompress it first");
    if (text.starts_with("PK\x03\x04") || text.starts_with("\x7F"
                                                           "ELF"))
        return is(code::foreign_document,
                  "this is a binary file, not the agent's TOML configuration",
                  {});
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
        return is(code::encoding, "this is UTF-16, not UTF-8", save);
    const std::string_view start = text.substr(0, 64);
    const auto nuls = std::count(start.begin(), start.end(), '\0');
    if (nuls >= 2 && static_cast<std::size_t>(nuls) >= start.size() / 3)
        return is(code::encoding, "this looks like UTF-16, not UTF-8", save);
    return std::nullopt;
}

} // namespace

std::optional<DocumentComplaint> judge_document(std::string_view text) {
    if (auto complaint = binary(text))
        return DocumentComplaint{std::move(*complaint), {}};
    if (text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
    Position here{1, 1};
    for (std::string_view left = text; !left.empty();) {
        const auto [point, length] = first_character(left);
        if (length == 0) {
            const std::array<unsigned char, 1> byte{static_cast<unsigned char>(left.front())};
            return DocumentComplaint{{code::encoding,
                                      "the document is not UTF-8: it holds the byte 0x" + hex(byte),
                                      "not UTF-8",
                                      "save the document as UTF-8"},
                                     here};
        }
        if (point == 0)
            return DocumentComplaint{{code::encoding,
                                      "the document holds a NUL byte",
                                      "NUL byte",
                                      "save the document as UTF-8 text"},
                                     here};
        here = point == '\n' ? Position{here.line + 1, 1} : Position{here.line, here.column + 1};
        left.remove_prefix(length);
    }
    if (auto complaint = foreign(text))
        return DocumentComplaint{std::move(*complaint), {}};
    return std::nullopt;
}

Verdict judge_user(std::string_view name) {
    const auto complaint = [](std::string message, std::string label) {
        return Complaint{
            code::user_name,
            std::move(message),
            std::move(label),
            "a user name begins with a-z or _, goes on with a-z, 0-9, _ and -, and has "
            "at most 32 characters"};
    };
    if (name.empty())
        return complaint("the user name is empty", "empty");
    if (name.size() > 32)
        return complaint("the user name is longer than 32 characters", "too long");
    if (!is_one_of(name.front(), std::string{lower_letters} + "_") ||
        !only(name, std::string{lower_letters} + "0123456789_-"))
        return complaint(shown(name) + " is not a Linux user name", "not a user name");
    constexpr std::array<std::string_view, 12> system_accounts{"root",
                                                               "nobody",
                                                               "daemon",
                                                               "bin",
                                                               "sys",
                                                               "sync",
                                                               "man",
                                                               "mail",
                                                               "backup",
                                                               "www-data",
                                                               "sshd",
                                                               "messagebus"};
    const bool taken =
        std::find(system_accounts.begin(), system_accounts.end(), name) != system_accounts.end();
    if (taken || name.starts_with("systemd-"))
        return Complaint{code::user_name,
                         "Jupyter cannot run as the system account " + shown(name),
                         "a system account",
                         "name an ordinary user; it is made when there is none"};
    return std::nullopt;
}

Verdict judge_prefix(std::string_view path) {
    if (auto wrong = judge_path(path, "the prefix", code::prefix))
        return wrong;
    if (!path.starts_with('/'))
        return Complaint{code::prefix,
                         "the prefix is not an absolute path",
                         "relative",
                         "write it as /opt/jupyter"};
    constexpr std::array<std::string_view, 3> homes{"/opt/", "/srv/", "/usr/local/"};
    const bool allowed = std::any_of(
        homes.begin(), homes.end(), [&](std::string_view home) { return path.starts_with(home); });
    constexpr std::array<std::string_view, 9> taken{
        "bin", "etc", "games", "include", "lib", "man", "sbin", "share", "src"};
    const auto parts = split(path, '/');
    const bool of_the_system = path.starts_with("/usr/local/") &&
                               std::find(taken.begin(), taken.end(), parts[3]) != taken.end();
    if (!allowed || of_the_system)
        return Complaint{code::prefix,
                         "the prefix " + shown(path) +
                             " is not a place for an environment that root makes",
                         "belongs to others",
                         "choose a directory below /opt, /srv or /usr/local, such as /opt/jupyter"};
    return std::nullopt;
}

Verdict judge_directory(std::string_view path) {
    if (path.starts_with("~/"))
        return Complaint{code::directory,
                         "the directory begins with `~`, which only a shell expands",
                         "`~` is not expanded",
                         "leave `~/` out: a relative path begins at the user's home"};
    if (auto wrong = judge_path(path, "the directory", code::directory))
        return wrong;
    constexpr std::array<std::string_view, 8> of_the_system{
        "/", "/proc", "/sys", "/dev", "/etc", "/boot", "/run", "/root"};
    for (const std::string_view place : of_the_system)
        if (path == place || (place.size() > 1 && path.starts_with(std::string{place} + "/")))
            return Complaint{code::directory,
                             "the directory " + shown(path) + " belongs to the system",
                             "belongs to the system",
                             "choose one below the user's home, such as \"work\""};
    return std::nullopt;
}

Verdict judge_index_url(std::string_view url) {
    return judge_url(url, {.what = "the index", .example = "https://host/simple/"});
}

Verdict judge_tls_name(std::string_view name) {
    const auto complaint = [&](std::string message, std::string hint) {
        return Complaint{code::host_name, std::move(message), "not a host name", std::move(hint)};
    };
    if (is_ip_address(name) || is_dns_name(name))
        return std::nullopt;
    if (contains(name, "://") || contains(name, "/"))
        return complaint("a URL stands where a host name belongs",
                         "write the name alone: jupyter.example.com");
    if (name.starts_with("*."))
        return complaint("a wildcard is not taken", "write each name out");
    if (std::any_of(
            name.begin(), name.end(), [](char c) { return static_cast<signed char>(c) < 0; }))
        return complaint("a host name holds only ASCII", "write it in punycode: xn--…");
    const auto colon = name.find(':');
    if (colon != std::string_view::npos && is_dns_name(name.substr(0, colon)))
        return complaint("a port stands in a host name",
                         "write the name alone; the port is jupyter.port");
    return complaint(shown(name) + " is neither a DNS name nor an IP address",
                     "such as jupyter.example.com or 203.0.113.7");
}

Verdict judge_duration(std::string_view text, const DurationRule& rule) {
    const std::string form = "write a number and s, m or h: \"" + std::string{rule.example} + "\"";
    if (text.empty())
        return Complaint{code::duration, "the duration is empty", "empty", form};
    const auto duration = parse_duration(text);
    if (!duration || text.ends_with("ms"))
        return Complaint{code::duration, shown(text) + " is no duration", "no duration", form};
    if (*duration < rule.shortest || *duration > rule.longest)
        return Complaint{code::range,
                         "expected " + short_duration(rule.shortest) + " to " +
                             short_duration(rule.longest) + ", found " + std::string{text},
                         *duration < rule.shortest ? "too short" : "too long",
                         "such as \"" + std::string{rule.example} + "\""};
    return std::nullopt;
}

Verdict judge_proxy(std::string_view url) {
    const auto complaint = [](std::string message, std::string label, std::string hint) {
        return Complaint{code::proxy, std::move(message), std::move(label), std::move(hint)};
    };
    const std::string form = "write it as http://host:port";
    if (url.empty())
        return complaint("the proxy is empty", "empty", "remove the key to have none");
    const auto scheme_end = url.find("://");
    if (scheme_end == std::string_view::npos)
        return complaint(
            "the proxy's URL does not begin with http:// or https://", "no scheme", form);
    const std::string_view scheme = url.substr(0, scheme_end);
    if (scheme != "http" && scheme != "https")
        return complaint("the proxy is reached over neither http nor https",
                         "another scheme",
                         form + "; SOCKS and others are not spoken");
    if (url.size() > 300)
        return complaint("the proxy's URL is longer than 300 characters", "too long", {});
    const std::string_view rest = url.substr(scheme_end + 3);
    if (contains(rest, "@"))
        return complaint("the proxy's URL holds a user name or a password",
                         "credentials in a URL",
                         "leave them out: the configuration can be read by others. A proxy that "
                         "knows the VM by its address needs none");
    const auto authority_end = rest.find_first_of("/?#\\");
    if (authority_end != std::string_view::npos)
        return complaint("the proxy's URL goes on behind the port", "no path here", form);
    if (auto wrong = judge_authority(rest, "the proxy's URL", code::proxy))
        return wrong;
    if (rest.ends_with(']') || !contains(rest.substr(rest.find_last_of(']') + 1), ":"))
        return complaint("the proxy's URL names no port",
                         "no port",
                         form + "; proxies often listen on 3128 or 8080");
    return std::nullopt;
}

Verdict judge_no_proxy(std::string_view entry) {
    const auto complaint = [](std::string message, std::string hint) {
        return Complaint{code::no_proxy,
                         std::move(message),
                         "not a name, an address or a domain",
                         std::move(hint)};
    };
    const auto slash = entry.find('/');
    const std::string_view network = entry.substr(0, slash);
    if (slash != std::string_view::npos && is_ip_address(network)) {
        const std::uint32_t longest = contains(network, ":") ? 128 : 32;
        if (decimal(entry.substr(slash + 1), longest))
            return std::nullopt;
        return complaint(shown(entry) + " is no network", "such as 10.0.0.0/8");
    }
    const std::string_view name = entry.substr(entry.starts_with('.') ? 1 : 0);
    if (is_dns_name(name) || is_ip_address(entry))
        return std::nullopt;
    if (entry == "*")
        return complaint("`*` would have no proxy used at all", "remove network.proxy for that");
    if (entry.starts_with("*."))
        return complaint("a wildcard is not taken", "a domain begins with a dot: .example.com");
    if (contains(entry, ","))
        return complaint("an entry holds a comma", "one name an entry: [\"a\", \"b\"]");
    if (contains(entry, ":") || contains(entry, "/"))
        return complaint("a URL or a port stands where a name belongs",
                         "write the name alone: internal.example.com");
    return complaint(shown(entry) + " is neither a name, an address nor a domain",
                     "such as internal.example.com, .example.com or 10.0.0.0/8");
}

Verdict judge_ca_certificates(std::string_view path) {
    if (auto wrong = judge_path(path, "the path of the certificates", code::file_path))
        return wrong;
    const auto complaint = [](std::string message, std::string label) {
        return Complaint{code::file_path,
                         std::move(message),
                         std::move(label),
                         "such as /etc/ssl/certs/ca-certificates.crt"};
    };
    if (!path.starts_with('/'))
        return complaint("the path of the certificates is not absolute", "relative");
    constexpr std::array<std::string_view, 5> elsewhere{"/proc", "/sys", "/dev", "/run", "/tmp"};
    for (const std::string_view place : elsewhere)
        if (path == "/" || path == place || path.starts_with(std::string{place} + "/"))
            return complaint("no file of certificates lies at " + shown(path), "not there");
    return std::nullopt;
}

namespace {

// The number of bytes in canonical base64 without padding, or nothing.
std::optional<std::size_t> base64_bytes(std::string_view text) {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (text.empty() || !only(text, alphabet) || text.size() % 4 == 1)
        return std::nullopt;
    const auto last = alphabet.find(text.back());
    if ((text.size() % 4 == 2 && last % 16 != 0) || (text.size() % 4 == 3 && last % 4 != 0))
        return std::nullopt;
    return text.size() * 3 / 4;
}

bool is_parameter(std::string_view text,
                  std::string_view prefix,
                  std::uint32_t least,
                  std::uint32_t most) {
    if (!text.starts_with(prefix))
        return false;
    const auto number = decimal(text.substr(prefix.size()), most);
    return number && *number >= least;
}

Complaint bad_hash(std::string message, std::string label) {
    return {code::password_hash, std::move(message), std::move(label), std::string{make_a_hash}};
}

// Jupyter answers every login with 500 when the PHC string is malformed.
Verdict judge_argon2(std::string_view phc) {
    if (phc.starts_with("$argon2i$") || phc.starts_with("$argon2d$"))
        return bad_hash("the password hash is not of the kind argon2id", "not argon2id");
    const auto parts = split(phc, '$');
    if (parts.size() != 6 || !parts[0].empty() || parts[1] != "argon2id")
        return bad_hash("the password hash is cut or not of the form "
                        "argon2:$argon2id$v=19$m=…,t=…,p=…$salt$hash",
                        "not an argon2id hash");
    if (parts[2] != "v=19")
        return bad_hash("the password hash is not of argon2 version 19", "v=19 is missing");
    const auto parameters = split(parts[3], ',');
    if (parameters.size() != 3 || !is_parameter(parameters[0], "m=", 10240, 1048576) ||
        !is_parameter(parameters[1], "t=", 2, 1000) || !is_parameter(parameters[2], "p=", 1, 128))
        return bad_hash(
            "the parameters of the password hash are not m=10240…1048576 (KiB), t=2…1000 "
            "and p=1…128",
            "parameters out of bounds");
    const auto salt = base64_bytes(parts[4]);
    if (!salt || *salt < 8 || *salt > 64)
        return bad_hash("the salt of the password hash is cut or malformed", "salt");
    const auto bytes = base64_bytes(parts[5]);
    constexpr std::array<std::size_t, 5> lengths{16, 24, 32, 48, 64};
    if (!bytes || std::find(lengths.begin(), lengths.end(), *bytes) == lengths.end())
        return bad_hash("the password hash is cut: its last part has not the length of a digest",
                        "digest");
    return std::nullopt;
}

Verdict judge_salted(std::string_view rest, std::size_t digest_length) {
    const auto parts = split(rest, ':');
    if (parts.size() != 2)
        return bad_hash("the password hash is not of the form algorithm:salt:digest",
                        "not a salted hash");
    if (parts[0].size() < 16 || parts[0].size() > 128 || !only(parts[0], lower_hex))
        return bad_hash("the salt of the password hash is not 16 or more lower-case hex digits",
                        "salt");
    if (parts[1].size() != digest_length || !only(parts[1], lower_hex))
        return bad_hash("the digest of the password hash is not " + std::to_string(digest_length) +
                            " lower-case hex digits",
                        "digest");
    return std::nullopt;
}

} // namespace

Verdict judge_password_hash(std::string_view hash) {
    if (hash.empty())
        return Complaint{
            code::password_hash,
            "the password hash is empty",
            "empty",
            "without a password, remove the key: Jupyter is then reached only from the "
            "VM itself"};
    const std::string_view trimmed = trim(hash);
    const bool is_hash = trimmed.starts_with("argon2:") || trimmed.starts_with("sha");
    if (is_hash && hash.find_first_of(" \t\r\n") != std::string_view::npos)
        return bad_hash("the password hash holds a blank or a newline", "blank or newline");
    if (hash.starts_with("argon2:"))
        return judge_argon2(hash.substr(7));
    if (hash.starts_with("$argon2"))
        return Complaint{code::password_hash,
                         "the password hash lacks Jupyter's prefix argon2:",
                         "no prefix",
                         "write argon2: in front of it"};
    if (hash.starts_with("sha256:"))
        return judge_salted(hash.substr(7), 64);
    if (hash.starts_with("sha512:"))
        return judge_salted(hash.substr(7), 128);
    if (hash.starts_with("sha1:") || hash.starts_with("md5:"))
        return Complaint{code::weak_hash,
                         "sha1 and md5 are too weak for a password hash",
                         "too weak",
                         std::string{make_another_hash}};
    if (hash.starts_with('$') || hash.starts_with("sha"))
        return bad_hash("the password hash is of a kind that Jupyter does not read",
                        "not argon2:, sha256: or sha512:");
    return Complaint{code::plaintext,
                     "this is not a password hash; a password itself is never written here",
                     "not a hash",
                     std::string{make_a_hash}};
}

bool is_secret_key(std::string_view key) {
    constexpr std::array<std::string_view, 12> names{"password",
                                                     "password_hash",
                                                     "password_secret",
                                                     "passwd",
                                                     "passphrase",
                                                     "pwd",
                                                     "pass",
                                                     "token",
                                                     "secret",
                                                     "credential",
                                                     "credentials",
                                                     "private_key"};
    std::string name = lower(key);
    std::replace(name.begin(), name.end(), '-', '_');
    if (mentions_secret(name))
        return true;
    // Two edits turn every short word into another.
    constexpr std::size_t shortest_misspelt = 5;
    if (name.size() < shortest_misspelt)
        return std::find(names.begin(), names.end(), name) != names.end();
    return !nearest(name, names).empty();
}

bool mentions_secret(std::string_view text) {
    constexpr std::array<std::string_view, 9> words{"passw",
                                                    "passphrase",
                                                    "password",
                                                    "pwd",
                                                    "token",
                                                    "secret",
                                                    "credential",
                                                    "private_key",
                                                    "_hash"};
    const std::string lowered = lower(text);
    return std::any_of(
        words.begin(), words.end(), [&](std::string_view word) { return contains(lowered, word); });
}

std::string shown(std::string_view value) {
    constexpr std::size_t longest = 60;
    if (value.empty())
        return "an empty string";
    const bool unfit = has_control(value) || value.size() > longest || contains(value, "://") ||
                       value.find_first_of(":@$") != std::string_view::npos ||
                       mentions_secret(value);
    return unfit ? "the value" : "`" + printable(value, longest) + "`";
}

} // namespace agent::rules
