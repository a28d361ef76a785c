#include "agent/ports/layout.hpp"
#include "agent/settings_sources.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace agent;

namespace {

const std::string file_name = layout::config_file;

struct Machine {
    test::TempRoot temporary;
    MachineFacts facts;

    [[nodiscard]] std::filesystem::path path(const std::string& name) const {
        return temporary.root() / name;
    }
    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories(path(name).parent_path());
        for (auto above = path(name).parent_path(); above != temporary.path();
             above = above.parent_path())
            ::chmod(above.c_str(), 0755);
        std::ofstream{path(name)} << text;
        ::chmod(path(name).c_str(), 0644);
    }
    void drop_in(const std::string& name, const std::string& text) const {
        write(std::string{layout::config_directory} + "/" + name, text);
    }
    [[nodiscard]] GatheredSources gather() const {
        return gather_sources(temporary.root(), &facts);
    }
};

std::vector<std::string> names_of(const GatheredSources& gathered) {
    std::vector<std::string> names;
    for (const ConfigSource& source : gathered.sources)
        names.push_back(source.name);
    return names;
}

std::vector<std::string> told(const std::vector<Diagnostic>& diagnostics) {
    std::vector<std::string> lines;
    for (const Diagnostic& diagnostic : diagnostics)
        lines.push_back(diagnostic.code + " " + one_line(diagnostic));
    return lines;
}

using Lines = std::vector<std::string>;

} // namespace

TEST_CASE("sources: the file, drop-ins by name, the project when allowed, the instance",
          "[unit][settings]") {
    Machine machine;
    machine.write(file_name, "[metadata]\nproject_config = true\n[jupyter]\nport = 2001\n");
    machine.drop_in("20-b.toml", "[jupyter]\nport = 2003\n");
    machine.drop_in("10-a.toml", "[jupyter]\nport = 2002\n");
    machine.drop_in("30.toml.bak", "not read");
    machine.drop_in(".40.toml", "not read");
    machine.facts.project_attributes["agent-config"] = "[jupyter]\nport = 2004\n";
    machine.facts.instance_attributes["agent-config"] = "[jupyter]\nport = 2005\n";
    const auto gathered = machine.gather();
    CHECK(names_of(gathered) == Lines{file_name,
                                      "/etc/agent/agent.d/10-a.toml",
                                      "/etc/agent/agent.d/20-b.toml",
                                      project_source,
                                      instance_source});
    CHECK(gathered.notes.empty());
    auto sources = gathered.sources;
    for (int port = 2005; port > 2000; --port) {
        CHECK(read_configuration(sources).settings.jupyter.port == port);
        sources.pop_back();
    }
    CHECK(read_configuration(sources).settings.jupyter.port == 8888);
}

TEST_CASE("sources: the project's configuration is ignored and said to be, unless it is allowed",
          "[unit][settings]") {
    Machine machine;
    machine.facts.project_attributes["agent-config"] =
        "[metadata]\nproject_config = true\n[machine]\nuser = \"ada\"\n";
    const std::string allow = "[metadata]\nproject_config = true\n";

    SECTION("nobody allows it, and it cannot allow itself") {
        machine.facts.instance_attributes["agent-config"] = "schema = 1\n";
        const auto gathered = machine.gather();
        CHECK(names_of(gathered) == Lines{instance_source});
        CHECK(told(gathered.notes) ==
              Lines{"N1502 metadata:project/attributes/agent-config: the project's configuration "
                    "does not count here (project_config = true under [metadata], in "
                    "/etc/agent/agent.toml or the instance's agent-config, has it count)"});
    }
    SECTION("the file allows it") {
        machine.write(file_name, allow);
        CHECK(names_of(machine.gather()) == Lines{file_name, project_source});
    }
    SECTION("a drop-in allows it") {
        machine.drop_in("a.toml", allow);
        CHECK(names_of(machine.gather()) == Lines{"/etc/agent/agent.d/a.toml", project_source});
    }
    SECTION("the instance allows it") {
        machine.facts.instance_attributes["agent-config"] = allow;
        const auto gathered = machine.gather();
        CHECK(names_of(gathered) == Lines{project_source, instance_source});
        const auto read = read_configuration(gathered.sources);
        CHECK(read.settings.machine.user == "ada");
        REQUIRE(read.diagnostics.size() == 2);
        CHECK(read.diagnostics.front().code == "W1402");
        CHECK(read.is_valid());
    }
    SECTION("the instance takes back what the file allows") {
        machine.write(file_name, allow);
        machine.facts.instance_attributes["agent-config"] = "[metadata]\nproject_config = false\n";
        const auto gathered = machine.gather();
        CHECK(names_of(gathered) == Lines{file_name, instance_source});
        CHECK(gathered.notes.size() == 1);
    }
    SECTION("whoever allows it is wrong about it") {
        machine.write(file_name, "[metadata]\nproject_config = \"true\"\n");
        CHECK(names_of(machine.gather()) == Lines{file_name});
    }
    SECTION("nobody could be asked") {
        machine.write(file_name, allow);
        CHECK(names_of(gather_sources(machine.temporary.root(), nullptr)) == Lines{file_name});
    }
}

