#!/usr/bin/python3
"""Owns the catalogue of faults: which tests provoke each of them, or why none can.

usage: catalogue.py BUILD_DIRECTORY UNIT_TESTS

Checks that every test named here exists, in ctest's list, among Catch2's cases or in a file below
tests/e2e, and prints how many rows are covered.

    ctest NAME       a whole test of ctest's
    unit CASE        a case of unit_tests
    e2e FILE TEST    a method in tests/e2e/FILE.py
"""

import json
import pathlib
import re
import subprocess
import sys

E2E = pathlib.Path(__file__).resolve().parent.parent / "e2e"

# row: (fault, tests, why there are none or what is left to others)
ROWS: dict[str, tuple[str, list[str], str]] = {
    "F01": ("the agent is killed at any call", ["ctest crash_kill"], ""),
    "F02": (
        "the agent is killed, its child is not",
        [
            "ctest crash_kill",
            "e2e interrupted test_4_the_agent_is_killed",
            "e2e interrupted test_5_an_agent_that_was_started_by_hand_is_killed",
            "e2e bad_place test_a_machine_in_a_bad_place",
            "unit process: orphans that came to us are reaped, our own children are left alone",
        ],
        "",
    ),
    "F03": ("the power is cut", ["ctest crash_power_replay", "ctest crash_power_cuts"], ""),
    "F04": (
        "it is told to stop during a long step",
        [
            "e2e interrupted test_1_the_agent_is_stopped",
            "e2e interrupted test_2_the_machine_is_rebooted",
            "e2e interrupted test_3_the_machine_is_preempted",
            "e2e apt_field test_11_a_script_that_hangs_when_the_machine_is_to_stop",
            "unit engine: a stop unwinds every step, waits for each, and blames none",
            "unit process: a stop ends the whole group and unwinds",
        ],
        "",
    ),
    "F05": (
        "two agents at once",
        [
            "e2e interrupted test_6_twenty_more_are_started",
            "e2e bad_input test_6_who_is_not_root_and_who_comes_second",
            "unit lock: the second process learns who holds it",
            "unit lock: it is free again when its holder was killed",
        ],
        "",
    ),
    "F06": (
        "the state is corrupt",
        [
            "ctest crash_bad_state",
            "unit ledger: what cannot be read is set aside, kept and told, and its step was never done",
            "unit ledger: three corrupt files are kept, the next one takes the place of the last",
            "unit ledger: members of another type count as absent",
            "unit ledger: what is no file of ours is set aside as well",
        ],
        "",
    ),
    "F07": (
        "the state is another instance's",
        [
            "e2e born_from_image test_packages_stay_and_secrets_do_not",
            "e2e metadata_faults test_7_a_boot_without_the_server_goes_on_with_the_disk",
            "unit engine: another instance makes anew what is of the instance, and only that",
            "unit engine: an instance whose id is not known is never another one",
        ],
        "",
    ),
    "F08": ("the state is a newer agent's", ["ctest crash_bad_state"], ""),
    "F09": (
        "a plan that can never succeed",
        [
            "e2e interrupted test_a_plan_that_cannot_succeed",
            "unit engine: what is transient is tried again, later and later, until its attempts end",
            "unit engine: what trying again will not help is not tried again",
        ],
        "",
    ),
    "F10": ("a child, a kernel or the agent is killed for its memory", ["ctest crash_guest"], ""),
    "F11": (
        "the disk is full",
        [
            "ctest crash_full_disk",
            "ctest crash_errors",
            "e2e apt test_7_a_disk_that_is_too_small",
        ],
        "",
    ),
    "F12": (
        "the disk has no inodes left",
        [
            "ctest crash_full_disk",
            "unit disk_space: files need inodes, where they are counted",
        ],
        "",
    ),
    "F13": (
        "the disk is read-only",
        [
            "ctest crash_full_disk",
            "unit durable_write: a directory that may not be written leaves the old file and no other",
        ],
        "",
    ),
    "F14": (
        "EIO",
        [
            "ctest crash_errors",
            "unit durable_write: a write cut short leaves the old file and no other",
        ],
        "",
    ),
    "F15": ("writes are short or interrupted", ["ctest crash_errors", "ctest crash_short_writes"], ""),
    "F16": (
        "/tmp is tiny and executes nothing",
        [
            "ctest crash_full_disk",
            "e2e bad_place test_a_machine_in_a_bad_place",
            "unit scratch: a place that is the user's alone, empty, and gone afterwards",
        ],
        "",
    ),
    "F17": (
        "the metadata server refuses for a while",
        [
            "e2e metadata_faults test_3_every_fault_is_named_and_then_forgotten",
            "e2e metadata_faults test_4_a_bad_moment_passes_by_itself",
        ],
        "",
    ),
    "F18": (
        "the metadata server is silent, slow or drips",
        [
            "e2e metadata_faults test_2_a_server_that_says_nothing_is_waited_for_aloud",
            "e2e metadata_faults test_3_every_fault_is_named_and_then_forgotten",
            "unit http client: no answer within the deadline is a transient error",
        ],
        "",
    ),
    "F19": (
        "the metadata server's answer is cut",
        [
            "e2e metadata_faults test_3_every_fault_is_named_and_then_forgotten",
            "unit http client: an answer that is cut short is a transient error",
        ],
        "",
    ),
    "F20": (
        "the metadata server's answer is garbage",
        [
            "e2e metadata_faults test_3_every_fault_is_named_and_then_forgotten",
            "unit http client: an answer over the limits is a transient error",
            "unit gce metadata: what is no good answer says whether to try again",
        ],
        "",
    ),
    "F21": (
        "it is no metadata server, or has no configuration",
        [
            "e2e bad_input test_1_no_config",
            "unit gce metadata: what is not GCE's server is a permanent error",
        ],
        "",
    ),
    "F22": (
        "the metadata server's name leads nowhere",
        ["unit gce metadata: its place is a numeric address with or without a port"],
        "",
    ),
    "F23": (
        "the configuration changes during the run",
        [
            "e2e interrupted test_8_the_configuration_changes_as_it_runs",
            "unit gce metadata: one recursive read gives all facts, the id with every digit",
        ],
        "",
    ),
    "F24": (
        "guest attributes are refused",
        [
            "e2e interrupted test_9_guest_attributes_are_refused",
            "unit guest attribute writer: says that guest attributes are off",
            "unit guest attributes: a write that found nobody is tried again, ever more rarely",
        ],
        "",
    ),
    "F25": (
        "the link comes up late",
        [
            "e2e bad_place test_a_machine_in_a_bad_place",
            "unit fetching: what did not get through is told with what the machine lacks for it",
        ],
        "",
    ),
    "F26": ("names are not resolved", ["e2e bad_place test_a_machine_in_a_bad_place"], ""),
    "F27": ("the link is slow and loses packets", ["ctest crash_guest", "ctest e2e_downloads"], ""),
    "F28": ("a download is cut", ["ctest e2e_downloads"], ""),
    "F29": (
        "a download is not what it should be",
        [
            "ctest e2e_downloads",
            "unit uv_tool: bytes that are not the pinned ones are not executed, nor kept",
        ],
        "",
    ),
    "F30": ("the server's certificate is not to be trusted", ["ctest e2e_downloads"], ""),
    "F31": ("the clock is wrong", ["ctest crash_guest"], ""),
    "F32": (
        "others hold the locks of apt and dpkg",
        [
            "e2e apt test_3_other_users_of_apt_and_what_they_left",
            "e2e apt_field test_04_somebody_holds_the_front_end_s_lock",
            "unit apt_packages: whoever holds a lock is waited for ten minutes, and named",
        ],
        "",
    ),
    "F33": (
        "dpkg was interrupted",
        [
            "e2e apt test_3_other_users_of_apt_and_what_they_left",
            "e2e apt_field test_05_a_dpkg_that_is_killed_as_it_unpacks",
            "e2e apt_field test_06_a_dpkg_that_is_killed_as_it_configures",
        ],
        "",
    ),
    "F34": (
        "conda's installer or pip is killed half way",
        [
            "ctest crash_kill",
            "e2e anaconda test_an_installer_that_is_cut_short_at_any_command",
            "e2e anaconda test_the_example_from_boot_to_jupyter_and_conda_over_ssh",
            "e2e bad_place test_a_machine_in_a_bad_place",
            "unit python: one of ours that never was finished is made again from nothing",
        ],
        "",
    ),
    "F35": (
        "pip fails",
        [
            "e2e bad_input test_4_a_python_package_that_does_not_exist",
            "unit python_packages: what the installers say becomes a kind, in their own words",
        ],
        "",
    ),
    "F36": (
        "a child says too much, or leaves somebody with its output",
        [
            "e2e apt_field test_12_a_script_that_says_too_much",
            "unit process: lines of both outputs come, and an endless one is cut",
            "unit process: who holds the output open after the child's end is not waited for for ever",
        ],
        "",
    ),
    "F37": ("docker", [], "there is no such step yet"),
    "F38": ("git", [], "there is no such step yet"),
    "F39": ("gcsfuse", [], "there is no such step yet"),
    "F40": (
        "Jupyter hangs, ends or does not begin",
        [
            "e2e front test_nobody_is_refused_or_left_waiting",
            "unit jupyter: one that hangs is ended, by force if it must be",
            "unit jupyter: when it ends by itself systemd must start it again",
            "unit jupyter_unit: Jupyter that keeps dying is given up with its last words",
        ],
        "",
    ),
    "F41": (
        "Jupyter's configuration or the certificate is spoilt",
        [
            "e2e spoilt test_1_what_jupyter_lives_on",
            "e2e spoilt test_3_the_token",
            "e2e spoilt test_2_the_certificate",
            "e2e notebook_life test_10_what_the_user_writes_into_jupyters_configuration",
            "unit jupyter: a missing configuration is refused with its name",
            "unit tls: only a PEM with a key and its certificate is taken",
        ],
        "",
    ),
    "F42": (
        "the agent is replaced as it runs",
        ["e2e interrupted test_7_the_agent_is_replaced_as_it_runs"],
        "",
    ),
}
ALL = [f"F{number:02}" for number in range(1, 43)]


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 64
    known = known_tests(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    unknown = [
        f"{row}: there is no {test}"
        for row, (_, tests, _) in ROWS.items()
        for test in tests
        if test not in known
    ]
    unknown += [f"{row} is no row" for row in ROWS if row not in ALL]
    unknown += [
        f"{row}: neither a test nor a reason"
        for row, (_, tests, why) in ROWS.items()
        if not tests and not why
    ]
    for row in ALL:
        fault, tests, why = ROWS.get(row, ("", [], "no test is named yet"))
        if not tests:
            print(f"{row} is not covered: {fault or 'it'}: {why}")
        elif why:
            print(f"{row} is covered, but for this: {why}")
    covered = sum(bool(tests) for _, tests, _ in ROWS.values())
    print(f"{covered} of {len(ALL)} rows covered, by {len(named())} tests")
    print("\n".join(unknown), file=sys.stderr)
    return 1 if unknown else 0


def named() -> set[str]:
    return {test for _, tests, _ in ROWS.values() for test in tests}


def known_tests(build: pathlib.Path, unit_tests: pathlib.Path) -> set[str]:
    listed = output(["ctest", "--test-dir", str(build), "--show-only=json-v1"])
    known = {f"ctest {test['name']}" for test in json.loads(listed)["tests"]}
    cases = output([str(unit_tests), "--list-tests", "--verbosity", "quiet"])
    known |= {f"unit {case}" for case in cases.splitlines()}
    for file in E2E.glob("*.py"):
        if f"ctest e2e_{file.stem}" in known:
            for test in re.findall(r"^    def (test_\w+)\(self", file.read_text(), re.M):
                known.add(f"e2e {file.stem} {test}")
    return known


def output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
