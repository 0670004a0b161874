"""The first code of a child process: give up rights, tie its life to ours, become the program.

`subgraph.db.account` runs this file as a script in a fresh interpreter without site-packages. It
is no `preexec_fn`, because that forks a process with threads, and the parent-death signal cannot
be set by the parent: the kernel clears it when the user changes.

Arguments: pid of the parent, user id, group id, death signal, program, its arguments. A user id of
-1 keeps the current one.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    """Become the program; exits with a message when the parent is gone already."""
    parent, uid, gid, death_signal = (int(argument) for argument in sys.argv[1:5])
    command = sys.argv[5:]
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_PDEATHSIG, death_signal)):
        if libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    # A parent that died before the request sends no signal any more.
    if os.getppid() != parent:
        sys.exit("the parent process is gone")
    # A shell that starts a job in the background ignores SIGINT for it and all its children.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted


if __name__ == "__main__":
    main()
