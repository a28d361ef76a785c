#include "agent/base/files.hpp"
#include "agent/base/unique_fd.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

constexpr uid_t nobody = 65534;

struct stat status_of(const fs::path& path) {
    struct stat status{};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status;
}

mode_t mode_of(const fs::path& path) {
    return status_of(path).st_mode & 07777U;
}

std::string content_of(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void put(const fs::path& path, const std::string& content) {
    std::ofstream file{path, std::ios::binary};
    file << content;
}

std::set<std::string> names_in(const fs::path& directory) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator{directory})
        names.insert(entry.path().filename().string());
    return names;
}

bool differs(const struct stat& a, const struct stat& b) {
    return a.st_ino != b.st_ino || a.st_mtim.tv_sec != b.st_mtim.tv_sec ||
           a.st_mtim.tv_nsec != b.st_mtim.tv_nsec || a.st_ctim.tv_sec != b.st_ctim.tv_sec ||
           a.st_ctim.tv_nsec != b.st_ctim.tv_nsec;
}

// What `work` says in a child process that may be changed for good: its user, its limits.
template <class Work> bool holds_in_child(Work work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0)
        ::_exit(work() ? 0 : 1);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

TEST_CASE("root: every path of the machine lies under it", "[unit][base]") {
    const Root root{"/tmp/somewhere"};
    CHECK(root / "/etc/agent" == "/tmp/somewhere/etc/agent");
    CHECK(root / "etc/agent" == "/tmp/somewhere/etc/agent");
    CHECK(root / "///etc" == "/tmp/somewhere/etc");
    CHECK(Root{} / "/etc/agent" == "/etc/agent");
}

TEST_CASE("durable_write: the file has its content and mode, and nothing else is left",
          "[unit][base]") {
    const TempRoot root;
    const mode_t mode = GENERATE(0600U, 0640U, 0644U, 0755U);
    const auto durability = GENERATE(Durability::durable, Durability::ephemeral);
    const auto file = root.path() / "file";
    put(file, "old");
    REQUIRE(durable_write(file, "new\n", {.mode = mode}, durability).has_value());
    CHECK(content_of(file) == "new\n");
    CHECK(mode_of(file) == mode);
    CHECK(names_in(root.path()) == std::set<std::string>{"file"});
}

TEST_CASE("durable_write: the umask takes nothing from the mode", "[unit][base]") {
    const TempRoot root;
    const mode_t before = ::umask(0777);
    const auto written = durable_write(root.path() / "file", "x", {.mode = 0644});
    ::umask(before);
    REQUIRE(written.has_value());
    CHECK(mode_of(root.path() / "file") == 0644U);
}

