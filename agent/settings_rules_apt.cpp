#include "agent/base/text.hpp"
#include "agent/settings_grammar.hpp"
#include "agent/settings_rules.hpp"

#include <array>
#include <utility>
#include <vector>

namespace agent::rules {
namespace {

constexpr std::string_view suite_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~:/-";
constexpr std::string_view codename = "{codename}";

Complaint bad_key(std::string message, std::string label, std::string hint) {
    return {code::signing_key, std::move(message), std::move(label), std::move(hint)};
}

} // namespace

Verdict judge_apt_package(std::string_view entry) {
    const auto complaint = [](std::string message, std::string hint) {
        return Complaint{
            code::apt_package, std::move(message), "not a package name", std::move(hint)};
    };
    const auto equals = entry.find('=');
    const std::string_view name = entry.substr(0, equals);
    if (has_control(entry) || contains(entry, " "))
        return complaint("an apt package is one word without blanks", "one package an entry");
    if (entry.starts_with('-'))
        return complaint("options of apt are not taken in a list of packages",
                         "list package names only");
    if (contains(entry, "/"))
        return complaint("paths, URLs and releases are not taken in a list of apt packages",
                         "write name or name=version");
    if (name.size() > 1 && name.ends_with('-'))
        return complaint(shown(entry) + " would ask apt to remove a package",
                         "the agent never removes packages");
    if (name.size() < 2 || !is_one_of(name.front(), std::string{lower_letters} + "0123456789") ||
        !only(name, std::string{lower_letters} + "0123456789+.-"))
        return complaint(shown(entry) + " is not the name of a Debian package",
                         "lower-case letters, digits and + . -, then =version if one is wanted");
    if (equals != std::string_view::npos) {
        const std::string_view version = entry.substr(equals + 1);
        if (version.empty() || !is_one_of(version.front(), word_characters) ||
            !only(version, std::string{word_characters} + ".+:~-"))
            return complaint(shown(entry) + " names no version of a Debian package",
                             "write name=version with one `=`");
    }
    return std::nullopt;
}

Verdict judge_repository_name(std::string_view name) {
    constexpr std::size_t longest = 63;
    const std::string rule = "it names a file: begin with a-z or 0-9, go on with a-z, 0-9, ., _ "
                             "and -, at most 63 characters";
    const auto complaint = [&](std::string message, std::string label) {
        return Complaint{code::repository_name, std::move(message), std::move(label), rule};
    };
    if (name.empty())
        return complaint("the name of the repository is empty", "empty");
    if (name.size() > longest)
        return complaint("the name of the repository is longer than 63 characters", "too long");
    const std::string first = std::string{lower_letters} + std::string{digits};
    if (!is_one_of(name.front(), first) || !only(name, first + "._-"))
        return complaint(shown(name) + " is no name for a repository", "not a name");
    return std::nullopt;
}

Verdict judge_repository_url(std::string_view url) {
    return judge_url(url,
                     {.what = "the repository",
                      .example = "https://host/path",
                      .scheme = Scheme::http_or_https});
}

Verdict judge_suite(std::string_view suite) {
    const auto complaint = [](std::string message, std::string label, std::string hint) {
        return Complaint{code::suite, std::move(message), std::move(label), std::move(hint)};
    };
    if (suite.empty())
        return complaint("the suite is empty",
                         "empty",
                         "such as \"stable\", \"{codename}\" or, without components, \"./\"");
    if (suite.size() > 100)
        return complaint("the suite is longer than 100 characters", "too long", {});
    std::string plain{suite};
    if (const auto at = plain.find(codename); at != std::string::npos)
        plain.erase(at, codename.size());
    if (plain.find_first_of("{}$") != std::string::npos)
        return complaint("the suite holds a placeholder that is none",
                         "unknown placeholder",
                         "{codename}, at most once, stands for this release's, such as bookworm");
    if (!only(plain, suite_characters))
        return complaint(shown(suite) + " is no suite of a repository",
                         "not a suite",
                         "letters, digits and . _ + ~ : / -; components go into `components`");
    const auto parts = split(suite, '/');
    if (suite.starts_with('-') || contains(suite, "//") ||
        std::find(parts.begin(), parts.end(), "..") != parts.end())
        return complaint(shown(suite) + " is no suite of a repository",
                         "not a suite",
                         "no `-` in front, no `//` and no `..`");
    return std::nullopt;
}

Verdict judge_component(std::string_view component) {
    if (!component.empty() && is_one_of(component.front(), word_characters) &&
        only(component, std::string{word_characters} + "._+/-") && component.back() != '/')
        return std::nullopt;
    return Complaint{code::component,
                     shown(component) + " is no component of a repository",
                     "not a component",
                     "one word an entry, such as \"main\""};
}

Verdict judge_keyring(std::string_view path) {
    if (auto wrong = judge_path(path, "the keyring", code::file_path))
        return wrong;
    const auto complaint = [](std::string message, std::string label) {
        return Complaint{code::file_path,
                         std::move(message),
                         std::move(label),
                         "such as /usr/share/keyrings/NAME.gpg"};
    };
    if (!path.starts_with('/'))
        return complaint("the keyring is not an absolute path", "relative");
    // Whoever can write it decides what root installs.
    constexpr std::array<std::string_view, 3> places{"/usr/", "/etc/", "/opt/"};
    if (std::none_of(places.begin(), places.end(), [&](std::string_view place) {
            return path.starts_with(place);
        }))
        return complaint("the keyring " + shown(path) + " lies where others than root may write",
                         "not below /usr, /etc or /opt");
    if (!path.ends_with(".gpg") && !path.ends_with(".asc"))
        return complaint("the keyring " + shown(path) +
                             " ends neither in .gpg nor in .asc, and "
                             "apt takes no other",
                         "not .gpg or .asc");
    return std::nullopt;
}

bool holds_private_key(std::string_view text) {
    for (auto at = text.find("-----BEGIN "); at != std::string_view::npos;
         at = text.find("-----BEGIN ", at + 1)) {
        const std::string_view line = text.substr(at, text.substr(at).find('\n'));
        if (contains(line, "PRIVATE KEY"))
            return true;
    }
    return false;
}

Complaint private_key_complaint() {
    return {code::private_key,
            "this is a private key: remove it from the configuration and replace it by a new one",
            "a private key",
            "whoever reads the configuration or the metadata has it now; only public keys are "
            "written here"};
}

Verdict judge_signing_key(std::string_view armoured) {
    constexpr std::size_t largest = std::size_t{64} * 1024;
    constexpr std::string_view begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    constexpr std::string_view end = "-----END PGP PUBLIC KEY BLOCK-----";
    const std::string how = "paste the block from -----BEGIN PGP PUBLIC KEY BLOCK----- to its END "
                            "line between \"\"\" and \"\"\"";
    if (holds_private_key(armoured))
        return private_key_complaint();
    const std::string_view text = trim(armoured);
    if (text.empty())
        return bad_key("the signing key is empty", "empty", how);
    if (armoured.size() > largest)
        return bad_key("the signing key is larger than 64 KiB", "too large", {});
    if (contains(text.substr(0, 10), "://") || text.starts_with("http"))
        return bad_key("the signing key is a URL, and nothing is fetched from one", "a URL", how);
    if (text.starts_with('/'))
        return bad_key("the signing key is a path",
                       "a path",
                       "a keyring that is on the machine goes into `keyring`");
    if (!text.starts_with(begin))
        return bad_key("the signing key is not an ASCII-armoured public key",
                       "not an armoured key",
                       how + "; `gpg --enarmor` or `gpg --armor --export` makes one");
    if (!text.ends_with(end))
        return bad_key(
            "the signing key is cut: its last line is not the block's END", "no END line", how);
    if (text.find(begin, 1) != std::string_view::npos)
        return bad_key("the signing key holds more than one block",
                       "two blocks",
                       "export the keys into one block, or put them into a `keyring`");
    bool in_headers = true;
    std::size_t data_lines = 0;
    const auto lines =
        split(text.substr(begin.size(), text.size() - begin.size() - end.size()), '\n');
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const std::string_view line = trim(lines[i]);
        if (in_headers && line.empty()) {
            in_headers = false;
            continue;
        }
        if (in_headers && contains(line, ": ") && !has_control(line))
            continue;
        in_headers = false;
        if (line.empty() && i + 1 == lines.size())
            continue;
        if (line.empty() || !only(line, std::string{word_characters} + "+/="))
            return bad_key("line " + std::to_string(i + 1) +
                               " of the signing key's block is no base64",
                           "not an armoured key",
                           how);
        ++data_lines;
    }
    if (data_lines == 0)
        return bad_key("the signing key's block is empty", "nothing in the block", how);
    return std::nullopt;
}

} // namespace agent::rules
