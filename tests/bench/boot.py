#!/usr/bin/python3
"""Measures what a set-up machine costs: a boot with nothing to do, Jupyter under us, `agent status`.

Everything runs in one VM, each beside what it replaces. The peers are cloud-init with Google's data
source, which also looks at every boot whether there is something to do, and the same JupyterLab, started
by hand. As root, after `tests/run bench` has built: tests/bench/boot.py
"""

import json
import os
import pathlib
import secrets
import sys
import time

import measure

sys.path.insert(0, str(measure.REPOSITORY / "tests" / "e2e"))
import support  # noqa: E402
from support import INSTALLED, PATIENCE, Vm  # noqa: E402

RUNS = 7
RUNS_OF_JUPYTER = 5
RUNS_OF_REBOOT = 3
PEER_STAGES = [
    ["init", "--local"],
    ["init"],
    ["modules", "--mode=config"],
    ["modules", "--mode=final"],
]

# Runs a program until a file says that the machine is ready; prints wall and CPU, both in ms. The CPU
# is the program's and that of all its children that have ended, as the kernel counts it.
START_UNTIL_READY = """
import json, os, signal, sys, time
status, *argv = sys.argv[1:]
if os.path.exists(status):
    os.unlink(status)
start = time.monotonic()
process = os.fork()
if process == 0:
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.execve(argv[0], argv, {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
state = None
while state != "ready":
    time.sleep(0.001)
    if os.waitpid(process, os.WNOHANG)[0] or time.monotonic() - start > 60:
        sys.exit(f"it is {state}")
    try:
        with open(status) as file:
            state = json.load(file)["state"]
    except FileNotFoundError:
        pass
wall = time.monotonic() - start
os.kill(process, signal.SIGKILL)
used = os.wait4(process, 0)[2]
print(1000 * wall, 1000 * (used.ru_utime + used.ru_stime))
"""

# Runs commands one after the other; prints wall and CPU of them together, both in ms.
RUN_ALL = """
import json, os, subprocess, sys, time
start, before = time.monotonic(), os.times()
for argv in json.loads(sys.argv[1]):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
after = os.times()
cpu = sum(after[2:4]) - sum(before[2:4])
print(1000 * (time.monotonic() - start), 1000 * cpu)
"""

# Runs an order to start Jupyter and asks at its socket until it answers; prints the seconds.
START_UNTIL_ANSWER = """
import http.client, json, socket, subprocess, sys, time
path, token, order = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
def answers():
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect(path)
        connection.request("GET", "/api/status", headers={"Authorization": f"token {token}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.sock.close()
start = time.monotonic()
ordered = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not answers():
    if time.monotonic() - start > 120:
        sys.exit("it does not answer")
    time.sleep(0.01)
print(time.monotonic() - start)
"""


def main() -> None:
    config = support.config(["jupyterlab"], support.make_password()[1])
    kept = support.artefacts("bench_boot")
    with Vm(bootstrap=support.BOOTSTRAP, config=config, artefacts=kept) as vm:
        state = vm.wait_settled(timeout=PATIENCE)["state"]
        if state != "ready":
            sys.exit(f"the VM is {state}: {vm.report()}")
        install_peer(vm)
        boot(vm)
        reboot(vm)
        status(vm)
        jupyter(vm)


def install_peer(vm: Vm) -> None:
    """cloud-init, set up as on GCE and through with its first boot; systemd does not start it here.

    Without a DHCP client it does less in its first stage than it does on GCE.
    """
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    vm.run(["apt-get", "-q", "update"], timeout=PATIENCE)
    install = ["apt-get", "-qy", "install", "--no-install-recommends", "cloud-init"]
    vm.run([*environment, *install], timeout=PATIENCE)
    settings = vm.root / "etc/cloud/cloud.cfg.d/90-bench.cfg"
    settings.write_text(
        "datasource_list: [GCE]\nlocale: false\nssh_deletekeys: false\nnetwork: {config: disabled}\n"
    )
    # It finds out where it is by the firmware's tables, which it does not believe in a container.
    source = vm.root / "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceGCE.py"
    text = source.read_text()
    told = text.replace('dmi.read_dmi_data("system-product-name")', '"Google Compute Engine"')
    if told == text:
        sys.exit(f"{source.name} of this cloud-init asks in another way where it is")
    source.write_text(told)
    run_python(vm, RUN_ALL, json.dumps(peer_stages()))
    # Else a reboot would have both at work at the same time.
    vm.run(["touch", "/etc/cloud/cloud-init.disabled"])


def peer_stages() -> list[list[str]]:
    return [["/usr/bin/cloud-init", *stage] for stage in PEER_STAGES]


