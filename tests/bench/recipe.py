#!/usr/bin/python3
"""Measures a machine's first boot: the recipe as a startup script, beside the agent with its packages.

Each time in a new VM with empty caches, in turns; the first time of each does not count. The script is
the one that people pass on: apt-get, an environment, then one `pip install` a package, run by Google's
own runner. It ends when it logs its last line; Jupyter is then installed and started by hand, which a
person would begin later. Two things differ from what is passed on: the environment is a venv, as the
agent makes it, in the place of Anaconda's; and `sklearn`, which the index refuses by now, is
scikit-learn. The bare `uv pip install` has the very packages of the agent's step and nothing else.
As root, after `tests/run bench` has built: tests/bench/recipe.py
"""

import json
import re
import sys
import time

import measure

sys.path.insert(0, str(measure.REPOSITORY / "tests" / "e2e"))
import support  # noqa: E402
from support import Vm  # noqa: E402

RUNS = 1  # of half a GB of packages each
PATIENCE = 3600  # seconds
PACKAGES = ["pandas", "matplotlib", "seaborn", "scikit-learn", "tensorflow", "keras", "h2o"]
PACKAGES += ["scikit-optimize"]
PREFIX = "/opt/recipe"
LAST_WORD = "vmtest99"
SCRIPT = "\n".join(
    [
        "#! /bin/bash",
        'logger "vmtest01"',
        "sudo apt-get update -y",
        f"sudo apt-get install {' '.join(support.OLD_LIBRARIES)} -y",
        'logger "vmtest02"',
        "sudo apt-get install python3-venv -y",
        f"python3 -m venv {PREFIX}",
        f"source {PREFIX}/bin/activate",
        'logger "vmtest09"',
        *(f"pip install {package}" for package in PACKAGES),
        f'logger "{LAST_WORD}"',
    ]
)
# By hand, until Jupyter answers.
START_JUPYTER = """
import os, subprocess, sys, time, urllib.request
prefix = sys.argv[1]
subprocess.run([f"{prefix}/bin/pip", "install", "-q", "jupyterlab"], check=True)
null = open(os.devnull, "r+")
subprocess.Popen([f"{prefix}/bin/jupyter-lab", "--allow-root", "--no-browser", "--port=8888",
                  "--IdentityProvider.token=bench"], stdin=null, stdout=null, stderr=null)
ask = urllib.request.Request("http://127.0.0.1:8888/api/status", headers={"Authorization": "token bench"})
while True:
    try:
        with urllib.request.urlopen(ask, timeout=10):
            break
    except OSError:
        time.sleep(0.05)
"""
# When the VM's first process began, by the wall clock.
BOOTED = """
import os, time
ticks = int(open("/proc/1/stat").read().rpartition(")")[2].split()[19])
print(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK"))
"""


def main() -> None:
    recipe = Recipe()
    measure.compare(
        *("recipe: boot to everything installed", recipe.with_the_agent, recipe.with_the_script),
        *(RUNS, "s"),
        goal=round(1 / 3.5, 3),
    )
    beside("recipe: boot to Jupyter reachable", recipe.our_jupyter, recipe.their_jupyter, None)
    beside("recipe: its Python packages, beside bare uv", recipe.our_step, recipe.bare, 1.15)


def beside(name: str, ours: list[float], peer: list[float], goal: float | None) -> None:
    """What was found on the way, in the same turns."""
    one, other = iter(ours), iter(peer)
    measure.compare(name, lambda: next(one), lambda: next(other), RUNS, "s", goal)


class Recipe:
    def __init__(self):
        self.our_jupyter: list[float] = []
        self.our_step: list[float] = []
        self.their_jupyter: list[float] = []
        self.bare: list[float] = []
        self._kept = support.artefacts("bench_recipe")

    def with_the_agent(self) -> float:
        libraries = support.old_libraries()
        config = support.config(PACKAGES, support.make_password()[1], libraries)
        with Vm(bootstrap=support.BOOTSTRAP, config=config, artefacts=self._kept) as vm:
            state = vm.wait_settled(timeout=PATIENCE)["state"]
            if state != "ready":
                sys.exit(f"the VM is {state}: {vm.report()}")
            lines = vm.run(["cat", "/run/agent/timeline"]).stdout.splitlines()
            events = [json.loads(line) for line in lines]
            print(vm.run([support.INSTALLED, "timeline"]).stdout, flush=True)
        ends = {
            event["step"]: event["at"]
            for event in events
            if event.get("state") in ("applied", "satisfied")
        }
        begun = min(event["at"] for event in events if event.get("step") == "python_packages")
        self.our_step.append(ends["python_packages"] - begun)
        self.our_jupyter.append(ends["ready"])
        return max(ends.values())

    def with_the_script(self) -> float:
        with Vm(attributes={"startup-script": SCRIPT}, artefacts=self._kept) as vm:
            began = float(vm.run(["python3", "-c", BOOTED]).stdout)
            vm.wait_until(lambda: self._said_last_word(vm), PATIENCE, LAST_WORD)
            ended = self._said_last_word(vm) - began
            here = vm.run([f"{PREFIX}/bin/pip", "list", "--format=freeze"]).stdout.lower()
            missing = [name for name in PACKAGES if f"{name}==" not in here]
            if missing:
                sys.exit(f"the script has not installed {missing}: {vm.journal()[-4000:]}")
            begun = time.monotonic()
            vm.run(["python3", "-c", START_JUPYTER, PREFIX], timeout=PATIENCE)
            self.their_jupyter.append(ended + time.monotonic() - begun)
        self.bare.append(self._bare_uv())
        return ended

    def _bare_uv(self) -> float:
        """Into a venv that is there, with a uv that is there; its cache is empty."""
        uv = re.search(r'version = "([\d.]+)"', (measure.REPOSITORY / "agent/steps/uv_tool.cpp").read_text())
        with Vm(artefacts=self._kept) as vm:
            for argv in (
                ["apt-get", "-qq", "update"],
                ["apt-get", "-qqy", "install", "--no-install-recommends", "python3-venv"],
                ["python3", "-m", "venv", PREFIX],
                ["python3", "-m", "venv", "/opt/tool"],
                ["/opt/tool/bin/pip", "install", "-q", f"uv=={uv[1]}"],
            ):
                vm.run(["env", "DEBIAN_FRONTEND=noninteractive", *argv], timeout=PATIENCE)
            told = vm.run(["/opt/tool/bin/pip", "config", "get", "global.index-url"], check=False)
            index = told.stdout.strip()
            environment = ["SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]
            environment += [f"UV_DEFAULT_INDEX={index}"] if index else []
            install = ["/opt/tool/bin/uv", "pip", "install", "-q", f"--python={PREFIX}/bin/python"]
            begun = time.monotonic()
            vm.run(
                ["env", *environment, *install, *PACKAGES, "jupyterlab"],
                timeout=PATIENCE,
            )
            return time.monotonic() - begun

    @staticmethod
    def _said_last_word(vm: Vm) -> float:
        """When, by the wall clock; 0: not yet."""
        said = vm.run(["journalctl", "-o", "json", "--output-fields=MESSAGE", "-t", "root"], check=False)
        for line in said.stdout.splitlines():
            entry = json.loads(line)
            if entry.get("MESSAGE") == LAST_WORD:
                return int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        return 0.0


if __name__ == "__main__":
    support.require_root()
    main()
