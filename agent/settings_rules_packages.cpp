#include "agent/base/python_marker.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/settings_grammar.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace agent::rules {
namespace {

using Read = std::variant<Requirement, Complaint>;

Complaint no_requirement(std::string message, std::string label, std::string hint) {
    return {code::no_requirement, std::move(message), std::move(label), std::move(hint)};
}
Complaint bad_requirement(std::string message, std::string label, std::string hint) {
    return {code::requirement, std::move(message), std::move(label), std::move(hint)};
}

// What pip or a requirements file would take, but a list of packages does not.
Verdict judge_foreign_requirement(std::string_view entry) {
    const std::string use_index = "an index other than PyPI goes into python.index_url";
    if (has_control(entry))
        return no_requirement("a package entry holds a newline or a control character",
                              "more than one line",
                              "one package an entry");
    if (entry.starts_with('-')) {
        const bool index = contains(entry, "index") || entry.starts_with("-i");
        const bool file = entry.starts_with("-r") || entry.starts_with("--req") ||
                          entry.starts_with("-c") || entry.starts_with("--constr");
        return no_requirement("options of pip are not taken in a list of packages",
                              "an option",
                              index  ? use_index
                              : file ? "a file goes into python.requirements or python.constraints"
                                     : "list package names only");
    }
    if (contains(entry, "://") || entry.starts_with("git+"))
        return no_requirement("URLs and repositories are not taken in a list of packages",
                              "a URL",
                              "name a released version: name==1.2.3; " + use_index);
    if (contains(entry, "@"))
        return no_requirement("direct references (name @ …) are not taken in a list of packages",
                              "a direct reference",
                              "name a released version: name==1.2.3");
    if (entry.find_first_of("/\\") != std::string_view::npos || entry.starts_with('.') ||
        entry.starts_with('~') || entry.ends_with(".whl") || entry.ends_with(".tar.gz"))
        return no_requirement("paths and files are not taken in a list of packages",
                              "a path",
                              "name a released version: name==1.2.3");
    return std::nullopt;
}

Verdict judge_version(std::string_view op, std::string_view version) {
    const auto wrong = [](std::string hint) {
        return bad_requirement(
            "a version of a package is malformed", "not a version", std::move(hint));
    };
    if (version.empty())
        return wrong("write a version behind the operator, or leave both out");
    if (version.starts_with('='))
        return wrong("the operators are == != <= >= < > ~= ===");
    if (version.ends_with(".*")) {
        if (op != "==" && op != "!=")
            return wrong("`.*` goes only with == and !=");
        version.remove_suffix(2);
    }
    if (op == "~=" && !contains(version, "."))
        return wrong("~= needs two parts at least: ~=1.4");
    const std::string_view number = version.substr(version.starts_with('v') ? 1 : 0);
    if (number.empty() || !is_one_of(number.front(), digits) ||
        !is_one_of(number.back(), word_characters) || contains(number, "..") ||
        !only(number, std::string{word_characters} + ".+!_-"))
        return wrong("such as 1.26.4 or 2.0.0rc1");
    return std::nullopt;
}

std::string without_blanks(std::string_view text) {
    std::string kept;
    std::copy_if(text.begin(), text.end(), std::back_inserter(kept), [](char c) {
        return c != ' ' && c != '\t';
    });
    return kept;
}

std::string normalised_name(std::string_view name) {
    std::string out;
    for (const char c : lower(name)) {
        if (!is_one_of(c, "-_."))
            out += c;
        else if (!out.ends_with('-'))
            out += '-';
    }
    return out;
}

struct WrongName {
    std::string_view name;
    std::string_view right;
};

template <class Names> std::string_view right_name(const Names& names, std::string_view wrong) {
    const auto* const found = std::find_if(
        names.begin(), names.end(), [&](const WrongName& one) { return one.name == wrong; });
    return found == names.end() ? std::string_view{} : found->right;
}

// What people import is not always what they install.
constexpr std::array<WrongName, 11> imports{{{"cv2", "opencv-python-headless"},
                                             {"dateutil", "python-dateutil"},
                                             {"dotenv", "python-dotenv"},
                                             {"fitz", "pymupdf"},
                                             {"mysqldb", "mysqlclient"},
                                             {"pil", "pillow"},
                                             {"serial", "pyserial"},
                                             {"skimage", "scikit-image"},
                                             {"sklearn", "scikit-learn"},
                                             {"skopt", "scikit-optimize"},
                                             {"yaml", "pyyaml"}}};

// Names on PyPI that install nothing of use: their own pages name the other.
constexpr std::array<WrongName, 5> retired{{{"fbprophet", "prophet"},
                                            {"pkg-resources", "setuptools"},
                                            {"pycrypto", "pycryptodome"},
                                            {"pytorch", "torch"},
                                            {"tensorflow-gpu", "tensorflow"}}};

Verdict judge_name(std::string_view name, const std::string& normalised) {
    if (normalised == "python")
        return bad_requirement("Python itself is no package of a list",
                               "not a package",
                               "its version goes into python.version");
    const auto complaint = [&](std::string_view what, std::string_view right) {
        return Complaint{code::import_name,
                         shown(name) + std::string{what},
                         "not the name of the package",
                         "write " + std::string{right}};
    };
    if (const auto right = right_name(imports, normalised); !right.empty())
        return complaint(" is what Python imports, not what is installed", right);
    if (const auto right = right_name(retired, normalised); !right.empty())
        return complaint(" is a name under which nothing of use is published any more", right);
    return std::nullopt;
}

Read read_specifiers(Requirement read, std::string_view specifiers) {
    constexpr std::array<std::string_view, 8> operators{
        "===", "==", "!=", "<=", ">=", "~=", "<", ">"};
    bool first = true;
    for (const std::string& part : split(specifiers, ',')) {
        const std::string_view specifier = trim(part);
        const auto op = std::find_if(operators.begin(), operators.end(), [&](std::string_view one) {
            return specifier.starts_with(one);
        });
        if (op == operators.end()) {
            const bool single = specifier.starts_with('=');
            return bad_requirement("behind the name of a package come extras and versions only",
                                   "not a version specifier",
                                   single ? "write == for a version (or >= for a least one)"
                                          : "one package an entry; a version as in name==1.2.3");
        }
        const std::string_view version = trim(specifier.substr(op->size()));
        if (auto wrong = judge_version(*op, version))
            return *wrong;
        read.text += (first ? "" : ",") + std::string{*op} + std::string{version};
        first = false;
    }
    return read;
}

} // namespace

