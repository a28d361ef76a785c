#!/usr/bin/python3
"""Proves the metadata emulator by its clients: Google's runner of scripts, Google's guest agent,
cloud-init and Google's Go client, each as it is shipped, in a stand-in VM at 169.254.169.254.

Whatever these accept, the agent may take for Google's server too.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "testbed"))
import requirements  # noqa: E402
import vm as testbed  # noqa: E402

PATIENCE = 120.0  # seconds for what takes one or two
GREETING = "good morning\n"
TRACE = "/var/lib/scripts-that-ran"
INSTANCE_SCRIPT = f"\n#!/bin/sh\necho startup-script >> {TRACE}\n"
URL_SCRIPT = f"#!/bin/sh\necho startup-script-url >> {TRACE}\n"
SHUTDOWN_SCRIPT = f"#!/bin/sh\necho shutdown-script >> {TRACE}\n"
PROJECT_SCRIPT = f"#!/bin/sh\necho project >> {TRACE}\n"
USER_DATA = """#cloud-config
write_files:
- path: /var/lib/cloud-config-was-here
  content: "written"
runcmd:
- [sh, -c, "echo run > /var/lib/cloud-config-ran"]
"""
CLOUD_CONFIG = """# What the stand-in VM has already and must keep.
datasource_list: [GCE]
network: {config: disabled}
ssh_deletekeys: false
locale: false
apt: {preserve_sources_list: true}
"""
# Where cloud-init looks for what kind of machine this is; the VM's kernel has no DMI.
MACHINE_KIND = {
    "dmidecode": '#!/bin/sh\n[ "$2" = system-product-name ] && echo "Google Compute Engine"\n',
    "systemd-detect-virt": "#!/bin/sh\nexit 1\n",
}
STAGES = ["init --local", "init", "modules --mode=config", "modules --mode=final"]


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = _key("visitor")
        cls.go_client = requirements.go_program(HERE / "go_client", print)
        with tempfile.NamedTemporaryFile("w") as script:
            script.write(URL_SCRIPT)
            script.flush()
            cls.vm = testbed.Vm(
                bootstrap=script.name,
                attributes={
                    "greeting": GREETING,
                    "startup-script": INSTANCE_SCRIPT,
                    "shutdown-script": SHUTDOWN_SCRIPT,
                    "ssh-keys": f"visitor:{cls.key}\ndebian:{cls.key}",
                    "user-data": USER_DATA,
                },
                project_attributes={"greeting": "to all", "startup-script": PROJECT_SCRIPT},
                metadata={"instance": {"tags": ["http-server", "jupyter"]}},
            )
            cls.addClassCleanup(cls.vm.stop)
            cls.vm.start()
        # The guest agent may write four at once and does not look at what became of them.
        cls.vm.metadata.limit("guest-queries", [])

    # Google's runner of startup and shutdown scripts

    def test_1_scripts_of_the_instance_run_in_order_at_boot_and_at_the_end(self):
        self.assertEqual(self.traces(2), ["startup-script", "startup-script-url"])
        self.vm.reboot(timeout=PATIENCE)
        self.assertEqual(
            self.traces(5),
            ["startup-script", "startup-script-url", "shutdown-script"]
            + ["startup-script", "startup-script-url"],
        )
        self.assertIn("startup-script exit status 0", self.vm.journal("google-startup-scripts"))

    def test_2_without_scripts_of_the_instance_the_project_s_run(self):
        for key in ("startup-script", "startup-script-url"):
            self.vm.delete_attribute(key)
        self.vm.run(["rm", TRACE])
        self.vm.run(["google_metadata_script_runner", "startup"])
        self.assertEqual(self.traces(1), ["project"])

    # Google's Go client

    def go(self, *arguments, check=True, **environment):
        variables = [f"{name}={value}" for name, value in environment.items()]
        program = self.vm.root / "opt/go_client"
        if not program.exists():
            program.write_bytes(self.go_client.read_bytes())
            program.chmod(0o755)
        return self.vm.run(["env", *variables, "/opt/go_client", *arguments], check=check)

    def test_3_the_go_client_finds_every_fact(self):
        for environment in ({}, {"GCE_METADATA_HOST": "metadata.google.internal"}):
            said = json.loads(self.go("facts", **environment).stdout)
            token = said.pop("Token")
            instance = self.vm.metadata.get("instance")
            self.assertEqual(
                said,
                {
                    "OnGCE": True,
                    "ProjectID": "example-project",
                    "NumericProjectID": "123456789012",
                    "InstanceID": str(instance["id"]),
                    "InstanceName": "vm-1",
                    "Hostname": "vm-1.us-central1-a.c.example-project.internal",
                    "Zone": "us-central1-a",
                    "InternalIP": self.vm.address,
                    "ExternalIP": self.vm.address,
                    "InstanceTags": ["http-server", "jupyter"],
                    "InstanceAttributes": sorted(instance["attributes"]),
                    "InstanceAttributeValue": GREETING,
                    "ProjectAttributes": ["greeting", "startup-script"],
                    "ProjectAttributeValue": "to all",
                    "Email": "123456789012-compute@developer.gserviceaccount.com",
                    "Scopes": ["https://www.googleapis.com/auth/cloud-platform"],
                    "UniverseDomain": "googleapis.com",
                    "NotDefined": True,
                },
            )
            self.assertEqual(token["token_type"], "Bearer")
            self.assertEqual(token["access_token"], "emulator-access-token")
            self.assertGreater(token["expires_in"], 3500)

    def test_4_the_go_client_waits_for_changes(self):
        waiting = subprocess.Popen(
            self.vm.enter_network([self.go_client, "subscribe", "instance/attributes/greeting"]),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(waiting.stdout.close)
        self.addCleanup(waiting.wait)
        self.addCleanup(waiting.kill)
        self.assertEqual(waiting.stdout.readline(), f"value {GREETING}")
        self.vm.set_attribute("greeting", "good night")
        # The client joins the last newline of a value that it was printed with.
        self.assertEqual([waiting.stdout.readline() for _ in range(2)][-1], "value good night\n")
        self.vm.delete_attribute("greeting")
        self.assertEqual(waiting.stdout.readline(), "gone\n")
        self.assertEqual(waiting.wait(PATIENCE), 0)

    def test_5_the_go_client_tries_again_what_passes_and_nothing_else(self):
        name = ["get", "instance/name"]
        for status in (503, 429):
            with self.subTest(status=status):
                self.vm.metadata.fault("instance/name", "status", status, times=2)
                self.assertEqual(self.go(*name).stdout, "vm-1")
        self.vm.metadata.fault("instance/name", "status", 403, times=1)
        done = self.go(*name, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("403", done.stderr)
        done = self.go("get", "instance/nothing", check=False)
        self.assertIn("not defined", done.stderr)

    # Google's guest agent

    def test_6_the_guest_agent_makes_accounts_as_keys_come_and_go(self):
        self.vm.run(["systemd-run", "--unit=guest-agent", "google_guest_agent"])
        self.vm.wait_until(lambda: self.key in self.keys_of("visitor"), PATIENCE, "an account")
        self.vm.wait_until(
            lambda: self.host_keys() == self.told_host_keys(), PATIENCE, "the new host keys"
        )
        self.assertEqual(
            (self.vm.root / "etc/google_instance_id").read_text(),
            f"{self.vm.metadata.get('instance/id')}\n",
        )
        another = _key("another")
        self.vm.set_attribute("ssh-keys", f"visitor:{self.key}\nguest:{another}")
        self.vm.wait_until(lambda: another in self.keys_of("guest"), PATIENCE, "another account")
        self.vm.set_attribute("ssh-keys", f"guest:{another}")
        self.vm.wait_until(
            lambda: self.key not in self.keys_of("visitor"), PATIENCE, "the key to be taken away"
        )
        self.vm.run(["systemctl", "stop", "guest-agent"])
        said = self.vm.journal("guest-agent")
        self.assertIn("GCE Agent Started", said)
        self.assertNotIn("rror watching metadata", said)

    # cloud-init

    def test_7_cloud_init_takes_identity_keys_and_user_data(self):
        self.vm.set_attribute("ssh-keys", f"visitor:{self.key}\ndebian:{self.key}")
        self.vm.run(["apt-get", "-q", "update"], timeout=PATIENCE)
        install = ["apt-get", "-qy", "--no-install-recommends", "install", "cloud-init"]
        self.vm.run(install, timeout=PATIENCE)
        settings = self.vm.root / "etc/cloud/cloud.cfg.d/99_stand_in.cfg"
        settings.write_text(CLOUD_CONFIG)
        stubs = self.vm.root / "opt/machine-kind"
        stubs.mkdir()
        for program, text in MACHINE_KIND.items():
            (stubs / program).write_text(text)
            (stubs / program).chmod(0o755)
        for stage in STAGES:
            # A first process without systemd-nspawn's mark: this is to look like a machine.
            self.vm.run(
                ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c"]
                + [f"PATH=/opt/machine-kind:$PATH; cloud-init {stage}; exit $?"],
                timeout=PATIENCE,
            )
        found = self.vm.run(["cat", "/run/cloud-init/instance-data.json"]).stdout
        known = json.loads(found)["v1"]
        self.assertEqual(known["cloud_name"], "gce")
        self.assertEqual(known["instance_id"], str(self.vm.metadata.get("instance/id")))
        self.assertEqual(known["availability_zone"], "us-central1-a")
        self.assertEqual(known["region"], "us-central1")
        self.assertEqual(known["local_hostname"], "vm-1")
        self.assertEqual(known["public_ssh_keys"], [self.key])
        self.assertEqual(self.vm.run(["cloud-init", "query", "region"]).stdout, "us-central1\n")
        for name, text in (("was-here", "written"), ("ran", "run\n")):
            path = self.vm.root / f"var/lib/cloud-config-{name}"
            self.assertEqual(path.read_text(), text)
        keys = (self.vm.root / "home/debian/.ssh/authorized_keys").read_text()
        self.assertIn(self.key, keys)
        self.assertEqual(self.host_keys(), self.told_host_keys())

    # What they left

    def traces(self, count) -> list[str]:
        def ran():
            done = self.vm.run(["cat", TRACE], check=False).stdout.split()
            return done if len(done) >= count else None

        return self.vm.wait_until(ran, PATIENCE, f"{count} scripts to have run")

    def keys_of(self, user) -> str:
        return self.vm.run(["cat", f"/home/{user}/.ssh/authorized_keys"], check=False).stdout

    def host_keys(self) -> dict[str, str]:
        """Without the DSA key: cloud-init makes one and publishes it to nobody."""
        files = (self.vm.root / "etc/ssh").glob("ssh_host_*_key.pub")
        keys = dict(file.read_text().split()[:2] for file in files)
        keys.pop("ssh-dss", None)
        return keys

    def told_host_keys(self) -> dict[str, str]:
        told = self.vm.guest_attributes()
        return {
            path.removeprefix("hostkeys/"): value
            for path, value in told.items()
            if path.startswith("hostkeys/")
        }


def _key(comment: str) -> str:
    """A new public key."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "key"
        testbed._keygen(path, comment)
        return path.with_suffix(".pub").read_text().strip()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("test_clients: must be run as root, because it makes a VM")
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
