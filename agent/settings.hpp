// Owns the configuration: sources → one validated Settings, and the diagnostics when they are
// wrong. The only place with defaults. Precedence: defaults < first source < … < last source, key
// by key.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace agent {

enum class PythonKind { venv, none };
enum class JupyterInterface { lab, notebook };

struct Settings {
    struct Machine {
        std::string user = "jupyter"; // made when there is none; Jupyter runs as this user
    } machine;
    struct Metadata {
        bool project_config = false; // whether agent-config of the project's metadata counts
    } metadata;
    struct Network {
        std::string proxy;                 // "http://host:port"; empty: none
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
    struct Python {
        PythonKind kind = PythonKind::venv;
        std::filesystem::path prefix = "/opt/jupyter";
        std::vector<std::string>
            packages;          // PEP 508 names with extras and versions; no options, no URLs
        std::string index_url; // empty: as pip is configured on the machine
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
    struct Report {
        bool guest_attributes = true;
    } report;

    std::string sha256; // of the sources' names and texts, in order
};

struct ConfigSource {
    std::string name; // "/etc/agent/agent.toml", "metadata:instance/attributes/agent-config"
    std::string text;
};

struct Diagnostic {
    std::string source;    // ConfigSource::name
    Position position;     // where the caret stands; {0,0}: the source as a whole
    std::size_t width = 1; // characters under the caret
    std::string code;      // "E1204": stable
    std::string key;       // dotted path, may be empty
    std::string message;   // found and expected, never a secret value
    std::string label;     // short, beside the caret
    std::string hint;      // what to write instead; may be empty
};

struct ConfigErrors {
    std::vector<Diagnostic> diagnostics; // sorted by source order, then position; never empty
};

// Reads no file and asks nobody: pure.
[[nodiscard]] std::variant<Settings, ConfigErrors>
read_settings(std::span<const ConfigSource> sources);

enum class Colours { off, on };
// Compiler form: `error[CODE]: …`, `--> source:line:col`, the source line with a caret (a line that
// holds a secret key is shown with its value masked), hint. Ends in a newline.
[[nodiscard]] std::string
render(const Diagnostic& diagnostic, std::span<const ConfigSource> sources, Colours colours);

// One sentence for status and the journal: the first error at source:line:col, and how many more.
[[nodiscard]] std::string summarise(const ConfigErrors& errors);

// Refuses what is no private regular file: a directory, a FIFO, larger than 256 KiB; for the
// machine's own files (not for `agent check`) also what others than root may write.
enum class Trust { machine_file, any_file };
[[nodiscard]] Result<ConfigSource>
load_config_file(const std::filesystem::path& path, std::string shown_name, Trust trust);

} // namespace agent
