"""Tests of the metadata emulator against the protocol facts that its header names."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import control
import metadata

V1 = "/computeMetadata/v1/"
DEADLINE = 5.0


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read().decode()

    @property
    def etag(self):
        return self.headers["ETag"]

    def json(self):
        return json.loads(self.body)


class EmulatorTestCase(unittest.TestCase):
    tree = {}

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.socket_path = os.path.join(directory.name, "control")
        self.log_path = os.path.join(directory.name, "log.jsonl")
        self.server = metadata.MetadataServer(
            metadata.default_tree(**self.tree),
            control_path=self.socket_path,
            log_path=self.log_path,
        )
        self.addCleanup(self.server.stop)
        self.control = control.Control(self.socket_path)

    def connect(self):
        connection = http.client.HTTPConnection(self.server.address, timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def ask(self, path, method="GET", body=None, flavor="Google", connection=None, **headers):
        """Asks for a path under v1/, or an absolute one."""
        if flavor is not None:
            headers["Metadata-Flavor"] = flavor
        target = path if path.startswith("/") else V1 + path
        connection = connection or self.connect()
        connection.request(method, target, body, headers)
        return Answer(connection.getresponse())

    def ask_in_background(self, path):
        """Returns once the emulator has the long poll waiting; the result() gives its answer."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.ask(path)))
        thread.start()
        self.assertTrue(self.server.await_polls(1, DEADLINE))

        def result():
            thread.join(DEADLINE)
            self.assertEqual(len(answers), 1)
            return answers[0]

        return result

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]


class AccessTest(EmulatorTestCase):
    def test_a_request_without_the_flavor_is_forbidden(self):
        for flavor in (None, "", "google"):
            answer = self.ask("instance/id", flavor=flavor)
            self.assertEqual(answer.status, 403)
            self.assertIn("Missing Metadata-Flavor:Google header.", answer.body)

    def test_a_forwarded_request_is_forbidden(self):
        answer = self.ask("instance/id", **{"X-Forwarded-For": "10.0.0.1"})
        self.assertEqual(answer.status, 403)

    def test_the_root_answers_a_probe_without_the_flavor(self):
        answer = self.ask("/", flavor=None)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Metadata-Flavor"], "Google")

    def test_answers_carry_google_s_headers(self):
        answer = self.ask("instance/name")
        self.assertEqual(answer.headers["Metadata-Flavor"], "Google")
        self.assertEqual(answer.headers["Server"], "Metadata Server for VM")
        self.assertEqual(answer.headers["Content-Type"], "application/text")
        self.assertIn("Date", answer.headers)

    def test_errors_are_html_and_carry_the_flavor(self):
        answer = self.ask("instance/nothing")
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.headers["Content-Type"], "text/html; charset=UTF-8")
        self.assertEqual(answer.headers["Metadata-Flavor"], "Google")

    def test_other_methods_are_refused(self):
        self.assertEqual(self.ask("instance/name", method="HEAD").status, 405)
        self.assertEqual(self.ask("instance/name", method="PUT", body="x").status, 405)
        self.assertEqual(self.ask("instance/name", method="POST", body="x").status, 405)

    def test_a_connection_is_kept_alive(self):
        connection = self.connect()
        self.ask("instance/name", connection=connection)
        first = connection.sock
        self.assertEqual(self.ask("instance/nothing", connection=connection).status, 404)
        self.assertEqual(self.ask("instance/name", connection=connection).body, "vm-1")
        self.assertIs(connection.sock, first)

    def test_a_connection_is_closed_on_request(self):
        answer = self.ask("instance/name", connection=self.connect(), Connection="close")
        self.assertEqual(answer.headers["Connection"], "close")
        with socket.create_connection(self.server._listen) as raw:
            raw.settimeout(DEADLINE)
            raw.sendall(b"GET / HTTP/1.1\r\nHost: metadata\r\nConnection: close\r\n\r\n")
            with raw.makefile("rb") as stream:
                self.assertTrue(stream.read().endswith(b"computeMetadata/\n"))


