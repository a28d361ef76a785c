"""Owns the record of a disk's life: what was written, when it was made durable, what a cut may leave.

QEMU's blklogwrites writes it in the format of Linux' dm-log-writes (drivers/md/dm-log-writes.c; read
by QEMU's block/blklogwrites.c), little-endian: a superblock (magic, version, number of entries, size
of a sector) and then entries (sector, number of sectors, flags, length of a mark's text), each in a
sector of its own and followed by its data.

A disk with a volatile cache keeps every write that was complete before a flush. Of those after the
last flush a power cut keeps any: none, all, some without regard to their order, and of one write any
of its blocks. A block, of 4 KiB on Google's disks, is written whole or not at all; ext4 relies on that
for its superblock. A write with FUA is kept as if a flush of it alone had followed.
"""

import dataclasses
import os
import pathlib
import random
import struct

MAGIC = 0x6A736677736872
SECTOR = 512
BLOCK = 4096
_SUPERBLOCK = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8


class Broken(Exception):
    """The log is not what its format says."""


@dataclasses.dataclass(frozen=True)
class Write:
    offset: int  # on the disk
    length: int
    at: int | None  # where its bytes are in the log; None: zeros
    durable: bool  # at once, by FUA


@dataclasses.dataclass(frozen=True)
class Cut:
    """A moment at which the power goes: after so many flushes, and what is kept of what came then.

    kind    flush (nothing later), order (the first writes later), some (any of them), torn (any
            blocks of them)
    number  of the cut among those of its kind at this flush
    """

    flush: int
    kind: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.flush}/{self.kind}" + (f"/{self.number}" if self.number else "")

    @classmethod
    def parse(cls, text: str) -> "Cut":
        flush, kind, *number = text.split("/")
        return cls(int(flush), kind, int(number[0]) if number else 0)


KINDS = ("order", "some", "torn")


class BlockLog:
    """A finished log. `epochs[k]` are the writes after k flushes and before the next one."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.epochs: list[list[Write]] = [[]]
        with open(path, "rb") as log:
            magic, version, count, size = _SUPERBLOCK.unpack(log.read(_SUPERBLOCK.size))
            if magic != MAGIC or version != 1 or size < SECTOR or size % SECTOR:
                raise Broken(f"{path} is no log of writes of version 1")
            end = os.fstat(log.fileno()).st_size
            at = size
            for number in range(count):
                log.seek(at)
                header = log.read(_ENTRY.size)
                if len(header) < _ENTRY.size:
                    raise Broken(f"{path} ends in entry {number} of {count}")
                sector, sectors, flags, _ = _ENTRY.unpack(header)
                at += size
                if flags & _MARK:
                    continue  # its text is in the entry's own sector
                length = sectors * size
                # A flush belongs before the data that its own entry carries.
                if flags & _FLUSH:
                    self._flush()
                if length:
                    here = None if flags & _DISCARD else at
                    write = Write(sector * size, length, here, bool(flags & _FUA))
                    self.epochs[-1].append(write)
                if here_is_data := length and not flags & _DISCARD:
                    at += length
                if here_is_data and at > end:
                    raise Broken(f"{path} ends in the data of entry {number} of {count}")

    def _flush(self) -> None:
        # A second flush in a row makes no other disk.
        if self.epochs[-1]:
            self.epochs.append([])

    @property
    def writes(self) -> int:
        return sum(map(len, self.epochs))

    @property
    def bytes(self) -> int:
        return sum(write.length for epoch in self.epochs for write in epoch)

    def flush_cuts(self) -> list[Cut]:
        """Every disk that a flush has left, the untouched one first."""
        return [Cut(flush, "flush") for flush in range(len(self.epochs))]

    def other_cuts(self, each: int) -> list[Cut]:
        """`each` cuts of every kind between two flushes. What each keeps depends on the seed."""
        return [
            Cut(flush, kind, number)
            for number in range(1, each + 1)
            for flush, epoch in enumerate(self.epochs)
            for kind in KINDS
            # One write, or one block, is kept or not: both are disks that a flush leaves.
            if len(epoch) > 1 or (kind == "torn" and epoch and epoch[0].length > BLOCK)
        ]

    def kept(self, cut: Cut, seed: int) -> list[tuple[Write, list[tuple[int, int]]]]:
        """What of the writes after the cut's flush is kept: each with its ranges of bytes."""
        epoch = self.epochs[cut.flush]
        chance = random.Random(f"{seed}/{cut}")
        share = chance.choice((0.1, 0.5, 0.9))
        first = chance.randrange(1, len(epoch)) if len(epoch) > 1 else 1
        kept = []
        for number, write in enumerate(epoch):
            whole = [(0, write.length)]
            if write.durable:
                kept.append((write, whole))
            elif cut.kind == "order":
                kept += [(write, whole)] if number < first else []
            elif cut.kind == "some":
                kept += [(write, whole)] if chance.random() < share else []
            elif cut.kind == "torn":
                blocks = range(0, write.length, BLOCK)
                some = [(at, at + BLOCK) for at in blocks if chance.random() < share]
                kept += [(write, some)] if some else []
        return kept