def boot(vm: Vm) -> None:
    """The agent's own part of a boot: Jupyter and the front are up, so that it waits for nobody.

    From the daemon's exec to `ready` in status.json: the metadata, the configuration, every step's look
    at the machine and the probe through the front. Not in it: what systemd does before the exec, and
    Jupyter's own start, beside which the daemon waits at a real boot.
    """
    vm.run(["systemctl", "stop", "agent.service"])
    cpu: dict[str, list[float]] = {"ours": [], "peer": []}

    def ours() -> float:
        found = run_python(vm, START_UNTIL_READY, "/run/agent/status.json", INSTALLED, "run")
        cpu["ours"].append(found[1])
        return found[0]

    def peer() -> float:
        # What a boot finds: /run is empty, what is of this instance is known.
        vm.run(["rm", "-rf", "/run/cloud-init"])
        found = run_python(vm, RUN_ALL, json.dumps(peer_stages()))
        cpu["peer"].append(found[1])
        return found[0]

    measure.compare("a boot with nothing to do", ours, peer, RUNS, "ms", goal=None, limit=100)
    found = {who: iter(times) for who, times in cpu.items()}
    measure.compare(
        "its CPU",
        lambda: next(found["ours"]),
        lambda: next(found["peer"]),
        RUNS,
        "ms",
        goal=None,
        limit=50,
    )
    vm.run(["systemctl", "start", "agent.service"])
    vm.wait_until(lambda: support.status_json(vm).get("state") == "ready", PATIENCE, "ready")


def reboot(vm: Vm) -> None:
    """A real boot, beside everything else that starts: nothing is taken out of it.

    The CPU is the daemon's and its children's until `ready`, in the kernel's ticks of 10 ms. What the
    agent adds to the boot is the time from Jupyter's own READY to `ready`.
    """
    added: list[float] = []

    def cpu() -> float:
        vm.reboot(timeout=PATIENCE)
        if vm.wait_settled(timeout=PATIENCE)["state"] != "ready":
            sys.exit(f"after a reboot the VM is not ready: {vm.report()}")
        process = support.property_of(vm, "agent.service", "MainPID")
        ticks = vm.run(["cat", f"/proc/{process}/stat"]).stdout.rpartition(")")[2].split()[11:15]
        written = float(vm.run(["stat", "--format=%.9Y", "/run/agent/status.json"]).stdout)
        since_boot = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        up = support.property_of(vm, "agent-jupyter.service", "ActiveEnterTimestampMonotonic")
        added.append(1000 * (written - since_boot) - int(up) / 1000)
        return 1000 * sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    measure.hold("a reboot's CPU", cpu, RUNS_OF_REBOOT, "ms", limit=50)
    found = iter(added)
    measure.hold("from Jupyter's READY to ready", lambda: next(found), RUNS_OF_REBOOT, "ms", 100)


def status(vm: Vm) -> None:
    def seconds(*argv: str) -> float:
        return run_python(vm, RUN_ALL, json.dumps([argv]))[0]

    measure.compare(
        "agent status",
        lambda: seconds(INSTALLED, "status"),
        lambda: seconds("/usr/bin/cloud-init", "status"),
        RUNS,
        "ms",
        goal=1 / 50,
    )


def jupyter(vm: Vm) -> None:
    """From the order to start it to its first answer, which only this bench asks for."""
    token = vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
    bare = pathlib.PurePosixPath("/home/jupyter/bare.sock")
    bare_token = secrets.token_hex(32)
    as_user = ["/usr/bin/setpriv", "--reuid=jupyter", "--regid=jupyter", "--init-groups"]
    as_user += ["env", "HOME=/home/jupyter", "PATH=/opt/jupyter/bin:/usr/bin:/bin"]
    program = vm.run(["systemctl", "show", "-p", "ExecStart", "--value", "agent-jupyter"]).stdout
    program = program.split("--program ")[1].split()[0]
    bare_start = [program, "--no-browser", f"--ServerApp.sock={bare}"]
    bare_start += [f"--IdentityProvider.token={bare_token}"]

    def ours() -> float:
        vm.run(["systemctl", "stop", "agent-jupyter.service"])
        order = ["systemctl", "start", "--no-block", "agent-jupyter.service"]
        socket = "/run/agent-jupyter/jupyter.sock"
        found = run_python(vm, START_UNTIL_ANSWER, socket, token, json.dumps(order))[0]
        vm.wait_until(
            lambda: support.property_of(vm, "agent-jupyter.service", "ActiveState") == "active",
            PATIENCE,
            "agent-jupyter.service",
        )
        return found

    def peer() -> float:
        order = json.dumps([*as_user, *bare_start])
        found = run_python(vm, START_UNTIL_ANSWER, str(bare), bare_token, order)[0]
        vm.run(["pkill", "-TERM", "-f", f"ServerApp.sock={bare}"])
        vm.wait_until(
            lambda: vm.run(["pgrep", "-f", f"ServerApp.sock={bare}"], check=False).returncode,
            PATIENCE,
            "the bare Jupyter's end",
        )
        return found

    measure.compare("Jupyter's start", ours, peer, RUNS_OF_JUPYTER, "s", goal=1.1)


def run_python(vm: Vm, text: str, *arguments: str) -> list[float]:
    done = vm.run(["python3", "-c", text, *arguments], timeout=PATIENCE)
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    support.require_root()
    main()