class TreeTest(EmulatorTestCase):
    tree = {
        "instance": {
            "attributes": {"startup-script": "#!/bin/sh\necho hi\n", "tags": "plain"},
            "tags": ["a", "b"],
            "network-interfaces": [
                {
                    "access-configs": [{"external-ip": "192.0.2.1", "type": "ONE_TO_ONE_NAT"}],
                    "forwarded-ips": ["192.0.2.9"],
                    "ip": "10.0.0.2",
                }
            ],
        }
    }

    def test_leaves_have_no_newline(self):
        self.assertEqual(self.ask("instance/name").body, "vm-1")
        self.assertEqual(
            self.ask("instance/attributes/startup-script").body, "#!/bin/sh\necho hi\n"
        )

    def test_the_id_keeps_its_64_bits(self):
        self.assertEqual(self.ask("instance/id").body, "13512546227574112017")
        self.assertEqual(self.ask("instance/id?alt=json").body, "13512546227574112017")
        self.assertEqual(self.ask("instance/?recursive=true").json()["id"], 13512546227574112017)

    def test_directories_are_listed_with_slashes(self):
        self.assertEqual(self.ask("").body, "instance/\nproject/\nuniverse/\n")
        self.assertEqual(
            self.ask("project/").body, "attributes/\nnumeric-project-id\nproject-id\n"
        )
        self.assertEqual(self.ask("instance/network-interfaces/").body, "0/\n")
        self.assertEqual(
            self.ask("instance/network-interfaces/0/").body, "access-configs/\nforwarded-ips/\nip\n"
        )
        self.assertEqual(
            self.ask("instance/network-interfaces/0/access-configs/0/external-ip").body, "192.0.2.1"
        )
        self.assertEqual(self.ask("project//project-id").body, "example-project")

    def test_a_directory_without_slash_redirects_and_keeps_the_query(self):
        for path in ("instance", "instance/network-interfaces/0", "instance/attributes"):
            answer = self.ask(path + "?foo=a%20b")
            self.assertEqual(answer.status, 301)
            self.assertEqual(
                answer.headers["Location"], f"http://{self.server.address}{V1}{path}/?foo=a%20b"
            )
        self.assertEqual(self.ask("/computeMetadata/v1").status, 301)

    def test_a_recursive_request_needs_no_slash(self):
        for path in ("instance/attributes", "instance/attributes/"):
            answer = self.ask(path + "?alt=json&recursive=true")
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            self.assertEqual(answer.json()["startup-script"], "#!/bin/sh\necho hi\n")

    def test_recursive_json_camel_cases_built_in_keys_only(self):
        whole = self.ask("?recursive=TRUE").json()
        self.assertEqual(whole["project"]["numericProjectId"], 123456789012)
        interface = whole["instance"]["networkInterfaces"][0]
        self.assertEqual(interface["accessConfigs"][0]["externalIp"], "192.0.2.1")
        self.assertEqual(interface["forwardedIps"], ["192.0.2.9"])
        self.assertIn("startup-script", whole["instance"]["attributes"])
        self.assertIn(
            "123456789012-compute@developer.gserviceaccount.com",
            whole["instance"]["serviceAccounts"],
        )

    def test_recursive_text_is_lines_of_path_and_value(self):
        answer = self.ask("instance/network-interfaces/?recursive=true&alt=text")
        self.assertEqual(answer.headers["Content-Type"], "application/text")
        self.assertEqual(
            answer.body,
            "0/access-configs/0/external-ip 192.0.2.1\n"
            "0/access-configs/0/type ONE_TO_ONE_NAT\n"
            "0/forwarded-ips/0 192.0.2.9\n"
            "0/ip 10.0.0.2\n",
        )

    def test_other_values_of_recursive_and_unknown_parameters_are_ignored(self):
        self.assertEqual(self.ask("instance/network-interfaces/?recursive=xyz").body, "0/\n")
        query = "?last_etag=abc&timeout_sec=5&foo=bar"
        self.assertEqual(self.ask("instance/name" + query).body, "vm-1")

    def test_lists_are_served_whole(self):
        self.assertEqual(self.ask("instance/tags").body, '["a","b"]')
        self.assertEqual(self.ask("instance/tags?alt=text").body, "a\nb\n")
        scopes = "instance/service-accounts/default/scopes"
        self.assertEqual(self.ask(scopes).body, "https://www.googleapis.com/auth/cloud-platform\n")
        self.assertEqual(self.ask(scopes + "/0").status, 404)
        self.assertEqual(self.ask("instance/attributes/tags").body, "plain")

    def test_a_leaf_as_json_is_a_scalar(self):
        answer = self.ask("instance/name?alt=json")
        self.assertEqual(answer.body, '"vm-1"')
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual(self.ask("instance/name?recursive=true").body, "vm-1")

    def test_the_token_is_json_and_never_in_a_recursive_answer(self):
        answer = self.ask("instance/service-accounts/default/token")
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual(set(answer.json()), {"access_token", "expires_in", "token_type"})
        self.assertNotIn("access-token", self.ask("?recursive=true").body)
        self.assertNotIn("access-token", self.ask("?recursive=true&alt=text").body)
        listing = self.ask("instance/service-accounts/default/").body
        self.assertEqual(listing, "aliases\nemail\nscopes\ntoken\n")

    def test_what_is_not_there_is_404(self):
        for path in (
            "foo",
            "project/bar",
            "instance/disks/x",
            "instance/disks/99",
            "instance/name/",
            "instance/name/x",
            "instance/attributes/missing",
            "instance/service-accounts/default/token/",
            "/computeMetadata/v2/",
            "/other",
        ):
            self.assertEqual(self.ask(path).status, 404, path)

    def test_directories_take_alt_and_wait_only_recursively(self):
        for query in ("alt=json", "alt=text", "wait_for_change=true"):
            self.assertEqual(self.ask("project/?" + query).status, 400, query)

    def test_the_etag_is_of_the_content(self):
        etag = self.ask("instance/name").etag
        self.assertRegex(etag, "^[0-9a-f]{16}$")
        self.assertEqual(self.ask("instance/name?alt=json").etag, etag)
        self.control.set("instance/name", "other")
        self.assertNotEqual(self.ask("instance/name").etag, etag)
        self.control.set("instance/name", "vm-1")
        self.assertEqual(self.ask("instance/name").etag, etag)
        listing = self.ask("instance/disks/").etag
        recursive = self.ask("instance/disks/?recursive=true").etag
        self.assertNotEqual(listing, recursive)
        self.assertEqual(self.ask("instance/disks/?recursive=true&alt=text").etag, recursive)
        self.assertIsNotNone(self.ask("/").etag)


