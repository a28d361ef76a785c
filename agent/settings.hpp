// Owns the configuration: sources → one validated Settings, and the diagnostics when they are
// wrong. The only place with defaults. Precedence: defaults < first source < … < last source, key
// by key.
#pragma once

#include "agent/base/document.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace agent {

enum class PythonKind { anaconda, miniforge, venv, none };
[[nodiscard]] constexpr std::string_view name_of(PythonKind kind) {
    switch (kind) {
    case PythonKind::anaconda:
        return "anaconda";
    case PythonKind::miniforge:
        return "miniforge";
    case PythonKind::venv:
        return "venv";
    case PythonKind::none:
        break;
    }
    return "none";
}
// Whether conda makes the environment and belongs to it.
[[nodiscard]] constexpr bool has_conda(PythonKind kind) {
    return kind == PythonKind::anaconda || kind == PythonKind::miniforge;
}
enum class JupyterInterface { lab, notebook };
enum class OnFailure { keep, stop };

struct Settings {
    struct Machine {
        std::string user = "jupyter"; // made when there is none; Jupyter runs as this user
    } machine;
    struct Metadata {
        bool project_config = false; // whether agent-config of the project's metadata counts
    } metadata;
    struct Network {
        std::string proxy;                 // "http://host:port" or https://; empty: none
        std::vector<std::string> no_proxy; // names, addresses, domains beside this machine's own
        std::filesystem::path ca_certificates; // a PEM bundle; empty: the system's
    } network; // for every child that fetches; never for the metadata client
    struct AptRepository {
        std::string name; // of its file in sources.list.d
        std::string url;
        std::string suite; // `{codename}` stands for this release's
        std::vector<std::string> components;
        std::string key;               // the signing key, ASCII-armoured; or
        std::filesystem::path keyring; // a keyring that is on the machine
    };
    struct Apt {
        std::vector<std::string> packages;
        std::vector<AptRepository> repositories;
    } apt;
    struct PythonIndex { // for the packages that it names, and for no others
        std::string name;
        std::string url;
        std::vector<std::string> packages; // names alone
    };
    struct PythonEnvironment { // beside the one that Jupyter itself runs in
        std::string name;      // of its directory and of its kernel
        std::string version = {};
        std::vector<std::string> packages = {};
        std::filesystem::path requirements = {}; // these two as in Python
        std::filesystem::path constraints = {};
        std::vector<std::string> conda_packages = {}; // these three as in Python, for conda alone
        std::vector<std::string> channels = {};       // empty: those of Python
        std::filesystem::path environment_file = {};
    };
    struct Python {
        PythonKind kind = PythonKind::venv;
        std::string installer;     // a kind with conda has one: its own, or the catalogue's
        std::string sha256;        // of the installer; lower case
        bool accept_terms = false; // of Anaconda's
        std::filesystem::path prefix = "/opt/jupyter"; // or the kind's own
        std::vector<std::string> conda_packages;       // conda's specs without blanks: "numpy=1.26"
        std::vector<std::string> channels;             // empty: as conda is configured
        std::filesystem::path environment_file;        // an environment.yml; empty: none. Or gs://…
        std::vector<std::string>
            packages; // PEP 508 names with extras, versions and markers; no options, no URLs
        std::string index_url;              // empty: as pip is configured on the machine
        std::string version;                // "3.12"; empty: what the system has
        std::filesystem::path requirements; // a file on the machine, or gs://BUCKET/OBJECT
        std::filesystem::path constraints;
        std::vector<PythonIndex> indexes;
        std::vector<PythonEnvironment> environments;
    } python;
    struct Jupyter {
        JupyterInterface interface = JupyterInterface::lab;
        std::filesystem::path
            directory; // absolute, or relative to the user's home; empty: the home
        std::uint16_t port = 8888;
        std::string password_hash; // empty: the front listens on 127.0.0.1 only
        bool allow_sudo = false;   // whether a sudoer stays one in a notebook
    } jupyter;
    struct Tls {
        std::vector<std::string>
            names; // DNS names or addresses beside those that the VM knows of itself
    } tls;
    struct Limits {
        std::chrono::seconds setup{std::chrono::minutes{60}};
        std::chrono::seconds person{std::chrono::hours{24}}; // a step's wait; stops setup's clock
        OnFailure on_failure = OnFailure::keep;
        std::chrono::seconds grace{std::chrono::minutes{10}}; // before on_failure stops the machine
        std::optional<std::chrono::seconds> lifetime = {};    // of a boot
    } limits;
    struct Report {
        bool guest_attributes = true;
    } report;