TEST_CASE("sources: a project that allows itself leaves the merged configuration as it is",
          "[unit][settings]") {
    const std::vector<ConfigSource> sources{
        {file_name, "schema = 1\n[metadata]\nproject_config = true\n"},
        {project_source, "[metadata]\nproject_config = false\n"}};
    const auto read = read_configuration(sources);
    CHECK(read.settings.metadata.project_config);
    for (const MergedTable& table : read.merged)
        if (table.name == "metadata")
            CHECK(table.keys.front().place->source == file_name);
}

TEST_CASE("sources: a key of the metadata that was meant for us is pointed out",
          "[unit][settings]") {
    Machine machine;
    const auto& [name, hint] = GENERATE(table<std::string, std::string>({
        {"agent_config", "did you mean `agent-config`?"},
        {"Agent-Config", "did you mean `agent-config`?"},
        {"AGENT_CONFIG", "did you mean `agent-config`?"},
        {"agentconfig", "did you mean `agent-config`?"},
        {"agent-confg", "did you mean `agent-config`?"},
        {"agent-config-url", "give its text itself: --metadata-from-file=agent-config=agent.toml"},
        {"agent_config_file", "give its text itself: --metadata-from-file=agent-config=agent.toml"},
    }));
    CAPTURE(name);
    machine.facts.instance_attributes = {{name, "schema = 1"}, {"startup-script", "agent"}};
    machine.facts.project_attributes = {{name, "schema = 1"}, {"ssh-keys", "agent:ssh-rsa"}};
    const auto gathered = machine.gather();
    CHECK(gathered.sources.empty());
    REQUIRE(gathered.notes.size() == 2);
    CHECK(gathered.notes[0].source == "metadata:instance/attributes/" + name);
    CHECK(gathered.notes[1].source == "metadata:project/attributes/" + name);
    for (const Diagnostic& note : gathered.notes) {
        CHECK(note.severity == Severity::note);
        CHECK(note.hint == hint);
    }
}