class LongPollTest(EmulatorTestCase):
    tree = {"instance": {"attributes": {"agent-config": "one"}}}
    key = "instance/attributes/agent-config"

    def test_a_poll_ends_with_the_new_value(self):
        result = self.ask_in_background(self.key + "?wait_for_change=true")
        self.control.set(self.key, "two")
        self.assertEqual(result().body, "two")
        self.assertEqual(self.control.polls(), [])

    def test_a_recursive_poll_sees_keys_come_and_go(self):
        directory = "instance/attributes/?recursive=true&wait_for_change=true"
        result = self.ask_in_background(directory)
        self.control.set("instance/attributes/added", "x")
        self.assertEqual(result().json(), {"added": "x", "agent-config": "one"})
        result = self.ask_in_background(f"{directory}&last_etag={result().etag}")
        self.control.delete(self.key)
        self.assertEqual(result().json(), {"added": "x"})

    def test_a_poll_on_a_deleted_key_ends_with_404(self):
        result = self.ask_in_background(self.key + "?wait_for_change=TRUE")
        self.control.delete(self.key)
        self.assertEqual(result().status, 404)

    def test_a_poll_on_a_missing_key_does_not_wait(self):
        self.assertEqual(self.ask("instance/attributes/x?wait_for_change=true").status, 404)

    def test_another_change_does_not_end_a_poll(self):
        result = self.ask_in_background(self.key + "?wait_for_change=true")
        self.control.set("instance/attributes/other", "x")
        self.assertEqual(self.control.polls(), [V1 + self.key + "?wait_for_change=true"])
        self.control.set(self.key, "two")
        self.assertEqual(result().body, "two")

    def test_expiry_answers_the_unchanged_value(self):
        etag = self.ask(self.key).etag
        answer = self.ask(f"{self.key}?wait_for_change=true&last_etag={etag}&timeout_sec=1")
        self.assertEqual((answer.status, answer.body, answer.etag), (200, "one", etag))

    def test_a_different_last_etag_is_answered_at_once(self):
        answer = self.ask(self.key + "?wait_for_change=true&last_etag=NONE")
        self.assertEqual(answer.body, "one")

    def test_an_equal_last_etag_waits(self):
        etag = self.ask(self.key).etag
        result = self.ask_in_background(f"{self.key}?wait_for_change=true&last_etag={etag}")
        self.control.set(self.key, "two")
        self.assertNotEqual(result().etag, etag)

    def test_a_poll_is_forgotten_when_its_client_goes(self):
        connection = self.connect()
        target = V1 + self.key + "?wait_for_change=true"
        connection.request("GET", target, headers={"Metadata-Flavor": "Google"})
        self.assertTrue(self.server.await_polls(1, DEADLINE))
        connection.close()
        self.assertTrue(self.server.await_polls(0, DEADLINE))

    def test_stopping_drops_the_polls(self):
        connection = self.connect()
        target = V1 + self.key + "?wait_for_change=true"
        connection.request("GET", target, headers={"Metadata-Flavor": "Google"})
        self.assertTrue(self.server.await_polls(1, DEADLINE))
        self.server.stop()
        with self.assertRaises(ConnectionError):
            connection.getresponse()


