#!/usr/bin/python3
"""Proves that the recommended example stands with all its packages, beside it environments of their
own, a lock file's packages, what a requirements file includes, and what the user installed himself; from
the machine's own index."""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import support
from support import PATIENCE, PORT, REPOSITORY, Vm

from notebook_client import Jupyter  # the testbed's, as vm

EXAMPLE = (REPOSITORY / "config/examples/venv.toml").read_text()
IMPORTS = "h2o keras matplotlib pandas seaborn sklearn skopt tensorflow"
LOCKED = ("iniconfig", "2.0.0")
OF_THE_USER = ("pyfiglet", "1.0.2")
UNKNOWN = "scikit-lern-xyzzy"
SMALL = """
[[python.environment]]
name = "small"
packages = ["six"{}]
requirements = "/etc/agent/small.txt"
"""
# What it includes lies below it.
INCLUDED, VERSIONS_OF_IT = "toolz", ("0.12.0", "0.12.1")
BROKEN = f'\n[[python.environment]]\nname = "broken"\npackages = ["{UNKNOWN}"]\n'
# The index that it is tied to does not have it, and no other is asked.
TIED = """
[[python.environment]]
name = "tied"
packages = ["idna"]
[[python.index]]
name = "company"
url = "{}/no-such-index"
packages = ["idna"]
"""
VERSIONS_FILE = "etc/agent/parts/versions.txt"
PREFIX, SMALL_PREFIX = "/opt/jupyter", "/opt/jupyter-envs/small"
# What distutils leaves: the files of a package, and one file that does not name them.
DISTUTILS = {
    "colorama-0.4.1-py{}.egg-info": "Metadata-Version: 1.1\nName: colorama\nVersion: 0.4.1\n",
    "colorama/__init__.py": "__version__ = '0.4.1'\n",
    "colorama/only_in_the_old_one.py": "",
}
PUT_FILES = """
import json, os, sys, sysconfig
for name, text in json.load(sys.stdin).items():
    path = os.path.join(sysconfig.get_path("purelib"), name.format("%d.%d" % sys.version_info[:2]))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write(text)
"""
VERSIONS = """
import importlib.metadata as metadata, sys
print(*(metadata.version(name) for name in sys.argv[1:]))
"""


