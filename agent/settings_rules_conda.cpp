#include "agent/base/text.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/settings_grammar.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace agent::rules {
namespace {

constexpr std::string_view operators = "=<>!~";

Complaint bad_spec(std::string message, std::string label, std::string hint) {
    return {code::conda_spec, std::move(message), std::move(label), std::move(hint)};
}

// What conda's command line would take, but a list of packages does not.
Verdict judge_foreign_spec(std::string_view entry) {
    if (has_control(entry))
        return bad_spec("a package entry holds a newline or a control character",
                        "more than one line",
                        "one package an entry");
    if (entry.starts_with('-'))
        return bad_spec("options of conda are not taken in a list of packages",
                        "an option",
                        "list package names only; channels go into python.channels");
    if (contains(entry, "://"))
        return bad_spec("URLs are not taken in a list of packages",
                        "a URL",
                        "name a package, and its channel in python.channels");
    if (entry.starts_with('/') || entry.starts_with('.') || entry.starts_with('~') ||
        entry.ends_with(".conda") || entry.ends_with(".tar.bz2") || entry.ends_with(".yml") ||
        entry.ends_with(".yaml"))
        return bad_spec("paths and files are not taken in a list of packages",
                        "a path",
                        "name a package; an environment.yml goes into python.environment_file");
    if (contains(entry, "["))
        return bad_spec("neither extras nor conda's name[key=value] are taken",
                        "brackets",
                        "write name, name=1.2 or \"name>=1.2,<2\"");
    return std::nullopt;
}

bool is_channel_name(std::string_view name) {
    return !name.empty() && name.size() <= 100 && is_one_of(name.front(), word_characters) &&
           !name.ends_with('/') && !contains(name, "//") && !contains(name, "..") &&
           only(name, std::string{word_characters} + "._-/");
}

} // namespace

Verdict judge_installer(std::string_view url) {
    constexpr std::string_view example = "https://host/Miniforge3-VERSION-Linux-x86_64.sh";
    if (auto wrong = judge_url(url, {.what = "the installer", .example = example}))
        return wrong;
    if (!url.ends_with(".sh"))
        return Complaint{code::url,
                         "the installer's URL does not end in .sh",
                         "not a shell installer",
                         "name the installer for Linux: " + std::string{example}};
    return std::nullopt;
}

Verdict judge_sha256(std::string_view digest) {
    const auto complaint = [](std::string message, std::string label) {
        return Complaint{code::sha256,
                         std::move(message),
                         std::move(label),
                         "the 64 hex digits that the publisher names beside the file, or that "
                         "`sha256sum FILE` prints of one that you trust"};
    };
    constexpr std::size_t length = 64;
    if (digest.empty())
        return complaint("the SHA-256 is empty", "empty");
    if (!only(lower(digest), "0123456789abcdef"))
        return complaint("the SHA-256 holds something else than hex digits", "not hex digits");
    if (digest.size() == 32)
        return complaint("32 hex digits are an MD5, which proves nothing any more", "an MD5");
    if (digest.size() != length)
        return complaint("the SHA-256 has " + std::to_string(digest.size()) +
                             " hex digits instead of 64",
                         "not a SHA-256");
    return std::nullopt;
}

Verdict judge_channel(std::string_view channel) {
    const auto complaint = [](std::string message, std::string label, std::string hint) {
        return Complaint{code::channel, std::move(message), std::move(label), std::move(hint)};
    };
    const std::string example = "such as \"conda-forge\", or https://host/channel";
    if (channel.empty())
        return complaint("the channel is empty", "empty", "remove it");
    if (contains(channel, "://"))
        return judge_url(channel, {.what = "the channel", .example = "https://host/channel"});
    if (channel.starts_with('-'))
        return complaint(
            "options of conda are not taken in a list of channels", "an option", example);
    if (!is_channel_name(channel))
        return complaint(
            shown(channel) + " is not the name of a channel", "not a channel", example);
    return std::nullopt;
}

