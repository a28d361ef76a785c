#!/usr/bin/python3
"""Holds the house's rules that a compiler does not: who may include whom, which file owns which
third-party library, and the few words that stay out of the sources.

usage: include_check.py [REPOSITORY]

Prints each violation as file:line: what is wrong. Exit 0: none; 1: some.
"""

import pathlib
import re
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
ROOMS_OF_SOURCES = ("agent", "bootstrap")

# Who may include whom, besides itself. `settings`, `daemon` and the like are agent/'s own files.
MAY_INCLUDE = {
    "base": set(),
    "ports": {"base"},
    "graph": {"ports", "base"},
    "report": {"ports", "base"},
    "supervise": {"ports", "base"},
    "steps": {"graph/step.hpp", "ports", "base"},
    "steps/catalog": {"steps", "settings", "installers", "graph/step.hpp", "ports", "base"},
    "front": {"ports", "base"},
    "workers": {"host", "ports", "base"},
    "host": {"ports", "base"},
    "installers": {"ports", "base"},
    "settings": {"installers", "ports", "base"},
    "version": set(),
    "command_line": {"ports", "base", "version"},
    "main_loop": {"ports", "base"},
    "commands": {
        "settings", "graph", "steps", "report", "supervise", "ports", "base", "version",
    },
    "daemon": {"settings", "graph", "steps", "report", "supervise", "ports", "base", "version"},
    "main": {
        "base", "ports", "graph", "report", "supervise", "steps", "steps/catalog", "front", "workers",
        "host", "settings", "version", "command_line", "main_loop", "commands", "daemon",
    },
    "bootstrap": {"host", "report", "ports", "base", "main_loop", "version"},
}

# Header (a regular expression for all of it) → the files that may include it; the first that fits
# holds. A name that ends in / is a room.
EVERYWHERE = ("",)
ASIO_WORDS = (
    "awaitable|as_tuple|co_spawn|io_context|post|redirect_error|steady_timer|this_coro|use_awaitable"
)
# One asks a certificate it knows beforehand and an address; the other authorities and names.
HTTP_CLIENTS = (
    "agent/host/asio_impl.cpp", "agent/host/http_client.cpp", "agent/host/https_client.cpp",
)
OWNERS = [
    (rf"boost/asio/({ASIO_WORDS})\.hpp", EVERYWHERE),
    (r"boost/system/.*", EVERYWHERE),
    (r"boost/asio/signal_set\.hpp", ("agent/main_loop.cpp", "agent/front_main.cpp")),
    (r"boost/asio/ssl/.*", HTTP_CLIENTS),
    (r"boost/asio/.*", ("agent/host/",)),
    (r"boost/beast/.*", HTTP_CLIENTS),
    (r"boost/process/.*", ("agent/host/asio_impl.cpp", "agent/host/process.cpp")),
    (r"boost/json.*", ("agent/host/json.cpp",)),
    (
        r"openssl/.*",
        (*HTTP_CLIENTS, "agent/host/crypto.cpp", "agent/host/tls_server.cpp"),
    ),
    (r"toml\+\+/.*", ("agent/host/toml.cpp",)),
    (r"argon2\.h", ("agent/host/password_hash.cpp",)),
    (r"CLI/.*", ("agent/command_line.cpp",)),
    (r"nss\.h", ("agent/host/https_client.cpp",)),
    # The language's and the system's.
    (r"[a-z_]+", EVERYWHERE),
    (r"(arpa|linux|netinet|sys)/[a-z_]+\.h", EVERYWHERE),
    (
        r"(dirent|fcntl|grp|poll|pthread|pwd|sched|signal|spawn|termios|time|unistd)\.h",
        EVERYWHERE,
    ),
]

FORBIDDEN_WORDS = [
    (r"\bdetached\b", "nobody would learn how a detached coroutine ended"),
    (r"\bsystem\s*\(", "a shell string; run an argv through CommandRunner"),
    (r"\bpopen\s*\(", "a shell string; run an argv through CommandRunner"),
    (r"\bgetaddrinfo\b", "does not work in a static binary; addresses are numeric"),
    (r"\bgetpw\w+", "does not work in a static binary; ask Accounts"),
    (r"\bgetgr(nam|gid|ouplist)\w*", "does not work in a static binary; ask Accounts"),
]

OPENINGS = ("// Owns ", "// Port: ", "// THE table")

