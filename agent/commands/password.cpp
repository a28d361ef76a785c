#include "agent/commands/password.hpp"

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"
#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "agent/settings.hpp"
#include "agent/settings_sources.hpp"
#include "agent/steps/catalog.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/jupyter_build.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::size_t shortest = 8;
constexpr std::size_t longest = 1024; // bytes

// A terminal that does not show what is typed. The signals that would end us meanwhile are held
// back and readable at `signals()`; they act when this is gone and the terminal is as it was.
class SilentTerminal {
public:
    explicit SilentTerminal(int terminal) : terminal_{terminal} {
        sigset_t held{};
        ::sigemptyset(&held);
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
            ::sigaddset(&held, number);
        ::pthread_sigmask(SIG_BLOCK, &held, &mask_);
        signals_ = UniqueFd{::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK)};
        if (::tcgetattr(terminal_, &before_) != 0)
            return;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK);
        silent.c_lflag |= ICANON | ISIG | ECHONL;
        silent.c_cc[VSUSP] = _POSIX_VDISABLE; // the shell would get a silent terminal
        changed_ = ::tcsetattr(terminal_, TCSAFLUSH, &silent) == 0;
    }
    SilentTerminal(const SilentTerminal&) = delete;
    SilentTerminal& operator=(const SilentTerminal&) = delete;
    ~SilentTerminal() {
        if (changed_)
            ::tcsetattr(terminal_, TCSADRAIN, &before_);
        ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    }

    [[nodiscard]] bool is_silent() const { return changed_ && signals_; }
    [[nodiscard]] int signals() const { return signals_.get(); }

private:
    int terminal_;
    termios before_{};
    sigset_t mask_{};
    UniqueFd signals_;
    bool changed_ = false;
};

Error interrupted() {
    return permanent("no password was given");
}

// Waits for input; false when one of the signals came first.
bool await_input(int input, int signals) {
    std::array<pollfd, 2> watched{pollfd{input, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
    while (true) {
        if (::poll(watched.data(), watched.size(), -1) < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        return watched[1].revents == 0;
    }
}

// One line without its end; `signals` may be -1. A last line without a newline is a line.
Result<Secret> read_line(int input, int signals) {
    std::string line;
    while (line.size() <= longest) {
        if (signals >= 0 && !await_input(input, signals))
            return interrupted();
        char c = 0;
        const ssize_t count = ::read(input, &c, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("reading the password", errno);
        if (count == 0 && line.empty())
            return interrupted();
        if (count == 0 || c == '\n') {
            if (line.ends_with('\r'))
                line.pop_back();
            return Secret{std::move(line)};
        }
        line += c;
    }
    return permanent("the password is longer than " + std::to_string(longest) + " bytes");
}

Result<Secret> ask(int input, std::ostream& errors) {
    const SilentTerminal terminal{input};
    if (!terminal.is_silent())
        return permanent("the terminal cannot be kept from showing the password",
                         "give it on standard input instead");
    errors << "Password: " << std::flush;
    auto first = read_line(input, terminal.signals());
    if (!first)
        return first;
    errors << "Once more: " << std::flush;
    auto second = read_line(input, terminal.signals());
    if (!second)
        return second;
    if (*first != *second)
        return permanent("the two passwords differ");
    return first;
}

std::size_t characters(std::string_view utf8) {
    return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    }));
}

Result<std::string> hash_of(const Result<Secret>& password, PasswordForm form) {
    if (!password)
        return password.error();
    if (password->empty())
        return permanent("the password is empty: Jupyter would be open to anybody");
    if (characters(password->reveal()) < shortest)
        return permanent("the password is shorter than " + std::to_string(shortest) +
                         " characters");
    if (form == PasswordForm::salted)
        return salted_password_hash(*password);
    return hash_password(*password);
}

Result<std::string> ask_for_hash(int input, PasswordForm form, std::ostream& errors) {
    return hash_of(::isatty(input) == 1 ? ask(input, errors) : read_line(input, -1), form);
}

// One round of it costs an attacker who got hold of the hash next to nothing.
void warn_of_salted(std::ostream& errors) {
    errors << "agent password: whoever gets hold of this hash can try out passwords quickly; take "
              "a long one.\n";
}

int refuse(const Error& error, std::ostream& errors) {
    errors << "agent password: " << error.message;
    if (!error.next.empty())
        errors << "; " << error.next;
    errors << ".\n";
    return 1;
}

bool sets_password(const ConfigSource& source) {
    const auto tree = parse_toml(source.text);
    const Value* jupyter = tree ? tree->find("jupyter") : nullptr;
    return jupyter && jupyter->find("password_hash");
}

// Whether it counts more than the drop-in that holds the password, as its name tells: the file
// comes first, then the drop-ins in the order of their names, then the metadata.
bool outranks_drop_in(const ConfigSource& source) {
    return source.name != layout::config_file &&
           source.name > std::string_view{layout::password_drop_in};
}

Result<void> require_to_count(const std::vector<ConfigSource>& sources) {
    for (const auto& source : sources)
        if (outranks_drop_in(source) && sets_password(source))
            return misconfigured(source.name +
                                     " sets jupyter.password_hash, and it counts more than what is "
                                     "set on this machine",
                                 "change it there; `agent password` prints the hash");
    return {};
}

std::string drop_in_text(const std::string& hash) {
    return "# Written by `agent password --set`.\n[jupyter]\npassword_hash = \"" + hash + "\"\n";
}

// Nothing is written that the daemon would refuse.
Result<void> require_valid(std::vector<ConfigSource> sources, const std::string& text) {
    const auto is_drop_in = [](const ConfigSource& source) {
        return source.name == layout::password_drop_in;
    };
    std::erase_if(sources, is_drop_in);
    const auto place = std::find_if(sources.begin(), sources.end(), outranks_drop_in);
    sources.insert(place, {layout::password_drop_in, text});
    const auto read = read_settings(sources);
    if (const auto* wrong = std::get_if<ConfigErrors>(&read))
        return misconfigured("the configuration has an error: " + summarise(*wrong),
                             "correct it first");
    return {};
}

Result<void> write_drop_in(const Root& root, const std::string& text) {
    if (auto made = ensure_directory(root / layout::config_directory, {.mode = 0755}); !made)
        return made;
    return durable_write(root / layout::password_drop_in, text, {.mode = 0600});
}

} // namespace

