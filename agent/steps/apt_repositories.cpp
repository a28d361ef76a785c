#include "agent/steps/apt_repositories.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/apt.hpp"

#include <algorithm>
#include <system_error>

#include <sys/stat.h>

namespace agent {
namespace {

constexpr const char* sources_directory = "/etc/apt/sources.list.d";
constexpr const char* keyring_directory = "/etc/apt/keyrings";
// How a file of ours is known: by the beginning of its first line.
constexpr std::string_view our_mark = "# Written by agent";
constexpr FileMode mode{.mode = 0644};

std::string sources_path(const std::string& name) {
    return std::string{sources_directory} + "/" + name + ".sources";
}

std::string keyring_path(const std::string& name) {
    return std::string{keyring_directory} + "/agent-" + name + ".asc";
}

std::string staged_path(const std::string& name, const char* extension) {
    return std::string{layout::runtime_directory} + "/apt/" + name + extension;
}

// VERSION_CODENAME of os-release(5).
Result<std::string> codename(const Root& root) {
    // The file is a link to /usr/lib/os-release.
    for (const char* place : {"/usr/lib/os-release", "/etc/os-release"}) {
        const auto content = read_file(root / place);
        if (!content || !*content)
            continue;
        for (const auto& line : split(**content, '\n')) {
            constexpr std::string_view key = "VERSION_CODENAME=";
            if (!line.starts_with(key))
                continue;
            std::string value = line.substr(key.size());
            std::erase(value, '"');
            return value;
        }
    }
    return misconfigured("`{codename}`: this system's os-release names no VERSION_CODENAME",
                         "write the suite itself in [[apt.repository]]");
}

// A keyring of ours, or the one on the machine.
std::string keyring_of(const AptRepositories::Repository& repository) {
    return repository.key.empty() ? repository.keyring.string() : keyring_path(repository.name);
}

std::string key_text(const AptRepositories::Repository& repository) {
    return repository.key + (repository.key.ends_with('\n') ? "" : "\n");
}

struct Complaint {
    std::string_view sign;
    ErrorKind kind;
    std::string_view meaning;
    std::string_view next;
};

// Where older lists are kept, apt says that first.
std::string_view from_cause(std::string_view line) {
    const auto at = line.find("GPG error: ");
    return at == std::string_view::npos ? line : line.substr(at);
}

constexpr std::string_view other_key =
    "take the key from whoever runs the repository, and write it to `key` of this repository";
constexpr std::string_view clock_is_wrong = "check the clock of the VM with `timedatectl`";

// The first that fits holds.
constexpr Complaint complaints[] = {
    {"NO_PUBKEY", ErrorKind::misconfigured, "it is signed by another key than its own", other_key},
    {"EXPKEYSIG", ErrorKind::misconfigured, "the key that signs it has expired", other_key},
    {"BADSIG", ErrorKind::permanent, "its signature is wrong", "ask whoever runs the repository"},
    {"unsupported filetype",
     ErrorKind::misconfigured,
     "its keyring is no keyring",
     "an ASCII-armoured keyring is named .asc, a binary one .gpg"},
    {"not valid yet", ErrorKind::transient, "it is of the future", clock_is_wrong},
    {"is expired", ErrorKind::permanent, "its lists are too old", clock_is_wrong},
    {"Certificate verification failed",
     ErrorKind::permanent,
     "its server's certificate is not trusted",
     "if this network has certificates of its own, name them in [network] ca_certificates"},
    {"does not have a Release file",
     ErrorKind::misconfigured,
     "there is no such suite at its address",
     "correct `url` or `suite` of this repository; open its URL in a browser"},
    {"doesn't have the component",
     ErrorKind::misconfigured,
     "it has no such component",
     "correct `components` of this repository"},
    {"Conflicting values set for option Signed-By",
     ErrorKind::misconfigured,
     "the machine has this repository already, under another key",
     "remove it from /etc/apt, or from the configuration"},
    {"Could not get lock",
     ErrorKind::transient,
     "another program is at the package lists",
     "wait until it has ended; `agent retry` tries again"},
    {"is not signed", ErrorKind::permanent, "it is not signed", other_key},
    {"signature verification", ErrorKind::permanent, "its signature is wrong", other_key},
    {"GPG error", ErrorKind::permanent, "its signature is wrong", other_key},
};

} // namespace

std::string AptRepositories::fingerprint() const {
    std::string text;
    for (const auto& repository : repositories_)
        text += join(std::vector<std::string>{repository.name,
                                              repository.url,
                                              repository.suite,
                                              join(repository.components, " "),
                                              repository.key,
                                              repository.keyring.string()},
                     "\n") +
                "\n\n";
    return sha256_hex(text);
}

Result<std::string> AptRepositories::sources_text(const Repository& repository,
                                                  const std::string& keyring) const {
    std::string suite = repository.suite;
    constexpr std::string_view placeholder = "{codename}";
    if (const auto at = suite.find(placeholder); at != std::string::npos) {
        const auto name = codename(ports_.root);
        if (!name)
            return name.error();
        suite.replace(at, placeholder.size(), *name);
    }
    std::string text = std::string{our_mark} + " for [[apt.repository]] " + repository.name +
                       " of its configuration; what is changed here is lost.\n"
                       "Types: deb\n"
                       "URIs: " +
                       repository.url + "\nSuites: " + suite + "\n";
    if (!repository.components.empty())
        text += "Components: " + join(repository.components, " ") + "\n";
    return text + "Signed-By: " + keyring + "\n";
}

Result<bool> AptRepositories::is_in_place(const Repository& repository) const {
    const std::string path = sources_path(repository.name);
    const auto text = sources_text(repository, keyring_of(repository));
    if (!text)
        return text.error();
    const auto present = read_file(ports_.root / path);
    if (!present)
        return present.error();
    if (*present && !(*present)->starts_with(our_mark))
        return misconfigured(path + " is in the way: it was not written by agent",
                             "give this [[apt.repository]] another name, or move the file away");
    if (repository.key.empty()) {
        struct stat keyring{};
        if (::stat((ports_.root / repository.keyring.string()).c_str(), &keyring) != 0)
            return misconfigured("repository " + repository.name + ": there is no keyring " +
                                     repository.keyring.string(),
                                 "correct `keyring` of this repository, or give its `key`");
    }
    return file_is(ports_.root / path, *text, mode) &&
           (repository.key.empty() ||
            file_is(ports_.root / keyring_of(repository), key_text(repository), mode));
}

Result<std::vector<std::string>> AptRepositories::abandoned() const {
    std::vector<std::string> names;
    std::error_code failure;
    for (const auto& entry :
         std::filesystem::directory_iterator{ports_.root / sources_directory, failure}) {
        const auto& path = entry.path();
        const std::string name = path.stem().string();
        const bool asked_for =
            std::any_of(repositories_.begin(), repositories_.end(), [&](const auto& repository) {
                return repository.name == name;
            });
        if (asked_for || path.extension() != ".sources" || !entry.is_regular_file(failure) ||
            entry.is_symlink(failure))
            continue;
        const auto content = read_file(path);
        if (!content)
            return content.error();
        if (*content && (*content)->starts_with(our_mark))
            names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

boost::asio::awaitable<Result<StepCheck>> AptRepositories::check(StepContext&) {
    std::vector<std::string> names;
    for (const auto& repository : repositories_) {
        const auto in_place = is_in_place(repository);
        if (!in_place)
            co_return in_place.error();
        if (!*in_place)
            co_return StepCheck::due("apt does not know " + repository.name + " as it should");
        names.push_back(repository.name);
    }
    const auto left = abandoned();
    if (!left)
        co_return left.error();
    if (!left->empty())
        co_return StepCheck::due("no longer asked for: " + join(*left, " "));
    co_return StepCheck::yes(names.empty() ? "none asked for" : join(names, " "));
}

boost::asio::awaitable<Result<void>> AptRepositories::apply(StepContext& context) {
    const auto left = abandoned();
    if (!left)
        co_return left.error();
    for (const auto& name : *left)
        if (auto removed = remove(name); !removed)
            co_return removed;
    if (auto readable = certificates_are_readable(ports_.root, network_); !readable)
        co_return readable;
    for (const auto& repository : repositories_) {
        const auto in_place = is_in_place(repository);
        if (!in_place)
            co_return in_place.error();
        if (*in_place)
            continue;
        context.progress("fetching the lists of " + repository.name);
        auto proven = co_await prove(context, repository);
        if (proven)
            proven = put_in_place(repository);
        if (!proven)
            co_return proven;
    }
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> AptRepositories::prove(StepContext& context,
                                                            Repository repository) {
    const std::string sources = staged_path(repository.name, ".sources");
    const std::string keyring =
        repository.key.empty() ? repository.keyring.string() : staged_path(repository.name, ".asc");
    const auto text = sources_text(repository, keyring);
    if (!text)
        co_return text.error();
    const auto staged = ports_.root / sources;
    auto written = ensure_directory(staged.parent_path(), {.mode = 0755});
    if (written && !repository.key.empty())
        written =
            durable_write(ports_.root / keyring, key_text(repository), mode, Durability::ephemeral);
    if (written)
        written = durable_write(staged, *text, mode, Durability::ephemeral);
    if (!written)
        co_return written;
    std::vector<std::string> alone{"--option=Dir::Etc::SourceList=" + sources,
                                   "--option=Dir::Etc::SourceParts=/dev/null",
                                   "--option=APT::Get::List-Cleanup=0"};
    auto outcome = co_await update_lists(context, ports_, network_, std::move(alone));
    if (!outcome)
        co_return outcome.error();
    if (auto problem = repository_problem(*outcome, repository.name))
        co_return with_network_state(std::move(*problem), ports_.root);
    std::error_code failure;
    if (std::filesystem::exists(ports_.root / sources_path(repository.name), failure))
        co_return Result<void>{};
    // Beside the machine's own: apt reads none of them when two give one repository two keys.
    std::vector<std::string> look{
        "--option=Dir::Etc::SourceList=" + sources, "indextargets", "--format=$(SITE)"};
    auto looked = co_await context.run(apt_get(network_, std::move(look)));
    if (!looked)
        co_return looked.error();
    if (auto problem = repository_problem(*looked, repository.name))
        co_return std::move(*problem);
    co_return Result<void>{};
}

Result<void> AptRepositories::put_in_place(const Repository& repository) const {
    const auto text = sources_text(repository, keyring_of(repository));
    if (!text)
        return text.error();
    if (!repository.key.empty()) {
        const auto keyring = ports_.root / keyring_of(repository);
        std::error_code failure;
        if (!std::filesystem::exists(keyring.parent_path(), failure)) // before Debian 12
            if (auto made = ensure_directory(keyring.parent_path(), {.mode = 0755}); !made)
                return made;
        if (auto written = durable_write(keyring, key_text(repository), mode); !written)
            return written;
    }
    return durable_write(ports_.root / sources_path(repository.name), *text, mode);
}

Result<void> AptRepositories::remove(const std::string& name) const {
    if (auto removed = remove_file(ports_.root / sources_path(name)); !removed)
        return removed;
    return remove_file(ports_.root / keyring_path(name));
}

std::optional<Error> repository_problem(const CommandOutcome& outcome, std::string_view name) {
    std::vector<std::string> words; // of apt's complaints
    for (const auto& line : split(outcome.output + "\n" + outcome.error_tail, '\n'))
        if (line.starts_with("E: ") || line.starts_with("W: "))
            words.push_back(line.substr(3));
    const std::string repository = "repository " + std::string{name};
    for (const auto& complaint : complaints)
        for (const auto& line : words)
            if (line.find(complaint.sign) != std::string::npos)
                return Error{complaint.kind,
                             repository + ": " + std::string{complaint.meaning} + ": " +
                                 printable(from_cause(line), 300),
                             std::string{complaint.next}};
    const bool failed = std::any_of(words.begin(), words.end(), [](const std::string& line) {
        return line.starts_with("Failed to fetch") || line.starts_with("Some index files failed");
    });
    if (outcome.succeeded() && !failed)
        return std::nullopt;
    Error error = context(apt_error(outcome), repository);
    if (outcome.succeeded())
        error.message = repository + ": " + printable(words.front(), 300);
    error.kind = failed ? ErrorKind::transient : error.kind;
    return error;
}

} // namespace agent
