#!/usr/bin/python3
"""Proves the stand-in VM: it behaves as a VM does, and nothing of it outlives its owner."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import keeper
import network
from vm import CommandFailed, Vm, VmFailed, stop_kept

OWNER = """
import sys, time
sys.path.insert(0, {testbed!r})
from vm import Vm
vm = Vm()
vm.start()
if {stay}: vm.stay()
print(vm.label, flush=True)
if not {stay}: time.sleep(600)
"""
STARTUP_SCRIPT = """#!/bin/sh
curl -sS -X PUT --data "ran" -H "Metadata-Flavor: Google" \
    http://metadata.google.internal/computeMetadata/v1/instance/guest-attributes/script/state
"""


class TwoVms(unittest.TestCase):
    """What a VM can do, with two of them up."""

    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile("w") as script:
            script.write(STARTUP_SCRIPT)
            script.flush()
            cls.one = Vm(name="vm-1", bootstrap=script.name, config="schema = 1\n")
            cls.addClassCleanup(cls.one.stop)
            cls.one.start()
        cls.two = Vm(name="vm-2")
        cls.addClassCleanup(cls.two.stop)
        cls.two.start()

    def test_systemd_has_nothing_to_complain_about(self):
        for vm in (self.one, self.two):
            failed = vm.run(["systemctl", "--failed", "--no-legend", "--plain"]).stdout
            self.assertEqual((vm.systemd_state(), failed), ("running", ""))

    def test_each_has_its_own_name_and_address(self):
        for vm, name in ((self.one, "vm-1"), (self.two, "vm-2")):
            self.assertEqual(vm.ssh("someone", ["hostname"]).stdout.strip(), name)
        self.assertNotEqual(self.one.address, self.two.address)
        self.two.ssh("someone", ["ping", "-c1", "-W5", self.one.address])

    def test_admin_may_use_sudo_and_someone_may_not(self):
        done = self.one.ssh("admin", ["sudo", "-n", "id", "-u"])
        self.assertEqual(done.stdout.strip(), "0")
        with self.assertRaises(CommandFailed):
            self.one.ssh("someone", ["sudo", "-n", "id", "-u"])

    def test_metadata_answers_inside(self):
        url = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/agent-config"
        done = self.one.ssh("someone", ["curl", "-sSf", "-H", "Metadata-Flavor: Google", url])
        self.assertEqual(done.stdout, "schema = 1\n")

    def test_google_runs_the_startup_script(self):
        state = self.one.wait_until(
            lambda: self.one.guest_attributes().get("script/state"), 30, "the startup script"
        )
        self.assertEqual(state, "ran")

    def test_an_authorized_user_gets_in_by_ssh(self):
        self.two.run(["useradd", "--create-home", "--shell", "/bin/bash", "jupyter"])
        self.two.authorize("jupyter")
        self.assertEqual(self.two.ssh("jupyter", ["id", "-un"]).stdout.strip(), "jupyter")

    def test_apt_and_pip_reach_their_registries(self):
        vm = self.two
        vm.run(["apt-get", "-q", "update"], timeout=300)
        vm.run(["apt-get", "-qy", "install", "python3-venv"], timeout=300)
        vm.ssh("someone", ["python3", "-m", "venv", "env"])
        vm.ssh("someone", ["env/bin/pip", "install", "-q", "uv"], timeout=300)
        trusting = "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
        install = ["env/bin/uv", "pip", "install", "-q", "--python", "env/bin/python", "six"]
        vm.ssh("someone", ["env", trusting, *install], timeout=300)
        vm.ssh("someone", ["env/bin/python", "-c", "import six"])

    def test_a_reboot_keeps_the_disk_and_changes_boot_id(self):
        before = self.one.boot_id()
        self.one.ssh("someone", ["touch", "kept"])
        self.one.reboot()
        self.one.ssh("someone", ["test", "-e", "kept"])
        self.assertNotEqual(self.one.boot_id(), before)

    def test_a_crash_keeps_the_disk(self):
        self.two.ssh("someone", ["touch", "kept"])
        self.two.kill()
        self.assertFalse(self.two.is_running())
        self.two.boot()
        self.two.ssh("someone", ["test", "-e", "kept"])

    def test_a_vm_that_was_shut_down_boots_again(self):
        self.two.poweroff()
        self.assertFalse(self.two.is_running())
        self.two.boot()


class NothingOutlivesItsOwner(unittest.TestCase):
    def own(self, stay=False):
        text = OWNER.format(testbed=str(pathlib.Path(__file__).resolve().parent), stay=stay)
        owner = subprocess.Popen(
            ["/usr/bin/python3", "-c", text], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(owner.stdout.close)
        label = owner.stdout.readline().strip()
        self.assertTrue(label, "the owner's VM did not start")
        return owner, label

    def assert_gone(self, label):
        self.eventually(lambda: traces(label) == [], lambda: f"left behind: {traces(label)}")

    def eventually(self, condition, complaint):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline, complaint())
            time.sleep(0.05)

    def test_when_it_is_killed(self):
        owner, label = self.own()
        self.assertNotEqual(traces(label), [])
        owner.kill()
        owner.wait()
        self.assert_gone(label)

    def test_when_its_keeper_is_killed_the_processes_die_and_the_next_vm_sweeps(self):
        owner, label = self.own()
        state = keeper.VMS / label / "state.json"
        os.kill(int(state.read_text().split('"keeper": ')[1].split(",")[0]), signal.SIGKILL)
        self.eventually(lambda: not processes(label), lambda: f"alive: {processes(label)}")
        owner.kill()
        owner.wait()
        with Vm():
            pass
        self.assert_gone(label)

    def test_unless_it_was_told_to_stay(self):
        owner, label = self.own(stay=True)
        owner.wait()
        address = (network.Network(number(label)).host_address, keeper.WEB_PORT)
        socket.create_connection(address).close()
        stop_kept(label)
        self.assert_gone(label)
        with self.assertRaises(VmFailed):
            stop_kept(label)


def number(label):
    return int(label.removeprefix("vm"))


def processes(label):
    """What runs in the VM's control groups or on its files."""
    group = f"/agent-testbed-{label}/"
    files = f"{keeper.VMS / label}/"
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            about = (process / "cgroup").read_text() + (process / "cmdline").read_text()
        except OSError:
            continue
        if group in about or files in about:
            found.append(process.name)
    return found


def traces(label):
    """Everything of a VM that exists on this machine."""
    name = network.Network(number(label)).namespace
    subnet = network.Network(number(label)).subnet
    rules = output("iptables-save").splitlines()
    mounts = pathlib.Path("/proc/mounts").read_text().splitlines()
    found = [f"process {process}" for process in processes(label)]
    found += [f"rule {rule}" for rule in rules if name in rule or subnet in rule]
    found += [f"mount {mount}" for mount in mounts if f"{keeper.VMS / label}/" in mount]
    found += [f"namespace {name}"] * (name in output("ip", "netns").split())
    found += [f"link {name}"] * pathlib.Path("/sys/class/net", name).exists()
    found += [f"directory {label}"] * (keeper.VMS / label).exists()
    return found


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("test_vm: must be run as root, because it makes network namespaces and mounts")
    unittest.main(verbosity=2)
