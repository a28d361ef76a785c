#include "agent/workers/shell_files.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/stat.h>

namespace agent {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_file = 1 << 20;
constexpr std::string_view conda_opening = "# >>> conda initialize >>>";
constexpr std::string_view conda_end = "# <<< conda initialize <<<";
constexpr std::string_view our_opening =
    "# >>> agent: conda for commands over ssh, for which bash reads no farther >>>\n";
constexpr std::string_view our_end = "# <<< agent <<<\n";

// What stands behind the name: dot files are often links into a repository of the user's.
fs::path behind(const fs::path& file) {
    std::error_code failure;
    const fs::path real = fs::canonical(file, failure);
    return failure ? file : real;
}

std::string content_of(const fs::path& file) {
    auto content = read_file(behind(file), longest_file);
    return content && *content ? std::move(**content) : std::string{};
}

std::string_view conda_in(const fs::path& file, const fs::path& prefix) {
    const std::string content = content_of(file);
    const auto begin = content.find(conda_opening);
    if (begin == std::string::npos)
        return "none";
    const auto end = content.find(conda_end, begin);
    const std::string_view block = std::string_view{content}.substr(begin, end - begin);
    return block.find(prefix.string() + "/") == std::string_view::npos ? "other" : "here";
}

// Debian's bash reads ~/.bashrc for a command over ssh too, but Debian's ~/.bashrc begins by
// leaving where nobody types, and conda's own block is at its end.
std::string block_for_commands(const fs::path& prefix) {
    const std::string place = (prefix / "condabin").string();
    return std::string{our_opening} + "case \":$PATH:\" in *\":" + place + ":\"*) ;; *) PATH=\"" +
           place + ":$PATH\" ;; esac\n" + std::string{our_end};
}

constexpr std::string_view read_bashrc =
    "if [ -n \"$BASH_VERSION\" ] && [ -f \"$HOME/.bashrc\" ]; then . \"$HOME/.bashrc\"; fi\n";

// The one of them that a login bash reads: the first that is there, bash(1).
fs::path login_file(const fs::path& home) {
    std::error_code failure;
    for (const char* name : {".bash_profile", ".bash_login"})
        if (fs::exists(home / name, failure))
            return home / name;
    return home / ".profile";
}

bool login_reads_bashrc(const fs::path& home) {
    return content_of(login_file(home)).find(".bashrc") != std::string::npos;
}

Result<void> replace(const fs::path& file, const std::string& content) {
    const fs::path real = behind(file);
    struct stat status{};
    const bool is_there = ::stat(real.c_str(), &status) == 0;
    return durable_write(
        real, content, {.mode = is_there ? status.st_mode & mode_t{07777} : mode_t{0644}});
}

// Without the block of ours that an earlier prefix left.
std::string without_ours(std::string content) {
    const auto begin = content.find(our_opening);
    if (begin == std::string::npos)
        return content;
    const auto end = content.find(our_end, begin);
    if (end != std::string::npos)
        content.erase(begin, end + our_end.size() - begin);
    return content;
}

} // namespace

int look_at_shell_files(const fs::path& home, const fs::path& prefix, std::ostream& out) {
    const auto said = [&](const fs::path& file) {
        return Value{std::string{conda_in(file, prefix)}};
    };
    const bool commands = content_of(home / ".bashrc").starts_with(block_for_commands(prefix));
    out << write_json(Value::Object{{"bash", said(home / ".bashrc"), {}},
                                    {"zsh", said(home / ".zshrc"), {}},
                                    {"fish", said(home / ".config/fish/config.fish"), {}},
                                    {"commands", commands, {}},
                                    {"login", login_reads_bashrc(home), {}}})
        << "\n";
    return 0;
}

int complete_shell_files(const fs::path& home, const fs::path& prefix, std::ostream& err) {
    const fs::path bashrc = home / ".bashrc";
    const std::string block = block_for_commands(prefix);
    const auto complete = [&]() -> Result<void> {
        const auto there = read_file(behind(bashrc), longest_file);
        if (!there)
            return there.error();
        const std::string content = there->value_or("");
        if (!content.starts_with(block))
            if (auto written = replace(bashrc, block + without_ours(content)); !written)
                return written;
        if (login_reads_bashrc(home))
            return {};
        const fs::path file = login_file(home);
        const auto login = read_file(behind(file), longest_file);
        if (!login)
            return login.error();
        std::string text = login->value_or("");
        if (!text.empty() && !text.ends_with('\n'))
            text += '\n';
        return replace(file, text + std::string{read_bashrc});
    };
    if (const auto done = complete(); !done) {
        err << done.error().message << "\n";
        return 1;
    }
    return 0;
}

} // namespace agent
