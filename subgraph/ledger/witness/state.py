"""What the witness has cosigned: a file that only grows.

After a first line that names the format, each line is a SHA-256 digest over the line before it
and its own record, a space, and the record as JSON: the cosigned note and the time. The chain
shows damage and careless edits. It is no defence against whoever can write the file: keep it
where the witnessed service cannot.
"""

import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.note import Checkpoint, read_note

logger = logging.getLogger(__name__)

_HEADER: Final = b"governance-subgraph witness state v1\n"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_LONGEST_LINE: Final = 262_144


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint and its note, with the log's signatures and the witness's."""

    checkpoint: Checkpoint
    note: str


class StateFile:
    """The open file; one process has it at a time."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._end = 0
        self._chain = hashlib.sha256(_HEADER).digest()
        self._latest: dict[str, Cosigned] = {}
        self._broken = False

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Lock the file and verify all of it; with `create`, make it first if there is none.

        A last line without an end is what a crash leaves of a write that nobody was told of; it
        is dropped. Raises `SubgraphError`: WITNESS_STATE_IN_USE, or WITNESS_STATE_INVALID when
        the file is missing, others can write it, or anything else in it is wrong.
        """
        if create and not path.exists():
            _create(path)
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            handle = os.open(path, flags)
        except FileNotFoundError:
            raise _invalid(
                path, "there is no such file; a first start makes it on demand"
            ) from None
        except OSError as error:
            raise _invalid(path, error.strerror or "it cannot be opened") from None
        state = cls(path, handle)
        try:
            state._lock()
            state._read()
        except BaseException:
            os.close(handle)
            raise
        return state

    def latest(self, origin: str) -> Cosigned | None:
        """What was cosigned last for this log."""
        return self._latest.get(origin)

    def origins(self) -> Iterator[str]:
        """The logs that something was cosigned for."""
        return iter(self._latest)

    def append(self, cosigned: Cosigned) -> None:
        """Add a record; it is on disk when this returns, which takes one fsync.

        Raises `SubgraphError` with WITNESS_STATE_INVALID when that cannot be said, now and from
        then on: after a failed fsync nobody knows what is on disk until the file is read anew.
        """
        record = _encode(cosigned, datetime.now(UTC))
        chain = hashlib.sha256(self._chain + record).digest()
        line = chain.hex().encode() + b" " + record + b"\n"
        try:
            self._check_place()
            # Until all of it has succeeded, the file is not what is known here.
            self._broken = True
            written = 0
            while written < len(line):
                written += os.write(self._handle, line[written:])
            os.fsync(self._handle)
        except OSError as error:
            raise _invalid(self._path, error.strerror or "it cannot be written") from None
        self._broken = False
        self._end += len(line)
        self._chain = chain
        self._latest[cosigned.checkpoint.origin] = cosigned

    def close(self) -> None:
        """Give the file back."""
        os.close(self._handle)

    def _check_place(self) -> None:
        status = os.fstat(self._handle)
        if self._broken or status.st_size != self._end:
            raise _invalid(self._path, "it was changed, or a write failed; start the witness again")
        if not os.path.samestat(status, self._path.lstat()):
            raise _invalid(self._path, "another file was put in its place")

    def _lock(self) -> None:
        status = os.fstat(self._handle)
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(self._path, "it is no regular file")
        if status.st_mode & _OTHERS_WRITE or status.st_uid != os.geteuid():
            raise _invalid(self._path, "other accounts can write it")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another witness runs on {self._path}"
            raise SubgraphError(ErrorCode.WITNESS_STATE_IN_USE, message) from None

    def _read(self) -> None:
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(0)
            if file.readline(len(_HEADER)) != _HEADER:
                raise _invalid(self._path, "its first line is wrong")
            self._end = len(_HEADER)
            number = 2
            while line := file.readline(_LONGEST_LINE):
                if not line.endswith(b"\n"):
                    self._drop_torn_line(len(line))
                    return
                self._take(line, number)
                self._end += len(line)
                number += 1

    def _take(self, line: bytes, number: int) -> None:
        digest, _, record = line[:-1].partition(b" ")
        chain = hashlib.sha256(self._chain + record).digest()
        if digest != chain.hex().encode():
            raise _invalid(self._path, f"line {number} does not continue the chain")
        try:
            cosigned = _decode(record)
        except (ValueError, TypeError, KeyError, VerificationFailed):
            raise _invalid(self._path, f"line {number} is no record") from None
        new, old = cosigned.checkpoint, self._latest.get(cosigned.checkpoint.origin)
        if old is not None and (
            new.size < old.checkpoint.size
            or (new.size == old.checkpoint.size and new.root != old.checkpoint.root)
        ):
            raise _invalid(self._path, f"line {number} takes back what was cosigned before")
        self._chain = chain
        self._latest[new.origin] = cosigned

    def _drop_torn_line(self, length: int) -> None:
        if length >= _LONGEST_LINE:
            raise _invalid(self._path, "a line is too long")
        logger.warning("%s: a torn last line is dropped; nobody was told of it", self._path)
        os.ftruncate(self._handle, self._end)
        os.fsync(self._handle)


def _encode(cosigned: Cosigned, at: datetime) -> bytes:
    record = {"note": cosigned.note, "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _decode(record: bytes) -> Cosigned:
    note = json.loads(record)["note"]
    return Cosigned(read_note(note)[0], note)


def _create(path: Path) -> None:
    """Make the file as a whole, so that an empty one is never taken for a new one."""
    draft = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".state-")
        with os.fdopen(handle, "wb") as file:
            file.write(_HEADER)
            file.flush()
            os.fsync(handle)
        os.link(draft, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        return
    except OSError as error:
        raise _invalid(path, error.strerror or "it cannot be made") from None
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


def _invalid(path: Path, reason: str) -> SubgraphError:
    return SubgraphError(ErrorCode.WITNESS_STATE_INVALID, f"{path}: {reason}")