TEST_CASE("durable_write: until it is whole, only the writer can open it", "[unit][base]") {
    // A full pipe's worth of disk: the write fails half-way, and a hard stop there would leave
    // the temporary file as it is.
    const TempRoot root;
    const auto seen = root.path() / "seen";
    fs::create_directory(seen);
    CHECK(holds_in_child([&] {
        std::signal(SIGXFSZ, SIG_DFL); // dies in the middle of the write
        const struct rlimit limit{4096, 4096};
        const struct rlimit no_core{0, 0};
        ::umask(0);
        if (::setrlimit(RLIMIT_CORE, &no_core) != 0)
            return false;
        const pid_t writer = ::fork();
        if (writer == 0) {
            ::setrlimit(RLIMIT_FSIZE, &limit);
            [[maybe_unused]] const auto never =
                durable_write(seen / "secret", std::string(100'000, 's'), {.mode = 0644});
            ::_exit(0);
        }
        int status = 0;
        return ::waitpid(writer, &status, 0) == writer && WIFSIGNALED(status) &&
               WTERMSIG(status) == SIGXFSZ;
    }));
    const auto names = names_in(seen);
    REQUIRE(names.size() == 1);
    CHECK(*names.begin() != "secret");
    CHECK(mode_of(seen / *names.begin()) == 0600U);
}

TEST_CASE("durable_write: a write cut short leaves the old file and no other", "[unit][base]") {
    const TempRoot root;
    const auto file = root.path() / "file";
    put(file, "old");
    const struct stat before = status_of(file);
    CHECK(holds_in_child([&] {
        std::signal(SIGXFSZ, SIG_IGN);
        const struct rlimit limit{4096, 4096};
        return ::setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
               durable_write(file, std::string(100'000, 'x')).has_error();
    }));
    CHECK(content_of(file) == "old");
    CHECK_FALSE(differs(before, status_of(file)));
    CHECK(names_in(root.path()) == std::set<std::string>{"file"});
}

TEST_CASE("durable_write: what a killed writer left is gone after the first write",
          "[unit][base]") {
    const TempRoot root;
    put(root.path() / ".key.a1B2c3.agent-tmp", "half a k");
    put(root.path() / ".other.json.XXXXXX.agent-tmp", "");
    put(root.path() / ".rsync.a1B2c3", "of another program");
    put(root.path() / "key.a1B2c3.agent-tmp", "of a person");
    put(root.path() / ".jupyter.agent-python", "a mark of ours");
    REQUIRE(durable_write(root.path() / "key", "whole").has_value());
    CHECK(names_in(root.path()) ==
          std::set<std::string>{
              ".jupyter.agent-python", ".rsync.a1B2c3", "key", "key.a1B2c3.agent-tmp"});
}

TEST_CASE("durable_write: what somebody is writing now stays his", "[unit][base]") {
    const TempRoot root;
    const fs::path theirs = root.path() / ".key.a1B2c3.agent-tmp";
    put(theirs, "half a k");
    const UniqueFd writer{::open(theirs.c_str(), O_WRONLY | O_CLOEXEC)};
    REQUIRE(::flock(writer.get(), LOCK_EX) == 0);
    REQUIRE(durable_write(root.path() / "key", "whole").has_value());
    CHECK(content_of(theirs) == "half a k");
}

TEST_CASE("durable_write: an owner is given only when one is asked for", "[unit][base]") {
    if (::geteuid() != 0)
        SKIP("only root may give files away");
    const TempRoot root;
    const auto file = root.path() / "file";
    REQUIRE(durable_write(file, "x", {.mode = 0600, .owner = nobody, .group = nobody}).has_value());
    CHECK(status_of(file).st_uid == nobody);
    CHECK(status_of(file).st_gid == nobody);
    REQUIRE(durable_write(file, "y", {.mode = 0600, .group = nobody}).has_value());
    CHECK(status_of(file).st_uid == 0);
    CHECK(status_of(file).st_gid == nobody);
    REQUIRE(durable_write(file, "z").has_value());
    CHECK(status_of(file).st_gid == 0);
}

TEST_CASE("durable_write: an owner that cannot be given leaves the old file and no other",
          "[unit][base]") {
    if (::geteuid() != 0)
        SKIP("only root can become somebody who may not give files away");
    const TempRoot root;
    const auto directory = root.path() / "of nobody";
    fs::create_directory(directory);
    REQUIRE(::chown(directory.c_str(), nobody, nobody) == 0);
    REQUIRE(::chmod(root.path().c_str(), 0755) == 0);
    put(directory / "file", "old");
    CHECK(holds_in_child([&] {
        return ::setuid(nobody) == 0 &&
               durable_write(directory / "file", "new", {.mode = 0644, .owner = 0}).has_error();
    }));
    CHECK(content_of(directory / "file") == "old");
    CHECK(names_in(directory) == std::set<std::string>{"file"});
}

TEST_CASE("durable_write: a directory that may not be written leaves the old file and no other",
          "[unit][base]") {
    if (::geteuid() != 0)
        SKIP("only root can become somebody who may not write here");
    const TempRoot root;
    REQUIRE(::chmod(root.path().c_str(), 0755) == 0);
    const auto file = root.path() / "file";
    put(file, "old");
    CHECK(holds_in_child([&] {
        if (::setuid(nobody) != 0)
            return false;
        const auto written = durable_write(file, "new");
        return written.has_error() &&
               written.error().message.find("Permission denied") != std::string::npos;
    }));
    CHECK(content_of(file) == "old");
    CHECK(names_in(root.path()) == std::set<std::string>{"file"});
}

TEST_CASE("durable_write: where a directory is, no file goes, and the temporary one is gone",
          "[unit][base]") {
    const TempRoot root;
    fs::create_directories(root.path() / "taken/inside");
    const auto written = durable_write(root.path() / "taken", "x");
    REQUIRE(written.has_error());
    CHECK_THAT(written.error().message, ContainsSubstring("renaming into place"));
    CHECK(names_in(root.path()) == std::set<std::string>{"taken"});
}

TEST_CASE("durable_write: without a directory there is an Error", "[unit][base]") {
    const TempRoot root;
    CHECK(durable_write(root.path() / "none/file", "x").has_error());
}

TEST_CASE("durable_write: a symbolic link is replaced, not followed", "[unit][base]") {
    const TempRoot root;
    put(root.path() / "victim", "untouched");
    fs::create_symlink(root.path() / "victim", root.path() / "file");
    REQUIRE(durable_write(root.path() / "file", "new").has_value());
    CHECK(content_of(root.path() / "victim") == "untouched");
    CHECK(S_ISREG(status_of(root.path() / "file").st_mode));
    CHECK(content_of(root.path() / "file") == "new");
}

TEST_CASE("read_file: what is not there is nothing, not an Error", "[unit][base]") {
    const TempRoot root;
    put(root.path() / "file", "x");
    CHECK(read_file(root.path() / "none").value() == std::nullopt);
    CHECK(read_file(root.path() / "file/below").value() == std::nullopt);
}

TEST_CASE("read_file: every byte comes back", "[unit][base]") {
    const TempRoot root;
    std::string content(40'000, 'a');
    content[17] = '\0';
    content[39'999] = '\n';
    put(root.path() / "file", content);
    CHECK(read_file(root.path() / "file").value() == content);
    put(root.path() / "empty", "");
    CHECK(read_file(root.path() / "empty").value() == std::string{});
}

TEST_CASE("read_file: the limit is the last size that is read", "[unit][base]") {
    const TempRoot root;
    put(root.path() / "file", std::string(1000, 'x'));
    CHECK(read_file(root.path() / "file", 1000).value()->size() == 1000);
    const auto refused = read_file(root.path() / "file", 999);
    REQUIRE(refused.has_error());
    CHECK_THAT(refused.error().message, ContainsSubstring("larger than 999 bytes"));
}

TEST_CASE("read_file: only a regular file is read, and nothing blocks", "[unit][base]") {
    const TempRoot root;
    const auto path = root.path() / "odd";
    SECTION("a FIFO that nobody writes") {
        REQUIRE(::mkfifo(path.c_str(), 0644) == 0);
    }
    SECTION("a directory") {
        fs::create_directory(path);
    }
    SECTION("a symbolic link to a file") {
        put(root.path() / "real", "x");
        fs::create_symlink(root.path() / "real", path);
    }
    SECTION("a symbolic link to itself") {
        fs::create_symlink(path, path);
    }
    const auto read = read_file(path);
    REQUIRE(read.has_error());
    CHECK(read.error().kind == ErrorKind::permanent);
    CHECK(file_is(path, "x", {.mode = 0644}) == false);
}

TEST_CASE("read_file: what others own or may write is refused where only ourselves are believed",
          "[unit][base]") {
    const TempRoot root;
    const fs::path file = root.path() / "file";
    put(file, "text");
    CHECK(read_file(file, 100, Writers::ourselves).value() == "text");
    REQUIRE(::chmod(file.c_str(), 0664) == 0);
    CHECK_THAT(read_file(file, 100, Writers::ourselves).error().message,
               ContainsSubstring("others than its owner may write it"));
    CHECK(read_file(file, 100).value() == "text");
    REQUIRE(::chmod(file.c_str(), 0600) == 0);
    if (::geteuid() != 0)
        return; // only root gives files away
    REQUIRE(::chown(file.c_str(), nobody, nobody) == 0);
    CHECK_THAT(read_file(file, 100, Writers::ourselves).error().message,
               ContainsSubstring("belongs to the user with the number 65534"));
}

TEST_CASE("read_file: what root alone may write is believed by everybody", "[unit][base]") {
    if (::geteuid() != 0)
        return; // only root can become another
    const TempRoot root;
    REQUIRE(::chmod(root.path().c_str(), 0755) == 0);
    const fs::path file = root.path() / "file";
    put(file, "text");
    REQUIRE(::chmod(file.c_str(), 0644) == 0);
    REQUIRE(::seteuid(nobody) == 0);
    const auto read = read_file(file, 100, Writers::ourselves);
    REQUIRE(::seteuid(0) == 0);
    CHECK(read.value() == "text");
}

TEST_CASE("read_file: a device is refused unread", "[unit][base]") {
    CHECK_THAT(read_file("/dev/zero").error().message, ContainsSubstring("not a regular file"));
}

TEST_CASE("ensure_directory: parents are made for everybody, the last one as asked",
          "[unit][base]") {
    const TempRoot root;
    const mode_t before = ::umask(077);
    const auto made = ensure_directory(root.path() / "a/b/c", {.mode = 0750});
    ::umask(before);
    REQUIRE(made.has_value());
    CHECK(mode_of(root.path() / "a") == 0755U);
    CHECK(mode_of(root.path() / "a/b") == 0755U);
    CHECK(mode_of(root.path() / "a/b/c") == 0750U);
}

TEST_CASE("ensure_directory: one that is right is not touched, one that is wrong is set right",
          "[unit][base]") {
    const TempRoot root;
    const auto directory = root.path() / "d";
    REQUIRE(ensure_directory(directory, {.mode = 0700}).has_value());
    const struct stat before = status_of(directory);
    REQUIRE(ensure_directory(directory, {.mode = 0700}).has_value());
    CHECK_FALSE(differs(before, status_of(directory)));
    REQUIRE(ensure_directory(directory, {.mode = 0755}).has_value());
    CHECK(mode_of(directory) == 0755U);
    if (::geteuid() == 0) {
        REQUIRE(ensure_directory(directory, {.mode = 0755, .owner = nobody, .group = nobody})
                    .has_value());
        CHECK(status_of(directory).st_uid == nobody);
        CHECK(status_of(directory).st_gid == nobody);
    }
}

TEST_CASE("ensure_directory: what is no directory is left alone and told", "[unit][base]") {
    const TempRoot root;
    const auto path = root.path() / "taken";
    fs::create_directory(root.path() / "real");
    SECTION("a file") {
        put(path, "x");
    }
    SECTION("a link to a directory") {
        fs::create_directory_symlink(root.path() / "real", path);
    }
    SECTION("a link to nothing") {
        fs::create_symlink(root.path() / "nothing", path);
    }
    const struct stat before = status_of(path);
    const mode_t real = mode_of(root.path() / "real");
    const auto made = ensure_directory(path, {.mode = 0711});
    REQUIRE(made.has_error());
    CHECK_FALSE(made.error().next.empty());
    CHECK_FALSE(differs(before, status_of(path)));
    CHECK(mode_of(root.path() / "real") == real);
    CHECK_FALSE(fs::exists(root.path() / "nothing"));
}

TEST_CASE("file_is: content, mode and kind must all be right", "[unit][base]") {
    const TempRoot root;
    const auto file = root.path() / "file";
    REQUIRE(durable_write(file, "x", {.mode = 0640}).has_value());
    CHECK(file_is(file, "x", {.mode = 0640}));
    CHECK(file_is(file, "x", {.mode = 0640, .owner = ::geteuid(), .group = ::getegid()}));
    CHECK_FALSE(file_is(file, "y", {.mode = 0640}));
    CHECK_FALSE(file_is(file, "x", {.mode = 0600}));
    CHECK_FALSE(file_is(file, "x", {.mode = 0640, .owner = ::geteuid() + 1}));
    CHECK_FALSE(file_is(file, "x", {.mode = 0640, .group = ::getegid() + 1}));
    CHECK_FALSE(file_is(root.path() / "none", "", {.mode = 0640}));
    fs::create_symlink(file, root.path() / "link");
    CHECK_FALSE(file_is(root.path() / "link", "x", {.mode = 0640}));
}

TEST_CASE("copy_untrusted: the copy is ours alone, whatever was there before", "[unit][base]") {
    const TempRoot root;
    const std::string content(300'000, 'w');
    put(root.path() / "from", content);
    REQUIRE(::chmod((root.path() / "from").c_str(), 0666) == 0);
    put(root.path() / "victim", "untouched");
    fs::create_symlink(root.path() / "victim", root.path() / "to");
    REQUIRE(copy_untrusted(root.path() / "from", root.path() / "to", content.size()).has_value());
    CHECK(content_of(root.path() / "to") == content);
    CHECK(mode_of(root.path() / "to") == 0600U);
    CHECK(status_of(root.path() / "to").st_uid == ::geteuid());
    CHECK(content_of(root.path() / "victim") == "untouched");
}

TEST_CASE("copy_untrusted: what is too large or no file is refused, and nothing is left of it",
          "[unit][base]") {
    const TempRoot root;
    const auto from = root.path() / "from";
    SECTION("a byte too many") {
        put(from, std::string(1001, 'x'));
    }
    SECTION("a link") {
        put(root.path() / "real", "x");
        fs::create_symlink(root.path() / "real", from);
    }
    SECTION("a FIFO that nobody writes") {
        REQUIRE(::mkfifo(from.c_str(), 0644) == 0);
    }
    SECTION("a directory") {
        fs::create_directory(from);
    }
    SECTION("nothing") {}
    CHECK(copy_untrusted(from, root.path() / "to", 1000).has_error());
    CHECK_FALSE(fs::exists(fs::symlink_status(root.path() / "to")));
}

TEST_CASE("sync_file: a regular file can be synced, a link is not followed", "[unit][base]") {
    const TempRoot root;
    put(root.path() / "file", "x");
    fs::create_symlink(root.path() / "file", root.path() / "link");
    CHECK(sync_file(root.path() / "file").has_value());
    CHECK(sync_file(root.path() / "link").has_error());
    CHECK(sync_file(root.path() / "none").has_error());
}

TEST_CASE("remove_file: what is gone is gone, also when it never was", "[unit][base]") {
    const TempRoot root;
    put(root.path() / "file", "x");
    fs::create_symlink(root.path() / "file", root.path() / "link");
    REQUIRE(remove_file(root.path() / "link").has_value());
    CHECK(fs::exists(root.path() / "file"));
    REQUIRE(remove_file(root.path() / "file").has_value());
    CHECK_FALSE(fs::exists(root.path() / "file"));
    CHECK(remove_file(root.path() / "file").has_value());
    CHECK(remove_file(root.path()).has_error());
}
