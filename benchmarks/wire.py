"""HTTP/1.1 over keep-alive connections, as little of it as a load generator needs."""

import select
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_RECEIVED_AT_ONCE = 262_144
_ANSWER_SECONDS = 30.0
_SPIN_SECONDS = 0.000_1
"""How long before an instant waiting becomes polling: the kernel wakes a sleeper that much late."""


class UnexpectedAnswer(Exception):
    """An arm answered something else than was verified before."""


class Connection:
    """One connection; it has at most one request on its way."""

    def __init__(self, address: tuple[str, int], head: bytes, bodies: Iterator[bytes]) -> None:
        """`head` is all of a request's head but its last header, the length of the body."""
        self.due = 0.0
        self.answer = b""
        self._head = head
        self._bodies = bodies
        self._received = b""
        self._socket = socket.create_connection(address, timeout=_ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    def ask(self, due: float) -> None:
        """Send the next request, which was due at `due`."""
        self.due = due
        body = next(self._bodies)
        self._socket.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def receive(self) -> bool:
        """Take what has come; True when `answer` is whole. Raises `UnexpectedAnswer`."""
        part = self._socket.recv(_RECEIVED_AT_ONCE)
        if not part:
            raise UnexpectedAnswer("the connection was closed")
        self._received += part
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return False
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise UnexpectedAnswer(self._received[:500].decode("latin-1"))
        self.answer, self._received = body, b""
        return True

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Wire:
    """The connections to one arm for one operation."""

    def __init__(self, connections: Sequence[Connection], expected: bytes | None) -> None:
        self.connections = connections
        self._expected = expected
        self._by_descriptor = {connection.fileno(): connection for connection in connections}
        self._set = select.epoll()
        for descriptor in self._by_descriptor:
            self._set.register(descriptor, select.EPOLLIN)

    def answered(self, seconds: float) -> Iterable[Connection]:
        """Wait at most `seconds` for answers; those that came. Raises `UnexpectedAnswer`."""
        if seconds > _SPIN_SECONDS:
            select.select([self._set], [], [], seconds - _SPIN_SECONDS)
        whole = []
        for descriptor, _ in self._set.poll(0):
            connection = self._by_descriptor[descriptor]
            if connection.receive():
                if self._expected is not None and connection.answer != self._expected:
                    raise UnexpectedAnswer(connection.answer[:500].decode())
                whole.append(connection)
        return whole

    def exchange(self) -> bytes:
        """Send one request on the first connection and return the body of its answer."""
        connection = self.connections[0]
        connection.ask(time.perf_counter())
        while not connection.receive():
            pass
        return connection.answer

    def close(self) -> None:
        """Close every connection."""
        self._set.close()
        for connection in self.connections:
            connection.close()


@contextmanager
def connected(
    address: tuple[str, int],
    path: str,
    bodies: Iterator[bytes],
    tokens: Sequence[str],
    *,
    connections: int,
    expected: bytes | None,
) -> Iterator[Wire]:
    """Connections to `address`, each for one of `tokens`; every answer must be `expected`."""
    opened = [
        Connection(address, _head(path, tokens[number % len(tokens)]), bodies)
        for number in range(connections)
    ]
    wire = Wire(opened, expected)
    try:
        yield wire
    finally:
        wire.close()


def _head(path: str, token: str) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "accept: application/json",
        "content-type: application/json",
        f"authorization: Bearer {token}",
        "content-length: ",
    )
    return "\r\n".join(lines).encode()