class Disks:
    """The disks that a log's cuts leave; made one after the other, quickest in the order of flushes."""

    def __init__(self, untouched: pathlib.Path, log: BlockLog, seed: int):
        self._log = log
        self._seed = seed
        self._untouched = Content.of(untouched)
        self._reset()

    def _reset(self) -> None:
        self._content = self._untouched.copy()
        self._flushed = 0

    def make(self, cut: Cut, path: pathlib.Path) -> None:
        """Writes the disk of a cut, with holes where it is empty."""
        if cut.flush < self._flushed:
            self._reset()
        with open(self._log.path, "rb") as log:

            def apply(content: Content, write: Write, ranges: list[tuple[int, int]]) -> None:
                data = bytes(write.length)
                if write.at is not None:
                    data = os.pread(log.fileno(), write.length, write.at)
                for begin, end in ranges:
                    content.put(write.offset + begin, data[begin:end])

            while self._flushed < cut.flush:
                for write in self._log.epochs[self._flushed]:
                    apply(self._content, write, [(0, write.length)])
                self._flushed += 1
            content = self._content.copy()
            for write, ranges in self._log.kept(cut, self._seed):
                apply(content, write, ranges)
        content.write_to(path)


class Content:
    """What a sparse disk holds: its blocks that were ever written to."""

    def __init__(self, size: int, blocks: dict[int, bytes]):
        self.size = size
        self._blocks = blocks

    @classmethod
    def of(cls, path: pathlib.Path) -> "Content":
        blocks = {}
        with open(path, "rb") as file:
            size, at = os.fstat(file.fileno()).st_size, 0
            while at < size:
                try:
                    at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break  # ENXIO: holes to the end
                number = at // BLOCK
                blocks[number] = os.pread(file.fileno(), BLOCK, number * BLOCK)
                at = (number + 1) * BLOCK
        return cls(size, blocks)

    def copy(self) -> "Content":
        return Content(self.size, dict(self._blocks))

    def put(self, offset: int, data: bytes) -> None:
        if offset + len(data) > self.size:
            raise Broken("the log writes behind the end of the disk")
        while data:
            number, begin = divmod(offset, BLOCK)
            piece = data[: BLOCK - begin]
            if len(piece) < BLOCK:
                old = self._blocks.get(number, bytes(BLOCK))
                self._blocks[number] = old[:begin] + piece + old[begin + len(piece) :]
            else:
                self._blocks[number] = piece
            offset += len(piece)
            data = data[len(piece) :]

    def write_to(self, path: pathlib.Path) -> None:
        path.unlink(missing_ok=True)
        empty = bytes(BLOCK)
        with open(path, "wb") as file:
            file.truncate(self.size)
            for number, block in self._blocks.items():
                if block != empty:
                    os.pwrite(file.fileno(), block, number * BLOCK)
