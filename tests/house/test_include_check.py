#!/usr/bin/python3
"""Proves that the house check finds what it must, and nothing else."""

import pathlib
import tempfile
import unittest

import include_check

GOOD_HEADER = "// Owns an example.\n#pragma once\n"


class HouseCheck(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.repository = pathlib.Path(directory.name)

    def put(self, name, text=GOOD_HEADER):
        """A file, with the headers of ours that it includes, all named where they must be."""
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for ours, _ in include_check._INCLUDE.findall(text):
            if ours and not (self.repository / ours).exists():
                self.put(ours)
        if path.suffix != ".hpp":
            with open(path.parent / "CMakeLists.txt", "a") as cmake:
                cmake.write(f"target_sources(x PRIVATE {path.name})\n")

    def found(self):
        return include_check.violations(self.repository)

    def assert_only(self, *expected):
        found = self.found()
        self.assertEqual(len(found), len(expected), found)
        for violation, opening in zip(found, expected):
            self.assertTrue(violation.startswith(opening), violation)

    def test_the_real_tree_is_looked_at(self):
        self.assertTrue((include_check.REPOSITORY / "agent").is_dir())

    def test_a_clean_file(self):
        self.put(
            "agent/graph/plan.cpp",
            '#include "agent/graph/plan.hpp"\n\n#include "agent/base/error.hpp"\n\n'
            "#include <boost/asio/awaitable.hpp>\n\n#include <vector>\n\n#include <unistd.h>\n",
        )
        self.assert_only()

    def test_who_may_not_include_whom(self):
        for includer, included in [
            ("base/x.cpp", "ports/clock.hpp"),
            ("ports/x.hpp", "host/process.hpp"),
            ("graph/x.cpp", "steps/python.hpp"),
            ("graph/x.cpp", "report/status.hpp"),
            ("report/x.cpp", "graph/step.hpp"),
            ("supervise/x.cpp", "graph/step.hpp"),
            ("steps/x.cpp", "graph/engine.hpp"),
            ("steps/x.cpp", "settings.hpp"),
            ("steps/x.cpp", "host/process.hpp"),
            ("front/x.cpp", "report/status.hpp"),
            ("host/x.cpp", "graph/step.hpp"),
            ("workers/x.cpp", "steps/python.hpp"),
            ("commands/x.cpp", "host/process.hpp"),
            ("commands/x.cpp", "workers/probe.hpp"),
            ("daemon.cpp", "host/process.hpp"),
            ("daemon.cpp", "front/front.hpp"),
            ("settings.cpp", "steps/catalog.hpp"),
            ("settings_rules.cpp", "host/toml_syntax.hpp"),
        ]:
            with self.subTest(includer=includer, included=included):
                self.setUp()
                text = "// Owns x.\n#pragma once\n" + f'#include "agent/{included}"\n'
                self.put(f"agent/{includer}", text)
                self.assert_only(f"agent/{includer}:3: ")

    def test_who_may_include_whom(self):
        for includer, included in [
            ("agent/steps/catalog.cpp", "agent/settings.hpp"),
            ("agent/steps/catalog.cpp", "agent/steps/python.hpp"),
            ("agent/steps/python.cpp", "agent/graph/step.hpp"),
            ("agent/commands/status.cpp", "agent/settings.hpp"),
            ("agent/commands/plan.cpp", "agent/steps/catalog.hpp"),
            ("agent/daemon.cpp", "agent/steps/catalog.hpp"),
            ("agent/settings_rules.cpp", "agent/settings.hpp"),
            ("agent/main.cpp", "agent/front_main.hpp"),
            ("agent/run_main.cpp", "agent/host/process.hpp"),
            ("agent/main.cpp", "agent/workers/probe.hpp"),
            ("agent/workers/probe.cpp", "agent/host/http_client.hpp"),
            ("bootstrap/main.cpp", "agent/host/process.hpp"),
            ("bootstrap/main.cpp", "agent/main_loop.hpp"),
        ]:
            with self.subTest(includer=includer, included=included):
                self.setUp()
                self.put(includer, f'#include "{included}"\n')
                self.assert_only()

    def test_third_party_headers_have_one_owner(self):
        for name, header in [
            ("agent/steps/x.cpp", "boost/json.hpp"),
            ("agent/settings.cpp", "toml++/toml.h"),
            ("agent/host/json.cpp", "boost/beast/http/read.hpp"),
            ("agent/host/crypto.cpp", "argon2.h"),
            ("agent/main.cpp", "CLI/App.hpp"),
            ("agent/daemon.cpp", "boost/asio/ip/tcp.hpp"),
            ("agent/daemon.cpp", "boost/asio/signal_set.hpp"),
            ("agent/host/http_client.cpp", "boost/process/v2/process.hpp"),
            ("agent/base/x.cpp", "openssl/sha.h"),
            ("agent/base/x.cpp", "fmt/format.h"),
            ("agent/base/x.cpp", "unknown.h"),
        ]:
            with self.subTest(name=name, header=header):
                self.setUp()
                self.put(name, f"#include <{header}>\n")
                self.assert_only(f"{name}:1: <{header}> ")

    def test_their_owners_may(self):
        for name, header in [
            ("agent/host/json.cpp", "boost/json.hpp"),
            ("agent/host/toml.cpp", "toml++/toml.h"),
            ("agent/host/tls_server.cpp", "boost/asio/ip/tcp.hpp"),
            ("agent/command_line.cpp", "CLI/App.hpp"),
            ("agent/base/error.cpp", "boost/system/result.hpp"),
            ("agent/base/files.cpp", "sys/stat.h"),
        ]:
            with self.subTest(name=name, header=header):
                self.setUp()
                self.put(name, f"#include <{header}>\n")
                self.assert_only()

    def test_words_that_stay_out(self):
        self.put(
            "agent/steps/x.cpp",
            "// detached, system(), popen() and getaddrinfo are only talked about here\n"
            'const char* text = "system(\\"rm\\") detached";\n'
            'const char* raw = R"x(popen( " )x";\n'
            "const int number = 1'000'000; /* getpwnam\n getpwuid */\n"
            "void system_error(int); boost::system::error_code code;\n"
            "co_spawn(io, work(), asio::detached);\n"
            "std::system(text);\n"
            "popen (text);\n"
            "getaddrinfo(text);\n"
            "getpwnam_r(text);\n"
            "char quote = '\"'; getgrnam(text);\n",
        )
        self.assert_only(*(f"agent/steps/x.cpp:{line}: " for line in range(7, 13)))
        self.assertIn("detached coroutine", self.found()[0])

    def test_a_header_says_what_it_owns_and_is_read_once(self):
        self.put("agent/base/a.hpp", "#pragma once\n// Owns a.\n")
        self.put("agent/base/b.hpp", "// Helpers for b.\n#pragma once\n")
        self.put("agent/base/c.hpp", "// Owns c,\n// and more of it.\n\n#pragma once\n")
        self.put("agent/base/d.hpp", "// Owns d.\n#ifndef D\n#define D\n#endif\n")
        self.put("agent/base/e.hpp", "")
        self.put("agent/base/f.hpp", "// Port: f.\n#pragma once\n")
        self.assert_only(
            "agent/base/a.hpp:1: the first line",
            "agent/base/b.hpp:1: the first line",
            "agent/base/c.hpp:3: #pragma once",
            "agent/base/d.hpp:2: #pragma once",
            "agent/base/e.hpp:1: #pragma once",
            "agent/base/e.hpp:1: the first line",
        )

    def test_every_source_is_named_where_it_is_built(self):
        self.put("agent/base/named.cpp", "")
        for name in ("agent/base/forgotten.cpp", "tests/unit/base/forgotten_test.cpp"):
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        self.put("tests/unit/base/named_test.cpp", "")
        self.put("bootstrap/payload.S", "")
        (self.repository / "tests/support").mkdir()
        (self.repository / "tests/support/world.cpp").write_text("")
        with open(self.repository / "tests/unit/CMakeLists.txt", "w") as cmake:
            cmake.write("add_executable(x ${PROJECT_SOURCE_DIR}/tests/support/world.cpp)\n")
        self.assert_only(
            "agent/base/forgotten.cpp:1: no CMakeLists.txt",
            "tests/unit/base/forgotten_test.cpp:1: no CMakeLists.txt",
        )

    def test_a_name_that_ends_like_a_named_one_is_not_named(self):
        self.put("agent/base/a_file.cpp", "")
        (self.repository / "agent/base/file.cpp").write_text("")
        self.assert_only("agent/base/file.cpp:1: no CMakeLists.txt")

    def test_an_include_that_is_not_rooted_or_not_there(self):
        self.put("agent/base/x.cpp", "")
        (self.repository / "agent/base/x.cpp").write_text('\n#include "error.hpp"\n')
        self.assert_only('agent/base/x.cpp:2: "error.hpp"')

    def test_a_new_room_needs_a_place(self):
        self.put("agent/helpers/x.cpp", "")
        self.assert_only("agent/helpers/x.cpp:1: helpers is no room")


if __name__ == "__main__":
    unittest.main()
