"""What the witness has cosigned: a file that only grows while the witness runs.

After a first line that names the format, each line is a SHA-256 digest over the line before it
and its own record, a space, and the record as JSON: the cosigned note and the time. The chain
shows damage and careless edits. It is no defence against whoever can write the file: keep it
where the witnessed service cannot. At the start, records that later ones of the same log have
superseded make room: the latest of each log go into a new file, which takes the place of the old.
"""

import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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
_SUPERSEDED: Final = 10_000
"""Superseded records that stay in the file when it is opened; some 6 MB, read in a second."""


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
    def open(cls, path: Path, *, create: bool = False, superseded: int = _SUPERSEDED) -> Self:
        """Lock the file and verify all of it; with `create`, make it first if there is none.

        A last line without an end is what a crash leaves of a write that nobody was told of; it
        is dropped. So are superseded records, all of them, when there are more than `superseded`.
        Raises `SubgraphError`: WITNESS_STATE_IN_USE, or WITNESS_STATE_INVALID when
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
            records, count = state._read()
            if count - len(records) > superseded:
                state._compact(records)
        except BaseException:
            state.close()
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
        chain, line = _continued(self._chain, _encode(cosigned, datetime.now(UTC)))
        try:
            self._check_place()
            # Until all of it has succeeded, the file is not what is known here.
            self._broken = True
            _write(self._handle, line)
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
            raise self._in_use() from None
        # Between the opening and the lock, its owner may have put a compacted file in its place.
        try:
            same = os.path.samestat(os.fstat(self._handle), self._path.lstat())
        except FileNotFoundError:
            same = False
        if not same:
            raise self._in_use()

    def _in_use(self) -> SubgraphError:
        message = f"another witness runs on {self._path}"
        return SubgraphError(ErrorCode.WITNESS_STATE_IN_USE, message)

    def _read(self) -> tuple[dict[str, bytes], int]:
        """Verify all records; the latest of each log, and how many there are."""
        latest: dict[str, bytes] = {}
        count = 0
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(0)
            if file.readline(len(_HEADER)) != _HEADER:
                raise _invalid(self._path, "its first line is wrong")
            self._end = len(_HEADER)
            while line := file.readline(_LONGEST_LINE):
                if not line.endswith(b"\n"):
                    self._drop_torn_line(len(line))
                    break
                origin, record = self._take(line, count + 2)
                latest[origin] = record
                self._end += len(line)
                count += 1
        return latest, count

    def _take(self, line: bytes, number: int) -> tuple[str, bytes]:
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
        return new.origin, record

    def _compact(self, records: Mapping[str, bytes]) -> None:
        """Put a file with these records in the place of the one that is open.

        Whatever interrupts this leaves one of the two. While the new one cannot be written, the
        old one goes on.
        """
        draft = self._path.with_name(f".{self._path.name}.compact")
        try:
            handle, end, chain = _write_draft(draft, records.values())
        except OSError as error:
            logger.warning("%s is not compacted: %s", self._path, error.strerror)
            return
        try:
            draft.replace(self._path)
            # Else the old file might come back after what is yet to be added to the new one.
            _sync_folder(self._path)
        except OSError as error:
            os.close(handle)
            raise _invalid(self._path, error.strerror or "it cannot be replaced") from None
        os.close(self._handle)
        self._handle, self._end, self._chain = handle, end, chain

    def _drop_torn_line(self, length: int) -> None:
        if length >= _LONGEST_LINE:
            raise _invalid(self._path, "a line is too long")
        logger.warning("%s: a torn last line is dropped; nobody was told of it", self._path)
        os.ftruncate(self._handle, self._end)
        os.fsync(self._handle)


def _encode(cosigned: Cosigned, at: datetime) -> bytes:
    record = {"note": cosigned.note, "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _continued(chain: bytes, record: bytes) -> tuple[bytes, bytes]:
    """The digest of the record's line, and the line."""
    chain = hashlib.sha256(chain + record).digest()
    return chain, chain.hex().encode() + b" " + record + b"\n"


def _write(handle: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(handle, content[written:])


def _write_draft(draft: Path, records: Iterable[bytes]) -> tuple[int, int, bytes]:
    """Write a whole file to disk; its handle, which has the lock, its length and its last digest.

    Only the owner of the lock on the state file may call this.
    """
    draft.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(draft, flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        chain = hashlib.sha256(_HEADER).digest()
        content = bytearray(_HEADER)
        for record in records:
            chain, line = _continued(chain, record)
            content += line
        _write(handle, bytes(content))
        os.fsync(handle)
    except BaseException:
        os.close(handle)
        draft.unlink(missing_ok=True)
        raise
    return handle, len(content), chain


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
        _sync_folder(path)
    except FileExistsError:
        return
    except OSError as error:
        raise _invalid(path, error.strerror or "it cannot be made") from None
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


def _invalid(path: Path, reason: str) -> SubgraphError:
    return SubgraphError(ErrorCode.WITNESS_STATE_INVALID, f"{path}: {reason}")