std::string_view distribution_of(std::string_view import_name) {
    return right_name(imports, import_name);
}

std::variant<Requirement, Complaint> read_requirement(std::string_view entry) {
    const std::string_view whole = has_control(entry) ? entry : trim(entry);
    if (whole.empty())
        return bad_requirement("a package entry is empty", "empty", "remove it");
    const auto [text, marker] = split_marker(whole);
    if (auto wrong = judge_foreign_requirement(text))
        return *wrong;
    const auto end = text.find_first_not_of(std::string{word_characters} + "._-");
    const std::string_view name = text.substr(0, end);
    if (name.empty() || !is_one_of(name.front(), word_characters) ||
        !is_one_of(name.back(), word_characters))
        return bad_requirement(shown(text) + " does not begin with the name of a Python package",
                               "not a package name",
                               "letters, digits and . _ -, beginning and ending with a letter or "
                               "digit");
    Requirement read{normalised_name(name), std::string{name}};
    if (auto wrong = judge_name(name, read.name))
        return *wrong;
    std::string_view rest = trim(text.substr(name.size()));
    if (rest.starts_with('[')) {
        const auto close = rest.find(']');
        const std::string extras = without_blanks(rest.substr(0, close));
        if (close == std::string_view::npos ||
            !only(extras.substr(1), std::string{word_characters} + "._-,") || extras.size() < 2 ||
            contains(extras, ",,") || extras.starts_with("[,") || extras.ends_with(','))
            return bad_requirement("the extras of a package are malformed",
                                   "not a list of extras",
                                   "write them as name[one,two]");
        read.text += extras + "]";
        rest = trim(rest.substr(close + 1));
    }
    Read whole_read = rest.empty() ? Read{std::move(read)} : read_specifiers(std::move(read), rest);
    if (auto* good = std::get_if<Requirement>(&whole_read); good && text.size() < whole.size()) {
        if (!marker_holds(marker, PythonFacts{"3.11.2", "x86_64"}))
            return bad_requirement(
                "the marker behind `;` is malformed, or asks for something that is not known",
                "not a marker",
                "such as name; python_version < '3.9'. Known are python_version, "
                "python_full_version, sys_platform, platform_system, platform_machine, os_name and "
                "implementation_name, with == != < <= > >= in and or");
        good->marker = std::string{marker};
        good->text += "; " + good->marker;
    }
    return whole_read;
}

Verdict judge_plain_package(std::string_view entry) {
    const auto read = read_requirement(entry);
    if (const auto* wrong = std::get_if<Complaint>(&read))
        return *wrong;
    const auto& requirement = std::get<Requirement>(read);
    if (normalised_name(requirement.text) == requirement.name)
        return std::nullopt;
    return bad_requirement(shown(trim(entry)) + " is more than the name of a package",
                           "a name alone",
                           "versions and extras go into `packages` of [python]");
}