TEST_CASE("sources: every source that cannot be loaded is told beside the others' errors",
          "[unit][settings]") {
    Machine machine;
    machine.write(file_name, "[jupyter]\nport = 1\n");
    ::chmod(machine.path(file_name).c_str(), 0666);
    machine.drop_in("10.toml", "[jupyter]\nprot = 1\nport = 2\n");
    std::filesystem::create_directory(machine.path("/etc/agent/agent.d/20.toml"));
    ::mkfifo(machine.path("/etc/agent/agent.d/30.toml").c_str(), 0644);
    std::filesystem::create_symlink("40.toml", machine.path("/etc/agent/agent.d/40.toml"));
    std::filesystem::create_symlink("/dev/null", machine.path("/etc/agent/agent.d/45.toml"));
    machine.drop_in("50.toml", "# " + std::string(300'000, 'x'));
    machine.drop_in("60.toml", "schema = 1\n");
    machine.facts.instance_attributes["agent-config"] = "[machine]\nuser = \"root\"\n";
    const auto read = read_configuration(machine.gather().sources);
    std::vector<std::string> found;
    for (const Diagnostic& diagnostic : read.diagnostics)
        found.push_back(diagnostic.code + " " + diagnostic.source + ":" +
                        std::to_string(diagnostic.position.line));
    CHECK(found == Lines{"E1008 /etc/agent/agent.toml:0",
                         "E1204 /etc/agent/agent.d/10.toml:2",
                         "E1205 /etc/agent/agent.d/10.toml:3",
                         "E1007 /etc/agent/agent.d/20.toml:0",
                         "E1007 /etc/agent/agent.d/30.toml:0",
                         "E1007 /etc/agent/agent.d/40.toml:0",
                         "E1007 /etc/agent/agent.d/45.toml:0",
                         "E1002 /etc/agent/agent.d/50.toml:0",
                         "E1301 metadata:instance/attributes/agent-config:2"});
}

TEST_CASE("sources: drop-ins lie in a directory that only root may write", "[unit][settings]") {
    Machine machine;
    machine.drop_in("10.toml", "schema = 1\n");
    const auto directory = machine.path(layout::config_directory);
    const auto refusal = [&] {
        const auto gathered = machine.gather();
        REQUIRE(gathered.sources.size() == 1);
        REQUIRE(gathered.sources.front().refusal);
        return one_line(*gathered.sources.front().refusal);
    };
    SECTION("others may write it") {
        ::chmod(directory.c_str(), 0777);
        CHECK(refusal() == "/etc/agent/agent.d: others than root may write it (chmod go-w "
                           "/etc/agent/agent.d)");
    }
    SECTION("it is a file") {
        std::filesystem::remove_all(directory);
        machine.write(layout::config_directory, "schema = 1\n");
        CHECK(refusal() == "/etc/agent/agent.d: it is no directory (drop-ins go into one)");
    }
    SECTION("it holds more than anybody writes") {
        for (int i = 0; i < 101; ++i)
            machine.drop_in("a" + std::to_string(i) + ".toml", "schema = 1\n");
        CHECK(refusal() == "/etc/agent/agent.d: it holds 102 drop-ins; at most 100 are read");
    }
}

TEST_CASE("sources: a machine without any is no error of its own", "[unit][settings]") {
    const Machine machine;
    CHECK(machine.gather().sources.empty());
    CHECK(machine.gather().notes.empty());
}

TEST_CASE("sources: a configuration file is a regular file that only root may write",
          "[unit][settings]") {
    const Machine machine;
    machine.write(file_name, "schema = 1\n");
    const auto path = machine.path(file_name);
    const auto refusal = [&](const std::filesystem::path& which, Trust trust) {
        const auto source = load_config_file(which, file_name, trust);
        REQUIRE(source.refusal);
        CHECK(source.name == file_name);
        CHECK(source.text.empty());
        CHECK(source.refusal->source == file_name);
        CHECK(source.refusal->position == Position{});
        return source.refusal->code + " " + source.refusal->message;
    };
    const auto is_loaded = [&](const std::filesystem::path& which, Trust trust) {
        const auto source = load_config_file(which, file_name, trust);
        return !source.refusal && source.text == "schema = 1\n";
    };
    CHECK(is_loaded(path, Trust::machine_file));

    SECTION("others may write it") {
        ::chmod(path.c_str(), 0664);
        CHECK(refusal(path, Trust::machine_file) == "E1008 others than root may write it");
        CHECK(is_loaded(path, Trust::any_file));
    }
    SECTION("it belongs to somebody else") {
        if (::geteuid() != 0)
            SKIP("only root can give a file away");
        REQUIRE(::chown(path.c_str(), 12345, 0) == 0);
        CHECK(refusal(path, Trust::machine_file) == "E1008 it belongs to user 12345, not to root");
        CHECK(is_loaded(path, Trust::any_file));
    }
    SECTION("it is a symbolic link") {
        const auto link = machine.path("/link.toml");
        std::filesystem::create_symlink(path, link);
        CHECK(refusal(link, Trust::machine_file) == "E1007 it is a symbolic link, not a file");
        CHECK(is_loaded(link, Trust::any_file));
    }
    SECTION("it is a directory") {
        CHECK(refusal(machine.temporary.path(), Trust::any_file) ==
              "E1007 it is a directory, not a regular file");
    }
    SECTION("it is a FIFO, which must not block") {
        const auto fifo = machine.path("/fifo");
        REQUIRE(::mkfifo(fifo.c_str(), 0644) == 0);
        CHECK(refusal(fifo, Trust::any_file) == "E1007 it is a FIFO, not a regular file");
    }
    SECTION("it is a device") {
        CHECK(refusal("/dev/zero", Trust::any_file) == "E1007 it is a device, not a regular file");
    }
    SECTION("it is a socket") {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string name = machine.path("/s").string();
        REQUIRE(name.size() < sizeof(address.sun_path));
        name.copy(address.sun_path, name.size());
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
        CHECK(refusal(name, Trust::any_file) == "E1007 it is no regular file");
        ::close(fd);
    }
    SECTION("it is a loop of links") {
        const auto loop = machine.path("/loop");
        std::filesystem::create_symlink(loop, loop);
        CHECK(refusal(loop, Trust::any_file) == "E1007 its symbolic links form a loop");
    }
    SECTION("it is too large") {
        std::ofstream{path} << std::string(262'145, '#');
        CHECK(refusal(path, Trust::any_file) ==
              "E1002 it has more than 262144 bytes, and no more are read");
    }
    SECTION("there is none") {
        CHECK(refusal(machine.path("/none"), Trust::any_file) ==
              "E1006 it cannot be read: No such file or directory");
    }
}
