"""Owns the proof of block_log.py, on logs that are written here."""

import pathlib
import struct
import tempfile
import unittest

from block_log import BLOCK, MAGIC, SECTOR, BlockLog, Broken, Cut, Disks

FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
DISK = 16 * BLOCK


def entry(sector=0, data=b"", flags=0, sectors=None, text=b""):
    count = len(data) // SECTOR if sectors is None else sectors
    header = struct.pack("<QQQQ", sector, count, flags, len(text)) + text
    return header.ljust(SECTOR, b"\0") + data


def blocks(*letters):
    return b"".join(letter.encode() * BLOCK for letter in letters)


class Logs(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)

    def log(self, *entries, count=None):
        path = self.directory / "log"
        head = struct.pack("<QQQI", MAGIC, 1, len(entries) if count is None else count, SECTOR)
        path.write_bytes(head.ljust(SECTOR, b"\0") + b"".join(entries))
        return BlockLog(path)

    def disk(self, log, cut, seed=1, untouched=bytes(DISK)):
        base = self.directory / "base"
        base.write_bytes(untouched)
        disks = Disks(base, log, seed)
        disks.make(cut, self.directory / "disk")
        return (self.directory / "disk").read_bytes()

    def test_a_flush_keeps_what_was_written_before_it(self):
        log = self.log(
            entry(0, blocks("a")), entry(flags=FLUSH), entry(8, blocks("b")), entry(flags=FLUSH)
        )
        self.assertEqual([str(cut) for cut in log.flush_cuts()], ["0/flush", "1/flush", "2/flush"])
        self.assertEqual(self.disk(log, Cut(0, "flush")), bytes(DISK))
        self.assertEqual(self.disk(log, Cut(1, "flush")), blocks("a").ljust(DISK, b"\0"))
        self.assertEqual(self.disk(log, Cut(2, "flush")), blocks("a", "b").ljust(DISK, b"\0"))

    def test_a_flush_with_data_comes_before_its_data(self):
        log = self.log(entry(0, blocks("a")), entry(8, blocks("b"), FLUSH))
        self.assertEqual([len(epoch) for epoch in log.epochs], [1, 1])

    def test_two_flushes_in_a_row_leave_one_disk(self):
        log = self.log(entry(0, blocks("a")), entry(flags=FLUSH), entry(flags=FLUSH))
        self.assertEqual(len(log.flush_cuts()), 2)

    def test_a_write_with_fua_is_kept_by_every_cut(self):
        log = self.log(entry(0, blocks("a")), entry(8, blocks("b"), FUA), entry(16, blocks("c")))
        for cut in [*log.flush_cuts()[:1], *log.other_cuts(5)]:
            self.assertEqual(self.disk(log, cut)[BLOCK : 2 * BLOCK], blocks("b"), cut)

    def test_some_keeps_a_later_write_without_an_earlier_one(self):
        log = self.log(*(entry(8 * number, blocks("x")) for number in range(8)))
        kept = {
            tuple(self.disk(log, cut)[BLOCK * at] > 0 for at in range(8))
            for cut in log.other_cuts(30)
            if cut.kind == "some"
        }
        self.assertTrue(any(not one[at] and one[at + 1] for one in kept for at in range(7)), kept)

    def test_order_keeps_the_first_writes(self):
        log = self.log(*(entry(8 * number, blocks("x")) for number in range(8)))
        for cut in log.other_cuts(30):
            if cut.kind == "order":
                there = [self.disk(log, cut)[BLOCK * at] > 0 for at in range(8)]
                self.assertEqual(there, sorted(there, reverse=True))
                self.assertTrue(there[0] and not there[7])

    def test_torn_keeps_whole_blocks_of_a_write(self):
        log = self.log(entry(4, blocks(*"abcdefgh")))
        seen = set()
        for cut in log.other_cuts(30):
            self.assertEqual(cut.kind, "torn")  # a single write has no other cut
            part = self.disk(log, cut)[4 * SECTOR : 4 * SECTOR + 8 * BLOCK]
            for at, letter in enumerate("abcdefgh"):
                self.assertIn(part[at * BLOCK : (at + 1) * BLOCK], (blocks(letter), bytes(BLOCK)))
            seen.add(part)
        self.assertGreater(len(seen), 10)

    def test_a_discard_leaves_zeros_and_a_mark_nothing(self):
        log = self.log(
            entry(flags=MARK, text=b"a word"), entry(sectors=8, flags=DISCARD), entry(flags=FLUSH)
        )
        full = blocks("x") * 16
        self.assertEqual(self.disk(log, Cut(1, "flush"), untouched=full), bytes(BLOCK) + full[BLOCK:])

    def test_the_same_seed_makes_the_same_disk_in_any_order(self):
        log = self.log(*(entry(8 * number, blocks("x")) for number in range(8)), entry(flags=FLUSH))
        cut = Cut.parse("0/some/3")
        base = self.directory / "base"
        base.write_bytes(bytes(DISK))
        disks = Disks(base, log, 7)
        disks.make(Cut(1, "flush"), self.directory / "later")
        disks.make(cut, self.directory / "back")
        self.assertEqual((self.directory / "back").read_bytes(), self.disk(log, cut, seed=7))
        self.assertNotEqual(self.disk(log, cut, seed=7), self.disk(log, cut, seed=8))

    def test_what_is_no_log_or_is_cut_short_is_refused(self):
        with self.assertRaises(Broken):
            self.log(entry(0, blocks("a")), count=2)
        with self.assertRaises(Broken):
            self.log(entry(0, blocks("a"), sectors=16))
        (self.directory / "log").write_bytes(bytes(4096))
        with self.assertRaises(Broken):
            BlockLog(self.directory / "log")

    def test_a_write_behind_the_end_of_the_disk_is_refused(self):
        log = self.log(entry(DISK // SECTOR, blocks("a")), entry(flags=FLUSH))
        with self.assertRaises(Broken):
            self.disk(log, Cut(1, "flush"))


if __name__ == "__main__":
    unittest.main()
