#include "agent/settings_sources.hpp"

#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/layout.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

namespace code = rules::code;

constexpr mode_t written_by_others = 0022;
constexpr std::size_t drop_in_limit = 100;

Diagnostic refusal(std::string source, std::string_view code, std::string why, std::string next) {
    Diagnostic diagnostic;
    diagnostic.source = std::move(source);
    diagnostic.code = code;
    diagnostic.message = std::move(why);
    diagnostic.hint = std::move(next);
    return diagnostic;
}

Diagnostic unreadable(std::string source, int errnum) {
    return refusal(std::move(source),
                   code::unreadable,
                   "it cannot be read: " + std::generic_category().message(errnum),
                   errnum == EACCES ? "use sudo" : "");
}

// Whoever can write it commands root.
std::optional<Diagnostic> distrusted(const struct stat& status, const std::string& name) {
    if (status.st_uid != 0 && status.st_uid != ::geteuid())
        return refusal(name,
                       code::untrusted,
                       "it belongs to user " + std::to_string(status.st_uid) + ", not to root",
                       "chown root " + name);
    if ((status.st_mode & written_by_others) != 0)
        return refusal(
            name, code::untrusted, "others than root may write it", "chmod go-w " + name);
    return std::nullopt;
}

std::string kind_of(mode_t mode) {
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a FIFO";
    if (S_ISSOCK(mode))
        return "a socket";
    return "a device";
}

// The text, or the refusal.
std::optional<Diagnostic> read_text(int fd, const std::string& name, std::string& text) {
    text.resize(config_size_limit + 1);
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t count = ::read(fd, text.data() + size, text.size() - size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return unreadable(name, errno);
        if (count == 0)
            break;
        size += static_cast<std::size_t>(count);
    }
    text.resize(size);
    if (size > config_size_limit)
        return refusal(name,
                       code::too_large,
                       "it has more than " + std::to_string(config_size_limit) +
                           " bytes, and no more are read",
                       {});
    return std::nullopt;
}

std::optional<Diagnostic>
load(const std::filesystem::path& path, const std::string& name, Trust trust, std::string& text) {
    // A person may name a file through links; the machine's own files are none.
    const int follow = trust == Trust::machine_file ? O_NOFOLLOW : 0;
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | follow)};
    if (!fd && errno == ELOOP)
        return trust == Trust::machine_file
                   ? refusal(name,
                             code::not_a_file,
                             "it is a symbolic link, not a file",
                             "put the file itself there")
                   : refusal(name, code::not_a_file, "its symbolic links form a loop", {});
    // A socket, or a device without a driver.
    if (!fd && errno == ENXIO)
        return refusal(name, code::not_a_file, "it is no regular file", {});
    if (!fd)
        return unreadable(name, errno);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0)
        return unreadable(name, errno);
    if (!S_ISREG(status.st_mode))
        return refusal(name,
                       code::not_a_file,
                       "it is " + kind_of(status.st_mode) + ", not a regular file",
                       {});
    if (trust == Trust::machine_file)
        if (auto foreign = distrusted(status, name))
            return foreign;
    return read_text(fd.get(), name, text);
}

ConfigSource refused(Diagnostic why) {
    ConfigSource source{why.source, {}};
    source.refusal = std::move(why);
    return source;
}

// The names of the drop-ins in the order in which they are read, or why they cannot be told.
std::optional<Diagnostic> list_drop_ins(const Root& root, std::vector<std::string>& names) {
    const std::string directory = layout::config_directory;
    struct stat status{};
    if (::lstat((root / directory).c_str(), &status) != 0)
        return errno == ENOENT ? std::nullopt : std::optional{unreadable(directory, errno)};
    if (!S_ISDIR(status.st_mode))
        return refusal(directory, code::not_a_file, "it is no directory", "drop-ins go into one");
    if (auto foreign = distrusted(status, directory))
        return foreign;
    std::error_code failure;
    auto entry = std::filesystem::directory_iterator{root / directory, failure};
    for (; !failure && entry != std::filesystem::directory_iterator{}; entry.increment(failure)) {
        const std::string name = entry->path().filename().string();
        // A name with a dot in front is an editor's.
        if (entry->path().extension() == ".toml" && !name.starts_with('.'))
            names.push_back(directory + "/" + name);
    }
    if (failure)
        return unreadable(directory, failure.value());
    if (names.size() > drop_in_limit) {
        const std::string count = std::to_string(names.size());
        names.clear();
        return refusal(directory,
                       code::too_large,
                       "it holds " + count + " drop-ins; at most " + std::to_string(drop_in_limit) +
                           " are read",
                       {});
    }
    std::sort(names.begin(), names.end());
    return std::nullopt;
}