class PythonPackages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        kept = support.artefacts("python_packages")
        password_hash = support.make_password()[1]

        def put_files(root: pathlib.Path) -> None:
            directory = root / "etc/agent/agent.d"
            directory.mkdir(parents=True)
            (root / "etc/agent/lock.txt").write_text(lock_file())
            (root / "etc/agent/small.txt").write_text("-r parts/one.txt\n-c parts/versions.txt\n")
            (root / "etc/agent/parts").mkdir()
            (root / "etc/agent/parts/one.txt").write_text(f"{INCLUDED}>=0.11\n")
            (root / VERSIONS_FILE).write_text(f"{INCLUDED}=={VERSIONS_OF_IT[0]}\n")
            (directory / "50-here.toml").write_text(
                '[python]\nrequirements = "/etc/agent/lock.txt"\n'
                f'[jupyter]\npassword_hash = "{password_hash}"\n'
            )

        config = EXAMPLE + SMALL.format("") + BROKEN + TIED.format(index())
        cls.vm = Vm(bootstrap=support.BOOTSTRAP, config=config, prepare=put_files)
        cls.addClassCleanup(cls.vm.stop)
        started = time.monotonic()
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, kept)
        cls.vm.wait_until(lambda: (cls.vm.report() or {}).get("url"), 2 * PATIENCE, "Jupyter")
        print(f"Jupyter was there after {time.monotonic() - started:.0f} s")
        cls.report = cls.vm.wait_settled(timeout=2 * PATIENCE)
        print(f"settled after {time.monotonic() - started:.0f} s")
        cls.meet()

    @classmethod
    def meet(cls) -> None:
        token = cls.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
        certificate = support.Certificate(cls.vm)
        cls.jupyter = Jupyter(cls.vm.address, PORT, certificate.trusted, token)

    def as_user(self, argv: list[str], **how) -> str:
        command = ["runuser", "-u", "jupyter", "--", *argv]
        return self.vm.run(command, timeout=PATIENCE, **how).stdout.strip()

    def versions(self, prefix: str, *names: str) -> list[str]:
        return self.as_user([f"{prefix}/bin/python", "-c", VERSIONS, *names]).split()

    def step(self, name: str) -> dict:
        steps = {step["id"]: step for step in support.status_json(self.vm)["steps"]}
        return steps[name]

    def test_1_a_broken_environment_leaves_jupyter_open(self):
        self.assertEqual(self.report["state"], "degraded", self.report)
        broken = ["environment:broken", "environment:tied"]
        for step in support.status_json(self.vm)["steps"]:
            expected = ["failed"] if step["id"] in broken else ["applied", "satisfied"]
            self.assertIn(step["state"], expected, step)
        self.assertIn(self.report["problem"]["step"], broken)
        error = self.step("environment:broken")["error"]
        self.assertIn(f"no package {UNKNOWN}", error)
        self.assertIn("[[python.environment]] broken", error)
        self.assertIn("no package idna", self.step("environment:tied")["error"])

    def test_2_every_package_of_the_example_is_imported(self):
        with self.jupyter.kernel() as kernel:
            said = kernel.run(f"import {', '.join(IMPORTS.split())}\n1 + 1", timeout=PATIENCE)
        self.assertTrue(said.endswith("2"), said)

    def test_3_the_lock_file_is_installed_by_its_hashes(self):
        self.assertEqual(self.versions(PREFIX, LOCKED[0]), [LOCKED[1]])
        log = self.vm.run(["cat", "/var/log/agent/python_packages.log"]).stdout
        self.assertIn("without a hash: pandas", log)
        self.assertRegex(log, r"downloaded \d+ of \d+ large files, \d+ MiB of \d+ MiB")

    def test_4_the_environment_is_a_kernel_that_computes(self):
        kernels = self.jupyter.ask("GET", "/api/kernelspecs")["kernelspecs"]
        self.assertRegex(kernels["small"]["spec"]["display_name"], r"^small \(Python 3\.\d+\)$")
        with self.jupyter.kernel("small") as kernel:
            self.assertEqual(kernel.run("1 + 1"), "2")
            self.assertEqual(kernel.run("import six, sys; sys.prefix"), f"'{SMALL_PREFIX}'")
        self.assertEqual(self.versions(SMALL_PREFIX, INCLUDED), [VERSIONS_OF_IT[0]])
        cache = self.as_user(["sh", "-c", "cd && ls .cache"])
        self.assertIn("uv", cache)

    def test_5_what_is_the_users_survives_and_distutils_is_replaced(self):
        for prefix in (PREFIX, SMALL_PREFIX):
            self.as_user([f"{prefix}/bin/pip", "install", "--quiet", "==".join(OF_THE_USER)])
        self.as_user(
            [f"{SMALL_PREFIX}/bin/python", "-c", PUT_FILES], input=json.dumps(DISTUTILS)
        )
        (self.vm.root / VERSIONS_FILE).write_text(f"{INCLUDED}=={VERSIONS_OF_IT[1]}\n")
        self.vm.set_attribute("agent-config", EXAMPLE + SMALL.format(', "colorama>=0.4.6"'))
        self.vm.wait_until(
            lambda: self.step("environment:small")["state"] == "applied"
            and "colorama" in self.step("environment:small")["reason"],
            PATIENCE,
            "the old colorama to be replaced",
        )
        # Its own word: the guest attributes may still tell of the configuration before.
        self.vm.wait_until(
            lambda: support.status_json(self.vm)["state"] == "ready", PATIENCE, "the VM to be ready"
        )
        self.assertIn("replaced colorama 0.4.1", self.step("environment:small")["reason"])
        self.assertNotEqual(self.versions(SMALL_PREFIX, "colorama"), ["0.4.1"])
        self.assertEqual(self.versions(SMALL_PREFIX, INCLUDED), [VERSIONS_OF_IT[1]])
        aside = f"{SMALL_PREFIX}/.replaced/colorama-0.4.1/colorama/only_in_the_old_one.py"
        self.vm.run(["test", "-e", aside])
        gone = "import colorama.only_in_the_old_one"
        done = self.vm.run([f"{SMALL_PREFIX}/bin/python", "-c", gone], check=False)
        self.assertIn("ModuleNotFoundError", done.stderr)

    def test_6_a_reboot_does_nothing(self):
        before = support.manifest(self.vm, [PREFIX, f"{PREFIX}-envs", "/var/lib/agent/tools"])
        self.vm.reboot(timeout=PATIENCE)
        self.assertEqual(self.vm.wait_settled(timeout=PATIENCE)["state"], "ready")
        self.assertEqual(set(support.step_states(self.vm).values()), {"satisfied"})
        for prefix in (PREFIX, SMALL_PREFIX):
            self.assertEqual(self.versions(prefix, OF_THE_USER[0]), [OF_THE_USER[1]])
        after = support.manifest(self.vm, [PREFIX, f"{PREFIX}-envs", "/var/lib/agent/tools"])
        changed = [path for path in support.changes(before, after) if "__pycache__" not in path]
        self.assertEqual(changed, [])


def index() -> str:
    """The machine's package index."""
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "pip", "config", "get", "global.index-url"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return (done.stdout.strip() or "https://pypi.org/simple").rstrip("/")


def lock_file() -> str:
    """One package, pinned, with the hash that the machine's index gives it now."""
    name, version = LOCKED
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            ["/usr/bin/python3", "-m", "pip", "download", "--quiet", "--no-deps"]
            + ["--only-binary=:all:", "--dest", directory, f"{name}=={version}"],
            check=True,
        )
        (wheel,) = pathlib.Path(directory).iterdir()
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"# made by a test\n{name}=={version} \\\n    --hash=sha256:{digest}\n"


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