class GuestAttributesTest(EmulatorTestCase):
    tree = {"instance": {"attributes": {"enable-guest-attributes": "TRUE"}}}
    state = "instance/guest-attributes/agent/state"

    def setUp(self):
        super().setUp()
        self.control.limit("guest-queries", [])

    def put(self, path, value):
        return self.ask(path, method="PUT", body=value).status

    def test_what_is_put_can_be_read_inside_and_outside(self):
        self.assertEqual(self.put(self.state, "ready"), 200)
        self.assertEqual(self.ask(self.state).body, "ready")
        self.assertEqual(self.ask("instance/guest-attributes/").body, "agent/\n")
        self.assertEqual(self.ask("instance/guest-attributes/agent/").body, "state\n")
        self.put("instance/guest-attributes/hostkeys/ssh-rsa", "AAAA")
        self.assertEqual(
            self.ask("instance/guest-attributes/?recursive=true").json(),
            {"agent": {"state": "ready"}, "hostkeys": {"ssh-rsa": "AAAA"}},
        )
        self.assertEqual(
            self.control.guest_attributes(), {"agent/state": "ready", "hostkeys/ssh-rsa": "AAAA"}
        )

    def test_writing_does_not_change_what_stands_above(self):
        before = self.ask("instance/?recursive=true")
        self.put(self.state, "ready")
        after = self.ask("instance/?recursive=true")
        self.assertEqual(after.json()["guestAttributes"], {})
        self.assertEqual(after.etag, before.etag)

    def test_deleting(self):
        self.put(self.state, "ready")
        self.assertEqual(self.ask(self.state, method="DELETE").status, 200)
        self.assertEqual(self.ask(self.state).status, 404)
        self.assertEqual(self.ask(self.state, method="DELETE").status, 404)

    def test_switched_off_every_method_is_forbidden(self):
        for value in (None, "FALSE", "yes"):
            if value is None:
                self.control.delete("instance/attributes/enable-guest-attributes")
            else:
                self.control.set("instance/attributes/enable-guest-attributes", value)
            for method in ("GET", "PUT", "DELETE"):
                answer = self.ask(self.state, method=method, body="x")
                self.assertEqual(answer.status, 403)
                self.assertEqual(answer.body, "Guest attributes endpoint access is disabled.")
        self.assertEqual(self.control.guest_attributes(), {})

    def test_the_instance_wins_over_the_project(self):
        key = "attributes/enable-guest-attributes"
        self.control.set("project/" + key, "TRUE")
        self.control.set("instance/" + key, "FALSE")
        self.assertEqual(self.put(self.state, "x"), 403)
        self.control.delete("instance/" + key)
        self.assertEqual(self.put(self.state, "x"), 200)
        self.control.set("project/" + key, "FALSE")
        self.control.set("instance/" + key, "true")
        self.assertEqual(self.put(self.state, "x"), 200)

    def test_the_flavor_is_demanded(self):
        answer = self.ask(self.state, method="PUT", body="x", flavor=None)
        self.assertEqual(answer.status, 403)
        self.assertEqual(self.control.guest_attributes(), {})

    def test_sizes_are_limited(self):
        root = "instance/guest-attributes/"
        limit = metadata.GUEST_VALUE_LIMIT
        self.assertEqual(self.put(self.state, "v" * limit), 200)
        self.assertEqual(self.put(self.state, "v" * (limit + 1)), 413)
        self.assertEqual(self.put(root + "agent/" + "k" * 128, "x"), 200)
        self.assertEqual(self.put(root + "agent/" + "k" * 129, "x"), 400)
        self.assertEqual(self.put(root + "agent", "x"), 400)
        self.assertEqual(self.put(root + "agent/a/b", "x"), 400)

    def test_puts_are_journalled_in_order(self):
        self.put("instance/guest-attributes/agent/report", "{}")
        self.put(self.state, "ready")
        self.control.set("instance/attributes/enable-guest-attributes", "FALSE")
        self.put(self.state, "lost")
        puts = self.control.puts()
        self.assertEqual(
            [(put["path"], put["value"], put["status"]) for put in puts],
            [
                (V1 + "instance/guest-attributes/agent/report", "{}", 200),
                (V1 + self.state, "ready", 200),
                (V1 + self.state, "lost", 403),
            ],
        )
        times = [put["monotonic"] for put in puts]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.log(), puts)

    def test_every_request_is_logged(self):
        self.ask("instance/name?alt=json")
        (entry,) = self.log()
        self.assertEqual(entry["method"], "GET")
        self.assertEqual(entry["path"], V1 + "instance/name?alt=json")
        self.assertEqual(entry["status"], 200)
        self.assertTrue(entry["peer"].startswith("127.0.0.1:"))
        self.assertGreater(entry["time"], 0)
        self.assertNotIn("value", entry)