std::vector<ConfigSource> sources_on_disk(const Root& root) {
    std::vector<ConfigSource> sources;
    struct stat status{};
    const auto path = root / layout::config_file;
    if (::lstat(path.c_str(), &status) == 0 || errno != ENOENT)
        sources.push_back(load_config_file(path, layout::config_file, Trust::machine_file));
    std::vector<std::string> drop_ins;
    if (auto failure = list_drop_ins(root, drop_ins))
        sources.push_back(refused(std::move(*failure)));
    for (const std::string& name : drop_ins)
        sources.push_back(load_config_file(root / name, printable(name, 300), Trust::machine_file));
    return sources;
}

Diagnostic note(std::string source, std::string_view code, std::string message, std::string hint) {
    Diagnostic made = refusal(std::move(source), code, std::move(message), std::move(hint));
    made.severity = Severity::note;
    return made;
}

using Attributes = std::map<std::string, std::string>;

// A key that its author meant for us, and that is not read.
void add_near_misses(const Attributes& attributes,
                     const std::string& whose,
                     std::vector<Diagnostic>& notes) {
    constexpr std::array<std::string_view, 1> ours{config_attribute};
    for (const auto& [name, value] : attributes) {
        std::string plain = lower(name);
        std::replace(plain.begin(), plain.end(), '_', '-');
        if (name == config_attribute)
            continue;
        const std::string source = "metadata:" + whose + "/attributes/" + printable(name, 80);
        if (plain.starts_with("agent-config-"))
            notes.push_back(note(source,
                                 code::near_attribute,
                                 "this key is not read: nothing is fetched for a configuration",
                                 "give its text itself: "
                                 "--metadata-from-file=agent-config=agent.toml"));
        else if (!nearest(plain, ours).empty())
            notes.push_back(note(source,
                                 code::near_attribute,
                                 "this key is not read",
                                 "did you mean `agent-config`?"));
    }
}

} // namespace

ConfigSource
load_config_file(const std::filesystem::path& path, std::string shown_name, Trust trust) {
    ConfigSource source{std::move(shown_name), {}};
    source.refusal = load(path, source.name, trust, source.text);
    if (source.refusal)
        source.text.clear();
    return source;
}

GatheredSources gather_sources(const Root& root, const MachineFacts* facts) {
    GatheredSources gathered{sources_on_disk(root), {}};
    if (!facts)
        return gathered;
    auto& sources = gathered.sources;
    const auto project = facts->project_attributes.find(config_attribute);
    const auto instance = facts->instance_attributes.find(config_attribute);
    const auto from_project = static_cast<std::ptrdiff_t>(sources.size());
    if (instance != facts->instance_attributes.end())
        sources.push_back({instance_source, instance->second});
    if (project != facts->project_attributes.end()) {
        // Asked of the others alone: the project cannot allow itself.
        if (read_configuration(sources).settings.metadata.project_config)
            sources.insert(sources.begin() + from_project, {project_source, project->second});
        else
            gathered.notes.push_back(note(project_source,
                                          code::project_ignored,
                                          "the project's configuration does not count here",
                                          "project_config = true under [metadata], in " +
                                              std::string{layout::config_file} +
                                              " or the instance's agent-config, has it count"));
    }
    add_near_misses(facts->instance_attributes, "instance", gathered.notes);
    add_near_misses(facts->project_attributes, "project", gathered.notes);
    return gathered;
}

} // namespace agent
