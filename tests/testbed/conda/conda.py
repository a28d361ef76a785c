#!@PLACE@/bin/python
"""What the tests need of conda, as conda 4.7 says and does it: --version, info, list, init, the hook of
bash, install, create, env update. What is installed are real packages from real channels: rattler, which wants a
newer Python than may be here, solves and links in a Python of the machine's.
"""

import argparse
import glob
import json
import os
import re
import subprocess
import sys

PREFIX = "@PLACE@"
VERSION = "@CONDA_VERSION@"
OPENING, END = "# >>> conda initialize >>>", "# <<< conda initialize <<<"
BASH = f"""{OPENING}
# !! Contents within this block are managed by 'conda init' !!
__conda_setup="$('{PREFIX}/bin/conda' 'shell.bash' 'hook' 2> /dev/null)"
if [ $? -eq 0 ]; then
    eval "$__conda_setup"
else
    if [ -f "{PREFIX}/etc/profile.d/conda.sh" ]; then
        . "{PREFIX}/etc/profile.d/conda.sh"
    else
        export PATH="{PREFIX}/bin:$PATH"
    fi
fi
unset __conda_setup
{END}
"""
FISH = f"""{OPENING}
# !! Contents within this block are managed by 'conda init' !!
eval {PREFIX}/bin/conda "shell.fish" "hook" $argv | source
{END}
"""
FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}


def records(prefix):
    for path in sorted(glob.glob(f"{prefix}/conda-meta/*.json")):
        name, version, build = os.path.basename(path)[: -len(".json")].rsplit("-", 2)
        yield {"name": name, "version": version, "build_string": build}


def init(options):
    for shell in options.shells or ["bash"]:
        path = os.path.expanduser(f"~/{FILES[shell]}")
        text = open(path).read() if os.path.exists(path) else ""
        kept = re.sub(rf"\n?{re.escape(OPENING)}.*?{re.escape(END)}\n?", "", text, flags=re.S)
        block = "" if options.reverse else "\n" + (FISH if shell == "fish" else BASH)
        new = kept + block
        state = "no change" if new == text else "modified"
        print(f"{state}     {path}")
        if new != text:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(new)


def hook(options):
    sys.stdout.write(open(f"{PREFIX}/etc/profile.d/conda.sh").read())
    print("conda activate base")


def info(options):
    print(json.dumps({"conda_version": VERSION, "root_prefix": PREFIX, "default_prefix": PREFIX,
                      "python_version": sys.version.split()[0]}))


def listing(options):
    found = list(records(options.prefix or PREFIX))
    if options.json:
        print(json.dumps(found))
        return
    for one in found:
        print(f"{one['name']:25} {one['version']:>10} {one['build_string']}")


def install(options):
    prefix = options.prefix or PREFIX
    channels = options.channel or ["defaults"]
    print("Collecting package metadata (current_repodata.json): ...working... done", flush=True)
    print("Solving environment: ...working...", flush=True)
    worker = os.path.join(PREFIX, "lib", "rattler_worker.py")
    environment = {**os.environ, "PYTHONPATH": os.path.join(PREFIX, "lib", "rattler")}
    request = {"prefix": prefix, "channels": channels, "specs": options.specs,
               "frozen": options.freeze_installed}
    done = subprocess.run(["/usr/bin/python3", worker], input=json.dumps(request), env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        if "no candidates" in done.stdout.lower():
            sys.stderr.write("PackagesNotFoundError: The following packages are not available from "
                             "current channels:\n\n" +
                             "".join(f"  - {spec}\n" for spec in options.specs))
        elif "unsatisfiable" in done.stdout.lower() or "cannot" in done.stdout.lower():
            sys.stderr.write("UnsatisfiableError: " + done.stdout)
        else:
            sys.stderr.write("CondaHTTPError: HTTP 000 CONNECTION FAILED for url <" +
                             ">, <".join(channels) + ">\n" + done.stdout)
        sys.exit(1)
    print("Executing transaction: ...working... done")


def update(options):
    """Of environment.yml what a plain one has: its lists of channels and of dependencies."""
    if not options.file.endswith((".yml", ".yaml")):
        sys.exit(f"EnvironmentFileExtensionNotValid: '{options.file}' file extension must be one of "
                 "'.txt', '.yaml' or '.yml'")
    lists = {"channels": [], "dependencies": []}
    entries = None
    with open(options.file) as lines:
        for line in lines:
            text = line.split("#")[0].rstrip()
            if text.lstrip().startswith("- "):
                entries.append(text.lstrip()[2:])
            elif text:
                entries = lists.get(text.rstrip(":"), [])
    install(argparse.Namespace(prefix=options.prefix, channel=lists["channels"],
                               specs=lists["dependencies"], freeze_installed=False))


def main():
    if sys.argv[1:2] == ["shell.bash"]:
        return hook(None)
    parser = argparse.ArgumentParser(prog="conda")
    parser.add_argument("--version", "-V", action="version", version=f"conda {VERSION}")
    verbs = parser.add_subparsers(dest="command")
    verbs.required = True
    one = verbs.add_parser("init")
    one.add_argument("shells", nargs="*", choices=[*FILES, []])
    one.add_argument("--reverse", action="store_true")
    one.set_defaults(run=init)
    one = verbs.add_parser("info")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=info)
    one = verbs.add_parser("list")
    one.add_argument("--json", action="store_true")
    one.add_argument("--prefix", "-p")
    one.set_defaults(run=listing)
    for verb in ("install", "create"):
        one = verbs.add_parser(verb)
        one.add_argument("specs", nargs="*")
        one.add_argument("--prefix", "-p")
        one.add_argument("--channel", "-c", action="append")
        for flag in ("--yes", "-y", "--quiet", "-q", "--override-channels", "--freeze-installed",
                     "--force-reinstall"):
            one.add_argument(flag, action="store_true")
        one.set_defaults(run=install)
    one = verbs.add_parser("env").add_subparsers(dest="action")
    one.required = True
    one = one.add_parser("update")
    one.add_argument("--prefix", "-p")
    one.add_argument("--file", "-f", required=True)
    one.set_defaults(run=update)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