    std::string sha256; // of the sources' names and texts, in order
};

// Whether what is asked for can only come to a notebook before 6.1, which reads no argon2; what
// says so, in words: "`notebook==6.0.3`". nullopt: no, or only the environment can tell.
[[nodiscard]] std::optional<std::string> asks_for_old_notebook(const Settings& settings);

enum class Severity {
    error,   // the configuration is refused
    warning, // it is taken, and opens or loses something that its author should know of
    note,    // it is taken
};
[[nodiscard]] std::string_view name_of(Severity severity);

struct Diagnostic {
    std::string source;    // ConfigSource::name
    Position position;     // where the caret stands; {0,0}: the source as a whole
    std::size_t width = 1; // characters under the caret
    std::string code;      // "E1204", "W1401", "N1501": stable
    std::string key;       // dotted path, may be empty
    std::string message;   // found and expected, never a secret value
    std::string label;     // short, beside the caret
    std::string hint;      // what to write instead; may be empty
    Severity severity = Severity::error;
};

// What the metadata server gives for one value.
inline constexpr std::size_t config_size_limit = std::size_t{256} * 1024;

struct ConfigSource {
    std::string name; // "/etc/agent/agent.toml", "metadata:instance/attributes/agent-config"
    std::string text;
    std::optional<Diagnostic> refusal = {}; // why it could not be loaded; then there is no text
};

// What the instance and its project say in their metadata; names of sources.
inline constexpr const char* instance_source = "metadata:instance/attributes/agent-config";
inline constexpr const char* project_source = "metadata:project/attributes/agent-config";

// One value of the merged configuration. Secrets are masked.
struct MergedKey {
    struct Place {
        std::string source;
        Position position; // of the key
    };
    struct Overruled {
        Value value; // of an array of tables: how many there were
        Place place;
    };
    std::string name;
    Value value = {};                      // null: not set, and there is no default
    std::optional<Place> place = {};       // nullopt: the default
    std::vector<Overruled> overruled = {}; // what earlier sources said, the latest first
};
struct MergedTable {
    std::string name;                           // "apt", "apt.repository"; "": outside a table
    std::optional<std::size_t> index = {};      // of an element of an array of tables
    std::optional<MergedKey::Place> place = {}; // of the element's header
    std::vector<MergedKey::Overruled> overruled = {}; // beside an array's first element
    std::vector<MergedKey> keys = {}; // an array of tables without elements is a key of its parent
};

struct Configuration {
    Settings settings; // what could be read of it; fit for use only when it is valid
    std::vector<Diagnostic> diagnostics; // sorted by source order, then position
    std::vector<MergedTable> merged;     // every table and key there is, in the schema's order
    [[nodiscard]] bool is_valid() const;
};

// Reads no file and asks nobody: pure.
[[nodiscard]] Configuration read_configuration(std::span<const ConfigSource> sources);

struct ConfigErrors {
    std::vector<Diagnostic> diagnostics; // of severity error; never empty
};
// For those who only go on when it is valid.
[[nodiscard]] std::variant<Settings, ConfigErrors> accept(Configuration read);
// Both at once.
[[nodiscard]] std::variant<Settings, ConfigErrors>
read_settings(std::span<const ConfigSource> sources);

enum class Colours { off, on };
// Compiler form: `error[CODE]: …`, `--> source:line:col`, the source line with a caret (a line that
// holds a secret key is shown with its value masked), hint. Ends in a newline.
[[nodiscard]] std::string
render(const Diagnostic& diagnostic, std::span<const ConfigSource> sources, Colours colours);

// For machines: severity, code, source, line, column, width, key, message, label, hint. Lines and
// columns are 0 for a source as a whole.
[[nodiscard]] Value to_value(const Diagnostic& diagnostic);

// For the journal: source:line:col: message (hint).
[[nodiscard]] std::string one_line(const Diagnostic& diagnostic);

// One sentence for status and the journal: the first error at source:line:col, and how many more.
[[nodiscard]] std::string summarise(const ConfigErrors& errors);

} // namespace agent
