#!/usr/bin/python3
"""Proves that lists of packages are taken from a bucket: with the VM's own token, which is seen nowhere;
with a sentence for whoever may not; again when they have changed; and that neither a boot with nothing
to do nor a bucket that cannot be read changes anything. A public bucket needs no service account.

The bucket is fake-gcs-server's, under GCS's own name and over TLS; see tests/testbed/buckets.py.
"""

import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import unittest

import support
from support import PATIENCE, REPOSITORY, Vm, wait_for

import buckets  # the testbed's, as vm

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from fault_server import Authority  # noqa: E402

BUCKET, PUBLIC = "agents-lists", "public-lists"
OBJECT = "work/our list.txt"
LIST = f"gs://{BUCKET}/{OBJECT}"
EMAIL = "vm-reader@example-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
OLD, NEW, OTHER = "iniconfig==2.0.0", "iniconfig==1.1.1", "six==1.16.0"
PREFIX = "/opt/jupyter"
READ = f"/storage/v1/b/{BUCKET}/o/work%2Four%20list.txt?alt=media"
# Every process of the VM, again and again: whether the token, which is given backwards, stands in its
# command line or environment; and which worker it was that is looked for.
WATCH = """
import glob, sys, time
token = sys.argv[1][::-1].encode()
while True:
    for place in glob.glob("/proc/[0-9]*"):
        try:
            words, variables = (open(f"{place}/{name}", "rb").read() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if token in words + variables:
            open("/run/watch.found", "ab").write(words + b"\\n")
        if b"worker\\0bucket" in words:
            with open(f"{place}/status") as status:
                user = next(line.split()[1] for line in status if line.startswith("Uid:"))
            open("/run/watch.seen", "a").write(user + "\\n")
    time.sleep(0.02)
"""
VERSION = "import importlib.metadata as metadata, sys; print(metadata.version(sys.argv[1]))"