class RateTest(unittest.TestCase):
    def setUp(self):
        self.now = 1000.0
        self.rate = metadata.Rate(metadata.GUEST_QUERIES, clock=lambda: self.now)

    def take(self, count):
        return [self.rate.take() for _ in range(count)]

    def test_a_burst_is_three_and_a_minute_ten(self):
        self.assertEqual(self.take(4), [True, True, True, False])
        for _ in range(2):
            self.now += 1
            self.assertEqual(self.take(4), [True, True, True, False])
        self.now += 1
        self.assertEqual(self.take(2), [True, False])

    def test_what_is_refused_does_not_count(self):
        self.assertEqual(self.take(100).count(True), 3)
        self.now += 1
        self.assertEqual(self.take(3), [True, True, True])

    def test_a_minute_later_there_is_room_again(self):
        for _ in range(10):
            self.assertEqual(self.take(1), [True])
            self.now += 1
        self.now = 1059.9
        self.assertEqual(self.take(1), [False])
        self.now = 1060
        self.assertEqual(self.take(2), [True, False])

    def test_no_limit_is_no_limit(self):
        self.rate.set([])
        self.assertTrue(all(self.take(1000)))
        with self.assertRaises(ValueError):
            self.rate.set([(0, 1)])


class LimitTest(EmulatorTestCase):
    tree = {"instance": {"attributes": {"enable-guest-attributes": "TRUE"}}}
    state = "instance/guest-attributes/agent/state"

    def statuses(self, path, count, **how):
        return [self.ask(path, **how).status for _ in range(count)]

    def test_guest_attributes_are_limited_as_google_limits_them(self):
        self.control.limit("guest-queries", [[2, 3600]])
        self.assertEqual(self.statuses(self.state, 3, method="PUT", body="x"), [200, 200, 429])
        self.assertEqual(self.statuses(self.state, 1), [429])
        self.assertEqual([put["status"] for put in self.control.puts()], [200, 200, 429])
        self.assertEqual(self.statuses("instance/name", 20), [200] * 20)
        self.control.limit("guest-queries", [])
        self.assertEqual(self.statuses(self.state, 20, method="PUT", body="x"), [200] * 20)

    def test_they_are_limited_from_the_start(self):
        self.assertIn(429, self.statuses(self.state, 11, method="PUT", body="x"))

    def test_what_is_switched_off_is_not_counted(self):
        self.control.limit("guest-queries", [[1, 3600]])
        key = "instance/attributes/enable-guest-attributes"
        self.control.set(key, "FALSE")
        self.assertEqual(self.statuses(self.state, 3, method="PUT", body="x"), [403] * 3)
        self.control.set(key, "TRUE")
        self.assertEqual(self.statuses(self.state, 2, method="PUT", body="x"), [200, 429])

    def test_reads_are_limited_when_told(self):
        self.control.limit("reads", [[2, 3600]])
        self.assertEqual(self.statuses("instance/name", 3), [200, 200, 429])
        self.assertEqual(self.statuses(self.state, 1, method="PUT", body="x"), [200])

    def test_nonsense_is_refused(self):
        for what, limits in (("reads", [[0, 1]]), ("reads", [["x", 1]]), ("writes", [])):
            with self.assertRaises(control.ControlError):
                self.control.limit(what, limits)