int password_command(int input, PasswordForm form, std::ostream& output, std::ostream& errors) {
    const auto hash = ask_for_hash(input, form, errors);
    if (!hash)
        return refuse(hash.error(), errors);
    if (form == PasswordForm::salted)
        warn_of_salted(errors);
    output << *hash << '\n' << std::flush;
    return 0;
}

boost::asio::awaitable<PasswordForm> password_form_here(const Root& root,
                                                        const MachineFacts* facts,
                                                        CommandRunner& commands,
                                                        Accounts& accounts) {
    // Whether it is valid does not matter here: perhaps the hash is wrong that is to be replaced.
    const auto settings = read_configuration(gather_sources(root, facts).sources).settings;
    const auto user = co_await accounts.find(settings.machine.user);
    if (user && *user && settings.python.kind != PythonKind::none) {
        const auto environment =
            co_await look_at_environment(commands, **user, settings.python.prefix);
        const auto build =
            environment
                ? jupyter_build(interface_package(settings), *environment, settings.python.prefix)
                : environment.error();
        if (build)
            co_return build->reads_argon2 ? PasswordForm::argon2 : PasswordForm::salted;
    }
    co_return asks_for_old_notebook(settings) ? PasswordForm::salted : PasswordForm::argon2;
}

int set_password_command(int input,
                         PasswordForm form,
                         const Root& root,
                         const MachineFacts* facts,
                         ControlClient& daemon,
                         std::ostream& output,
                         std::ostream& errors) {
    const auto sources = gather_sources(root, facts).sources;
    if (auto counts = require_to_count(sources); !counts)
        return refuse(counts.error(), errors);
    const auto hash = ask_for_hash(input, form, errors);
    if (!hash)
        return refuse(hash.error(), errors);
    if (form == PasswordForm::salted)
        warn_of_salted(errors);
    const std::string text = drop_in_text(*hash);
    if (auto valid = require_valid(sources, text); !valid)
        return refuse(valid.error(), errors);
    if (auto written = write_drop_in(root, text); !written)
        return refuse(written.error(), errors);

    const auto answer = daemon.ask({ControlRequest::Verb::retry, {}, {}});
    const std::string kept = std::string{"the password is kept in "} + layout::password_drop_in;
    if (!answer)
        return refuse(
            permanent(kept + ", but the agent could not be told: " + answer.error().message,
                      "it counts from the agent's next start on"),
            errors);
    if (answer->outcome != ControlAnswer::Outcome::accepted)
        return refuse(permanent(kept + ", but the agent refused: " + printable(answer->message)),
                      errors);
    output << kept << "; Jupyter takes it over now: `agent status --wait`" << std::endl;
    return 0;
}

} // namespace agent