Verdict judge_python_version(std::string_view version) {
    const auto complaint = [&](std::string message, std::string label) {
        return Complaint{code::python_version,
                         std::move(message),
                         std::move(label),
                         "write the first two numbers in quotes, such as \"3.12\""};
    };
    if (version.empty())
        return complaint("the version of Python is empty", "empty");
    const auto parts = split(version, '.');
    constexpr std::uint32_t oldest = 6; // with `venv` as it is used here
    const bool numbers = std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
        return decimal(part, 99).has_value();
    });
    if (!numbers || parts.size() > 3)
        return complaint(shown(version) + " is no version of Python", "not a version");
    if (parts.size() != 2)
        return complaint(shown(version) + " has not two numbers: Debian has one Python of each",
                         "not X.Y");
    if (parts[0] != "3" || *decimal(parts[1], 99) < oldest)
        return complaint(shown(version) + " is older than Python 3.6", "too old");
    return std::nullopt;
}

Verdict judge_requirements_file(std::string_view path) {
    constexpr std::string_view example = "/etc/agent/requirements.txt";
    if (is_in_bucket(path))
        return judge_bucket_object(path);
    if (auto wrong = judge_foreign_scheme(path, example))
        return wrong;
    if (auto wrong = judge_path(path, "the path of the file", code::file_path))
        return wrong;
    const auto complaint = [](std::string message, std::string label, std::string hint) {
        return Complaint{code::file_path, std::move(message), std::move(label), std::move(hint)};
    };
    if (!path.starts_with('/'))
        return complaint(
            "the path of the file is not absolute", "relative", "such as " + std::string{example});
    constexpr std::array<std::string_view, 5> elsewhere{"/proc", "/sys", "/dev", "/run", "/tmp"};
    for (const std::string_view place : elsewhere)
        if (path == "/" || path == place || path.starts_with(std::string{place} + "/"))
            return complaint("no file of requirements stays at " + shown(path),
                             "gone at the next boot",
                             "such as " + std::string{example});
    return std::nullopt;
}

namespace {

Verdict judge_short_name(std::string_view name, std::string_view what, std::string_view code) {
    constexpr std::size_t longest = 40;
    const std::string first = std::string{lower_letters} + std::string{digits};
    const auto complaint = [&](std::string message, std::string label) {
        return Complaint{code,
                         std::move(message),
                         std::move(label),
                         "begin with a-z or 0-9, go on with a-z, 0-9, _ and -, at most 40 "
                         "characters"};
    };
    if (name.empty())
        return complaint("the name of " + std::string{what} + " is empty", "empty");
    if (name.size() > longest)
        return complaint("the name of " + std::string{what} + " is longer than 40 characters",
                         "too long");
    if (!is_one_of(name.front(), first) || !only(name, first + "_-"))
        return complaint(shown(name) + " is no name for " + std::string{what}, "not a name");
    return std::nullopt;
}

} // namespace

Verdict judge_index_name(std::string_view name) {
    return judge_short_name(name, "an index", code::index_name);
}

Verdict judge_environment_name(std::string_view name) {
    if (auto wrong = judge_short_name(name, "an environment", code::environment_name))
        return wrong;
    if (name == "python3" || name == "base")
        return Complaint{code::environment_name,
                         shown(name) + " is the name of Jupyter's own Python",
                         "taken",
                         "choose another; its packages go into `packages` of [python]"};
    return std::nullopt;
}

bool stays_below(const Requirement& requirement, Release bound) {
    const auto specifiers = requirement.text.find_first_of("=<>!~");
    // A marker may be about another Python than the one that it becomes.
    if (specifiers == std::string::npos || !requirement.marker.empty())
        return false;
    const auto limits = [bound](std::string_view specifier) {
        const auto at = std::min(specifier.find_first_not_of("=<>!~"), specifier.size());
        const std::string_view sign = specifier.substr(0, at);
        const std::string_view version = specifier.substr(at);
        const Release named = release_of(version);
        if (sign == "<")
            return named <= bound;
        // "~=6.0" stands for 6 and whatever minor release.
        if (sign == "~=" || version.ends_with(".*"))
            return sign != "!=" && named < bound &&
                   (std::count(version.begin(), version.end(), '.') > 1 ||
                    named.major < bound.major);
        return (sign == "==" || sign == "===" || sign == "<=") && named < bound;
    };
    const auto all = split(requirement.text.substr(specifiers), ',');
    return std::any_of(all.begin(), all.end(), limits);
}

} // namespace agent::rules
