"""The socket that a command listens on."""

import socket

from subgraph.errors import ErrorCode, SubgraphError


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket. Raises `PORT_IN_USE`, or `SETTINGS_INVALID` for a bad address."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, f"no such address: {host}") from None
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise SubgraphError(ErrorCode.PORT_IN_USE, message) from None
    listener.set_inheritable(True)
    return listener