class Bucket(unittest.TestCase):
    def setUp(self):
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.authority = Authority(directory)
        self.token = "ya29." + secrets.token_urlsafe(48)
        self.password_hash = support.make_password()[1]
        self.vm = Vm(
            bootstrap=support.BOOTSTRAP,
            config=self.config(LIST),
            metadata=support.service_account(EMAIL, SCOPE, self.token),
            prepare=self.trust_the_authority,
        )
        self.addCleanup(self.vm.stop)
        self.vm.create()
        self.addCleanup(self.vm.save_artefacts, support.artefacts("bucket"))
        self.storage = self.enterContext(
            buckets.Buckets(directory, self.authority.certificate(buckets.HOST), self.vm.host_address)
        )
        self.storage.rules(tokens={self.token: {"email": EMAIL, "scopes": SCOPE}})

    def config(self, place: str) -> str:
        text = support.config(["jupyterlab"], self.password_hash)
        return text.replace("[python]\n", f'[python]\nrequirements = "{place}"\n')

    def trust_the_authority(self, root: pathlib.Path) -> None:
        """What the machine itself knows of storage.googleapis.com is this machine's address."""
        ours = root / "usr/local/share/ca-certificates/test-authority.crt"
        ours.write_bytes(self.authority.bundle.read_bytes())
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["chroot", str(root), "update-ca-certificates"], check=True, **quiet)

    def test_lists_of_packages_in_a_bucket(self):
        # One second an answer, so that whoever waits for it is seen.
        self.storage.rules(readers={BUCKET: []}, delay=1.0)
        self.vm.boot()
        self.watch()
        self.is_told_what_is_wrong()
        self.installs()
        self.a_second_boot_does_nothing()
        self.a_bucket_that_cannot_be_read_takes_nothing_away()
        self.installs_what_has_changed()
        self.the_token_is_nowhere()
        self.a_public_bucket_needs_no_account()

    def watch(self) -> None:
        self.vm.run(["systemd-run", "--unit=watch", "python3", "-c", WATCH, self.token[::-1]])

    def is_told_what_is_wrong(self) -> None:
        step = wait_for(lambda: self.step_that("failed"), "the step to be refused")
        print(step["error"])
        for words in (f"reading {LIST}: {EMAIL} may not read it (403: ", "storage.objects.get"):
            self.assertIn(words, step["error"])
        problem = support.status_json(self.vm)["problem"]
        for words in ("roles/storage.objectViewer", f"serviceAccount:{EMAIL}", "devstorage.read_only"):
            self.assertIn(words, problem["next"])
        (asked,) = self.asked()
        self.assertEqual((asked["who"], asked["status"]), (EMAIL, 403))
        # Who comes without a token is refused, so there was one.
        told = self.vm.run(["curl", "-sS", f"https://{buckets.HOST}{READ}"]).stdout
        self.assertEqual(json.loads(told)["error"]["code"], 401)

        self.storage.rules(readers={})
        self.fails_again(f"there is no gs://{BUCKET} (404: The specified bucket does not exist.)")
        self.storage.put(BUCKET, "work/another.txt", "")
        self.storage.rules(readers={BUCKET: [EMAIL]})
        self.fails_again(f"reading {LIST}: there is no such object (404")
        self.storage.put(BUCKET, OBJECT, "iniconfig\n-r other.txt\n")
        self.fails_again(f"{LIST}:2: a list that comes from a bucket includes no other")

    def installs(self) -> None:
        self.storage.put(BUCKET, OBJECT, f"# ours\n{OLD}\n")
        self.retry()
        self.settles("ready")
        self.assertEqual(self.version("iniconfig"), "2.0.0")
        copies = self.copies()
        self.assertEqual(list(copies.values()), [f"# ours\n{OLD}\n"])
        owner = self.vm.run(["stat", "-c", "%U %a", *copies]).stdout
        self.assertEqual(owner, "root 640\n")

    def a_second_boot_does_nothing(self) -> None:
        self.the_watch_has_found_nothing()
        places = ["/etc/agent", "/opt", "/var/lib/agent"]
        before = support.manifest(self.vm, places)
        asked = len(self.asked())
        self.vm.reboot(timeout=PATIENCE)
        self.assertEqual(self.vm.wait_settled(timeout=PATIENCE)["state"], "ready")
        self.assertEqual(set(support.step_states(self.vm).values()), {"satisfied"})
        changed = support.changes(before, support.manifest(self.vm, places))
        self.assertEqual([path for path in changed if "__pycache__" not in path], [])
        # One look at the list is all that it takes.
        self.assertEqual(len(self.asked()) - asked, 1)
        self.watch()

    def a_bucket_that_cannot_be_read_takes_nothing_away(self) -> None:
        before = self.copies()
        self.storage.put(BUCKET, OBJECT, f"{NEW}\n")
        for rules, words in (
            ({"fault": 503}, "going by what was read last: "),
            ({"fault": 0, "readers": {BUCKET: []}}, f"{EMAIL} may not read it (403"),
        ):
            self.storage.rules(**rules)
            self.retry()
            reason = wait_for(
                lambda: self.step_that("satisfied", words, "going by what was read last"), words
            )["reason"]
            print(reason)
            self.settles("ready")
        self.assertEqual(self.version("iniconfig"), "2.0.0")
        self.assertEqual(self.copies(), before)
        self.storage.rules(readers={BUCKET: [EMAIL]})

    def installs_what_has_changed(self) -> None:
        self.storage.put(BUCKET, OBJECT, f"{NEW}\n{OTHER}\n")
        self.retry()
        wait_for(lambda: self.step_that("applied"), "the other list to be installed")
        self.settles("ready")
        self.assertEqual(self.version("iniconfig"), "1.1.1")
        self.assertEqual(self.version("six"), "1.16.0")
        self.assertEqual(list(self.copies().values()), [f"{NEW}\n{OTHER}\n"])

    def the_watch_has_found_nothing(self) -> None:
        seen = self.vm.run(["cat", "/run/watch.seen"]).stdout.split()
        self.assertTrue(seen, "the watch has seen no worker at the bucket")
        self.assertNotIn("0", seen, "what talks to the network must not be root")
        self.assertEqual(self.vm.run(["cat", "/run/watch.found"], check=False).stdout, "")

    def the_token_is_nowhere(self) -> None:
        self.the_watch_has_found_nothing()
        self.assertNotIn(self.token, self.vm.journal())
        # Not on a command line of the VM's: there it would be found.
        search = "grep -rlaF -f - /run /var/lib/agent /var/log /etc /opt/jupyter/bin /home /tmp /root"
        done = self.vm.run(["sh", "-c", search], input=self.token, timeout=PATIENCE, check=False)
        self.assertEqual(done.stdout, "")
        for told in (support.status_json(self.vm), self.vm.guest_attributes()):
            self.assertNotIn(self.token, json.dumps(told))

    def a_public_bucket_needs_no_account(self) -> None:
        self.vm.metadata.delete("instance/service-accounts/default")
        self.storage.put(PUBLIC, "list.txt", "pyfiglet==1.0.2\n")
        self.storage.rules(readers={BUCKET: [], PUBLIC: ["allUsers"]}, delay=0)
        self.vm.set_attribute("agent-config", self.config(f"gs://{BUCKET}/other.txt"))
        step = wait_for(lambda: self.step_that("failed"), "a VM without an account to be refused")
        self.assertIn("this VM has no service account", step["error"])
        self.vm.set_attribute("agent-config", self.config(f"gs://{PUBLIC}/list.txt"))
        wait_for(lambda: self.step_that("applied"), "the public list to be installed")
        self.settles("ready")
        self.assertEqual(self.version("pyfiglet"), "1.0.2")
        asked = self.storage.requests()[-1]
        self.assertEqual((asked["has_token"], asked["status"]), (False, 200), asked)
        self.assertEqual(list(self.copies().values()), ["pyfiglet==1.0.2\n"])

    # What is read of it

    def step_that(self, state: str, *words: str) -> dict | None:
        """What became of the list, once it is in this state and says these words."""
        steps = support.status_json(self.vm).get("steps", [])
        step = next((one for one in steps if one["id"] == "python_packages"), {})
        said = f"{step.get('error') or ''} {step.get('reason') or ''}"
        return step if step.get("state") == state and all(word in said for word in words) else None

    def asked(self) -> list[dict]:
        return [one for one in self.storage.requests() if one["target"] == READ and one["has_token"]]

    def retry(self) -> None:
        self.vm.run([support.INSTALLED, "retry"])

    def fails_again(self, words: str) -> None:
        self.retry()
        print(wait_for(lambda: self.step_that("failed", words), words)["error"])

    def settles(self, state: str) -> None:
        wait_for(lambda: support.status_json(self.vm).get("state") == state, f"the VM to be {state}")

    def version(self, package: str) -> str:
        python = ["runuser", "-u", "jupyter", "--", f"{PREFIX}/bin/python", "-c", VERSION, package]
        return self.vm.run(python).stdout.strip()

    def copies(self) -> dict[str, str]:
        found = self.vm.run(["find", "/var/lib/agent/bucket-files", "-type", "f"]).stdout.split()
        return {path: self.vm.run(["cat", path]).stdout for path in found}


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