_NOT_CODE = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r'|R"(?P<mark>[^()\s\\]*)\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
_SOURCE_NAME = re.compile(r"(?:\$\{PROJECT_SOURCE_DIR\}/)?[\w./-]+\.(?:cpp|S)\b")


def main() -> int:
    repository = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY
    found = violations(repository)
    for violation in found:
        print(violation)
    if found:
        print(f"{len(found)} violations of the house's rules", file=sys.stderr)
    return 1 if found else 0


def violations(repository: pathlib.Path) -> list[str]:
    """Each as file:line: what is wrong, in the order of the files."""
    found = []
    sources = [
        path
        for top in ROOMS_OF_SOURCES
        for path in sorted((repository / top).rglob("*"))
        if path.suffix in (".cpp", ".hpp", ".S")
    ]
    for path in sources:
        name = path.relative_to(repository).as_posix()
        text = path.read_text()
        if path.suffix == ".S":
            continue
        wrong = [*_wrong_includes(repository, name, text), *_wrong_words(text)]
        if path.suffix == ".hpp":
            wrong += _wrong_opening(text)
        found += [f"{name}:{line}: {what}" for line, what in sorted(wrong)]
    return found + _forgotten_files(repository, sources)


def _wrong_includes(repository: pathlib.Path, name: str, text: str):
    room = _room(name)
    if room not in MAY_INCLUDE:
        yield 1, f"{room} is no room of the house: give it a place in {pathlib.Path(__file__).name}"
        return
    for match in _INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start(0)) + 1
        ours, foreign = match.groups()
        if foreign:
            if not _may_include_foreign(name, foreign):
                yield line, f"<{foreign}> has another owner, or none"
        elif not (repository / ours).is_file():
            yield line, f'"{ours}" does not lie there as seen from the repository'
        elif not _may_include(room, ours):
            yield line, f"{room} may not include {ours}"


def _room(name: str) -> str:
    """The key of MAY_INCLUDE for a file of ours; another word when there is none."""
    parts = name.split("/")
    stem = parts[-1].split(".")[0]
    if parts[0] == "bootstrap":
        return "bootstrap"
    if parts[0] != "agent" or len(parts) > 3:
        return "/".join(parts[:-1])
    if len(parts) == 3:
        return "steps/catalog" if name.startswith("agent/steps/catalog.") else parts[1]
    if stem == "main" or stem.endswith("_main"):
        return "main"
    return "settings" if stem.startswith("settings_") else stem


def _may_include(room: str, header: str) -> bool:
    target = _room(header)
    allowed = MAY_INCLUDE[room]
    if target == room or target in allowed:
        return True
    if target == "steps/catalog":  # a word of its own only as an includer
        return "steps" in allowed
    return header.removeprefix("agent/") in allowed


def _may_include_foreign(name: str, header: str) -> bool:
    for pattern, owners in OWNERS:
        if re.fullmatch(pattern, header):
            return any(name == owner or owner == "" or
                       (owner.endswith("/") and name.startswith(owner)) for owner in owners)
    return False


def _wrong_words(text: str):
    code = _NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)
    for pattern, why in FORBIDDEN_WORDS:
        for match in re.finditer(pattern, code):
            line = code.count("\n", 0, match.start()) + 1
            yield line, f"{match.group(0).rstrip(' (')}: {why}"


def _wrong_opening(text: str):
    lines = text.splitlines()
    if not text.startswith(OPENINGS):
        yield 1, "the first line does not say what the header owns"
    after = next((number for number, line in enumerate(lines, 1) if not line.startswith("//")), 0)
    if not after or lines[after - 1] != "#pragma once":
        yield max(after, 1), "#pragma once does not follow the first comment"


def _forgotten_files(repository: pathlib.Path, sources: list[pathlib.Path]) -> list[str]:
    listed = set()
    for top in (*ROOMS_OF_SOURCES, "tests"):
        for cmake in (repository / top).rglob("CMakeLists.txt"):
            for token in _SOURCE_NAME.findall(cmake.read_text()):
                place = token.replace("${PROJECT_SOURCE_DIR}", str(repository))
                listed.add((cmake.parent / place).resolve())
    of_tests = [
        path
        for top in ("unit", "support")
        for path in sorted((repository / "tests" / top).rglob("*.cpp"))
    ]
    return [
        f"{path.relative_to(repository).as_posix()}:1: no CMakeLists.txt names it"
        for path in [*sources, *of_tests]
        if path.suffix != ".hpp" and path.resolve() not in listed
    ]


if __name__ == "__main__":
    sys.exit(main())