Verdict judge_environment_file(std::string_view path) {
    constexpr std::string_view example = "/home/USER/work/environment.yml";
    const auto complaint = [&](std::string message, std::string label) {
        return Complaint{code::file_path,
                         std::move(message),
                         std::move(label),
                         "such as " + std::string{example}};
    };
    if (is_in_bucket(path)) {
        if (auto wrong = judge_bucket_object(path))
            return wrong;
    } else {
        if (auto wrong = judge_foreign_scheme(path, example))
            return wrong;
        if (auto wrong = judge_path(path, "the path of the environment file", code::file_path))
            return wrong;
        if (!path.starts_with('/'))
            return complaint("the path of the environment file is not absolute", "relative");
    }
    if (!path.ends_with(".yml") && !path.ends_with(".yaml"))
        return complaint("the environment file ends in neither .yml nor .yaml, and conda reads "
                         "no other",
                         "not an environment.yml");
    return std::nullopt;
}

bool is_anacondas(std::string_view channel_or_url) {
    const std::string place = lower(channel_or_url);
    const auto is_one = [](std::string_view name) {
        constexpr std::array<std::string_view, 9> names{
            "defaults", "main", "r", "msys2", "free", "pro", "anaconda", "pkgs/main", "pkgs/r"};
        return std::find(names.begin(), names.end(), name) != names.end() ||
               name.starts_with("pkgs/") || name.starts_with("anaconda/label/") ||
               name.starts_with("main/label/");
    };
    const auto scheme_end = place.find("://");
    if (scheme_end == std::string::npos)
        return is_one(place);
    std::string_view rest = std::string_view{place}.substr(scheme_end + 3);
    const auto end = rest.find('/');
    std::string_view host = rest.substr(0, end);
    host = host.substr(0, host.find(':'));
    std::string_view path = end == std::string_view::npos ? "" : rest.substr(end + 1);
    while (path.ends_with('/'))
        path.remove_suffix(1);
    // Where everybody's channels are, too.
    if (host == "conda.anaconda.org")
        return is_one(path);
    const auto is_at = [&](std::string_view domain) {
        return host == domain || host.ends_with("." + std::string{domain});
    };
    return is_at("anaconda.com") || is_at("anaconda.cloud") || host == "repo.continuum.io";
}

std::variant<CondaSpec, Complaint> read_conda_spec(std::string_view entry) {
    const std::string_view text = has_control(entry) ? entry : trim(entry);
    if (text.empty())
        return bad_spec("a package entry is empty", "empty", "remove it");
    if (auto wrong = judge_foreign_spec(text))
        return *wrong;
    CondaSpec read;
    std::string_view rest = text;
    if (const auto colons = rest.find("::"); colons != std::string_view::npos) {
        read.channel = rest.substr(0, colons);
        rest.remove_prefix(colons + 2);
        if (!is_channel_name(read.channel))
            return bad_spec("what stands in front of :: is not the name of a channel",
                            "not a channel",
                            "such as conda-forge::numpy");
    }
    const auto end = rest.find_first_not_of(std::string{word_characters} + "._-");
    const std::string_view name = rest.substr(0, end);
    if (name.empty() || !(is_one_of(name.front(), word_characters) || name.front() == '_') ||
        !is_one_of(name.back(), word_characters))
        return bad_spec(shown(text) + " does not begin with the name of a conda package",
                        "not a package name",
                        "letters, digits and . _ -, beginning with a letter, a digit or _");
    read.name = lower(name);
    if (const auto distribution = distribution_of(read.name); !distribution.empty())
        return Complaint{code::import_name,
                         shown(name) + " is what Python imports, not what is installed",
                         "not the name of the package",
                         "write " + std::string{distribution == "opencv-python-headless"
                                                    ? std::string_view{"opencv"}
                                                    : distribution}};
    read.text = (read.channel.empty() ? "" : read.channel + "::") + read.name;
    rest = trim(rest.substr(name.size()));
    if (rest.empty())
        return read;
    const std::string constraint = [&] {
        std::string kept;
        std::copy_if(rest.begin(), rest.end(), std::back_inserter(kept), [](char c) {
            return c != ' ' && c != '\t';
        });
        return kept;
    }();
    if (!is_one_of(constraint.front(), operators))
        return bad_spec("behind the name of a package come versions only",
                        "not a version",
                        "one package an entry; a version as in name=1.2");
    if (is_one_of(constraint.back(), operators) || constraint.ends_with(',') ||
        constraint.ends_with('|') ||
        !only(constraint, std::string{word_characters} + std::string{operators} + ".*,|_+-"))
        return bad_spec("a version of a package is malformed",
                        "not a version",
                        "such as name=1.2, name=1.2=build or \"name>=1.2,<2\"");
    read.text += constraint;
    return read;
}

} // namespace agent::rules