class DownTest(EmulatorTestCase):
    def test_down_refuses_and_up_answers_again_at_the_same_place(self):
        kept = self.connect()
        self.ask("instance/name", connection=kept)
        self.control.down()
        self.control.down()
        with self.assertRaises(ConnectionRefusedError):
            self.ask("instance/name")
        with self.assertRaises((ConnectionError, http.client.HTTPException)):
            kept.auto_open = 0
            self.ask("instance/name", connection=kept)
        self.control.set("instance/name", "other")
        self.control.up()
        self.control.up()
        self.assertEqual(self.ask("instance/name").body, "other")

    def test_down_ends_the_long_polls(self):
        connection = self.connect()
        target = V1 + "instance/name?wait_for_change=true"
        connection.request("GET", target, headers={"Metadata-Flavor": "Google"})
        self.assertTrue(self.server.await_polls(1, DEADLINE))
        self.control.down()
        with self.assertRaises((ConnectionError, http.client.HTTPException)):
            connection.getresponse()
        self.assertTrue(self.server.await_polls(0, DEADLINE))

    def test_it_can_be_stopped_while_it_is_down(self):
        self.control.down()
        self.server.stop()


class FaultTest(EmulatorTestCase):
    tree = {"instance": {"attributes": {"enable-guest-attributes": "TRUE"}}}

    def test_a_status_is_answered_so_many_times(self):
        self.control.fault("instance/name", "status", 503, times=2)
        statuses = [self.ask("instance/name").status for _ in range(3)]
        self.assertEqual(statuses, [503, 503, 200])
        self.assertEqual([entry.get("fault") for entry in self.log()], ["status", "status", None])

    def test_only_matching_requests_are_disturbed_until_cleared(self):
        self.control.fault("alt=json", "status", 429)
        self.assertEqual(self.ask("instance/name").status, 200)
        self.assertEqual(self.ask("instance/name?alt=json").status, 429)
        self.control.clear_faults()
        self.assertEqual(self.ask("instance/name?alt=json").status, 200)

    def test_a_refused_put_is_not_stored(self):
        self.control.fault("guest-attributes", "status", 503, times=1)
        self.ask("instance/guest-attributes/agent/state", method="PUT", body="ready")
        self.assertEqual(self.control.guest_attributes(), {})
        self.assertEqual([put["status"] for put in self.control.puts()], [503])

    def test_no_flavor(self):
        self.control.fault("name", "no_flavor", times=1)
        answer = self.ask("instance/name")
        self.assertEqual((answer.status, answer.body), (200, "vm-1"))
        self.assertNotIn("Metadata-Flavor", answer.headers)

    def test_a_wrong_flavor(self):
        self.control.fault("name", "wrong_flavor", times=1)
        self.assertEqual(self.ask("instance/name").headers["Metadata-Flavor"], "Goggle")
        self.control.fault("name", "wrong_flavor", "google", times=1)
        self.assertEqual(self.ask("instance/name").headers["Metadata-Flavor"], "google")

    def test_only_a_method_is_disturbed_when_told(self):
        state = "instance/guest-attributes/agent/state"
        self.control.fault("guest-attributes", "status", 503, method="PUT")
        self.assertEqual(self.ask(state, method="PUT", body="x").status, 503)
        self.assertEqual(self.ask(state).status, 404)

    def test_html_of_somebody_else(self):
        self.control.fault("name", "html", "<p>sign in", times=1)
        answer = self.ask("instance/name")
        self.assertEqual((answer.status, answer.body), (200, "<p>sign in"))
        self.assertNotIn("Metadata-Flavor", answer.headers)

    def test_a_cut_answer_is_shorter_than_promised(self):
        self.control.fault("name", "cut", times=1)
        with self.assertRaises(http.client.IncompleteRead):
            self.ask("instance/name")
        self.control.fault("name", "cut", 0, times=1)
        with self.assertRaises(ConnectionError):
            self.ask("instance/name")
        self.control.fault("name", "cut", "body", times=1)
        with self.assertRaises(http.client.IncompleteRead) as cut:
            self.ask("instance/name")
        self.assertEqual(cut.exception.partial, b"vm")
        self.control.fault("name", "cut", "headers", times=1)
        with socket.create_connection(self.server._listen) as raw:
            raw.settimeout(DEADLINE)
            request = f"GET {V1}instance/name HTTP/1.1\r\nMetadata-Flavor: Google\r\n\r\n"
            raw.sendall(request.encode())
            with raw.makefile("rb") as stream:
                answer = stream.read()
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertNotIn(b"\r\n\r\n", answer)

    def test_a_truncated_answer_keeps_its_word_about_the_length(self):
        self.control.fault("instance", "truncated", times=1)
        answer = self.ask("instance/?recursive=true")
        self.assertEqual(int(answer.headers["Content-Length"]), len(answer.body))
        with self.assertRaises(ValueError):
            answer.json()
        self.control.fault("instance", "truncated", 3, times=1)
        self.assertEqual(self.ask("instance/hostname").body, "vm-")

    def test_a_wrong_length(self):
        self.control.fault("name", "length", -2, times=1)
        self.assertEqual(self.ask("instance/name").body, "vm")
        self.control.fault("name", "length", 5, times=1)
        with self.assertRaises(http.client.IncompleteRead):
            self.ask("instance/name")

    def test_an_endless_answer(self):
        self.control.fault("name", "endless", times=1)
        connection = self.connect()
        connection.request("GET", V1 + "instance/name", headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        self.assertIsNone(answer.headers["Content-Length"])
        self.assertEqual(answer.read(400_000), b"vm-1" * 100_000)
        answer.close()
        self.assertEqual(self.ask("instance/name").body, "vm-1")

    def test_a_trickling_answer_is_the_right_one(self):
        self.control.fault("name", "trickle", 0.001, times=1)
        self.assertEqual(self.ask("instance/name").body, "vm-1")
    def test_a_slow_answer_is_the_right_one(self):
        self.control.fault("name", "slow", 0.05, times=1)
        self.assertEqual(self.ask("instance/name").body, "vm-1")
        self.assertEqual(self.log()[0]["fault"], "slow")

    def test_a_hanging_request_is_never_answered(self):
        self.control.fault("name", "hang")
        connection = http.client.HTTPConnection(self.server.address, timeout=0.2)
        self.addCleanup(connection.close)
        with self.assertRaises(TimeoutError):
            self.ask("instance/name", connection=connection)

    def test_nonsense_is_refused(self):
        wrong = [("explode", "x"), ("status", "("), ("status", "x"), ("slow", "x"), ("cut", "x")]
        for kind, path in wrong:
            with self.assertRaises(control.ControlError):
                self.control.fault(path, kind, "no number")


class ControlTest(EmulatorTestCase):
    def test_get_set_and_delete(self):
        self.control.set("project/attributes/new", "v")
        self.assertEqual(self.control.get("project/attributes/new"), "v")
        self.control.set("instance/network-interfaces/0/access-configs/0/external-ip", "192.0.2.8")
        answer = self.ask("instance/network-interfaces/0/access-configs/0/external-ip")
        self.assertEqual(answer.body, "192.0.2.8")
        self.control.delete("project/attributes/new")
        with self.assertRaisesRegex(control.ControlError, "not found"):
            self.control.get("project/attributes/new")
        with self.assertRaisesRegex(control.ControlError, "not found"):
            self.control.delete("project/attributes/new")

    def test_a_connection_takes_several_requests_and_survives_nonsense(self):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(DEADLINE)
            raw.connect(self.socket_path)
            raw.sendall(b'not json\n{"what": 1}\n{"get": "instance/name"}\n')
            with raw.makefile() as lines:
                answers = [json.loads(lines.readline()) for _ in range(3)]
        self.assertIn("error", answers[0])
        self.assertIn("error", answers[1])
        self.assertEqual(answers[2], "vm-1")

    def test_the_tree_given_is_not_changed(self):
        tree = metadata.default_tree()
        with metadata.MetadataServer(tree) as server:
            server.tree.set("instance/name", "changed")
        self.assertEqual(tree, metadata.default_tree())

    def test_overrides_are_merged_and_none_removes(self):
        tree = metadata.default_tree(instance={"name": "x", "service-accounts": None})
        self.assertEqual(tree["instance"]["name"], "x")
        self.assertNotIn("service-accounts", tree["instance"])
        self.assertIn("zone", tree["instance"])


class CommandLineTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.socket_path = self.directory / "control"
        tree = metadata.default_tree(instance={"name": "from-file"})
        (self.directory / "tree.json").write_text(json.dumps(tree), encoding="utf-8")
        self.command = [
            sys.executable,
            str(HERE / "metadata.py"),
            *("--listen", "127.0.0.1:0"),
            *("--tree", str(self.directory / "tree.json")),
            *("--control", str(self.socket_path)),
            *("--log", str(self.directory / "log.jsonl")),
        ]

    def start(self, command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_control(self, *arguments):
        command = [sys.executable, str(HERE / "control.py"), str(self.socket_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)

    def test_it_says_where_it_listens_and_ends_cleanly(self):
        process = self.start(self.command)
        word, address = process.stdout.readline().split()
        self.assertEqual(word, "listening")
        connection = http.client.HTTPConnection(address, timeout=DEADLINE)
        self.addCleanup(connection.close)
        connection.request("GET", V1 + "instance/name", headers={"Metadata-Flavor": "Google"})
        self.assertEqual(connection.getresponse().read(), b"from-file")

        config = self.directory / "agent.toml"
        config.write_text("schema = 1\n", encoding="utf-8")
        key = "instance/attributes/agent-config"
        self.assertEqual(self.run_control("set", key, f"@{config}").returncode, 0)
        self.assertEqual(self.run_control("get", key).stdout, "schema = 1\n\n")
        self.assertEqual(self.run_control("guest-attributes").stdout, "{}\n")
        self.assertEqual(self.run_control("get", "nowhere").returncode, 1)
        self.assertEqual(self.run_control("fault", "x", "slow", "--value", "1").returncode, 0)
        self.assertEqual(self.run_control("clear-faults").returncode, 0)
        self.assertEqual(self.run_control("limit", "reads", "100/60", "9/0.5").returncode, 0)
        self.assertEqual(self.run_control("down").returncode, 0)

        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(process.stdout.read(), "")
        self.assertFalse(self.socket_path.exists())
        self.assertEqual(len((self.directory / "log.jsonl").read_text().splitlines()), 1)

    def test_it_dies_with_its_parent(self):
        parent = self.start(
            [
                sys.executable,
                "-c",
                "import signal, subprocess, sys\n"
                "subprocess.Popen(sys.argv[1:])\n"
                "signal.pause()\n",
                *self.command,
                "--die-with-parent",
            ]
        )
        self.assertTrue(parent.stdout.readline().startswith("listening "))
        parent.kill()
        # The emulator shares this pipe: its end is the emulator's end.
        self.assertEqual(parent.stdout.read(), "")

    def test_a_taken_address_is_a_sentence(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            command = [*self.command, "--listen", address]
            result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "^metadata: .*in use\n$")


if __name__ == "__main__":
    unittest.main()
