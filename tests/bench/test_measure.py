"""Proves that a comparison is fair and that its line says what was found."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import measure


class Measuring(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.results = pathlib.Path(directory.name) / "build" / "bench.json"
        before, measure.RESULTS = measure.RESULTS, self.results
        self.addCleanup(setattr, measure, "RESULTS", before)
        self.called = []

    def number(self, who: str, found: list[float]):
        values = iter(found)

        def call() -> float:
            self.called.append(who)
            return next(values)

        return call

    def compare(self, ours: list[float], peer: list[float], **how) -> tuple[measure.Measured, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            found = measure.compare(
                *("it", self.number("ours", ours), self.number("peer", peer)),
                **{"runs": len(ours) - 1, "unit": "ms", "goal": 0.5, "better": "lower", **how},
            )
        return found, said.getvalue()

    def test_both_are_called_in_turns_and_the_first_of_each_does_not_count(self):
        found, _ = self.compare([1000, 1, 2, 3], [1000, 10, 10, 10])
        self.assertEqual(self.called, ["ours", "peer"] * 4)
        self.assertEqual((found.ours.median, found.ours.most, found.peer.most), (2, 3, 10))

    def test_the_ratio_is_taken_pair_by_pair(self):
        found, _ = self.compare([0, 1, 40, 9], [1, 2, 100, 10])
        self.assertEqual(
            (found.ratio.least, found.ratio.median, found.ratio.most), (0.4, 0.5, 0.9)
        )

    def test_the_line_has_every_number_and_whether_the_goal_is_met(self):
        _, line = self.compare([9, 3.14159, 3, 4], [9, 290, 300, 310], goal=0.02)
        self.assertEqual(
            line,
            "it  ours 3.14 [3-4] ms  peer 300 [290-310] ms  ratio 0.0108 (0.01-0.0129)"
            "  goal ≤ 0.02  met\n",
        )

    def test_a_missed_goal_is_said_and_kept(self):
        found, line = self.compare([1, 9], [1, 10])
        self.assertFalse(found.met)
        self.assertTrue(line.endswith("goal ≤ 0.5  missed\n"), line)
        self.assertFalse(json.loads(self.results.read_text())["it"]["met"])

    def test_where_more_is_better_the_goal_must_be_reached(self):
        found, line = self.compare([1, 9], [1, 10], goal=0.8, better="higher", unit="MB/s")
        self.assertTrue(found.met)
        self.assertIn("ratio 0.9 (0.9-0.9)  goal ≥ 0.8  met", line)

    def test_a_limit_stands_beside_the_ratio(self):
        found, line = self.compare([1, 120], [1, 1400], goal=0.5, limit=100)
        self.assertFalse(found.met)
        self.assertIn("ours 120 [120-120] ms  goal ≤ 100 ms  missed  peer", line)
        self.assertTrue(line.endswith("goal ≤ 0.5  met\n"), line)

    def test_a_number_without_a_peer_is_held_against_its_limit(self):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            found = measure.hold("cpu", self.number("ours", [99, 40, 45]), 2, "ms", limit=50)
        self.assertTrue(found.met)
        self.assertEqual(said.getvalue(), "cpu  ours 42.5 [40-45] ms  goal ≤ 50 ms  met\n")

    def test_what_was_measured_before_under_other_names_is_kept(self):
        self.compare([1, 1], [1, 1])
        with contextlib.redirect_stdout(io.StringIO()):
            measure.hold("cpu", lambda: 1.0, 1, "ms", limit=50)
        kept = json.loads(self.results.read_text())
        self.assertEqual(set(kept), {"it", "cpu"})
        self.assertEqual(kept["it"]["ratio"], {"median": 1, "least": 1, "most": 1})
        self.assertTrue(kept["it"]["commit"])


if __name__ == "__main__":
    unittest.main()
