"""The command as a process: held back, let go, waited for, and ended as it ended.

It is forked before anything of ours has a thread, which a fork would tear, and waits at a pipe for
what its environment gets.  From then on it is what it would be without us: our descriptors close on
exec, all others are its own, and signal dispositions are those that we were started with, except
where Python had changed them.  It dies with us, since whoever kills this process means the command.

Who waits for this process sees how the command ended: we exit as it did, or die of the same signal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import msgspec

from .signals import FORWARDED, is_for_both

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""As POSIX shells have it."""
KILLED = 128
PR_SET_PDEATHSIG = 1
PYTHON_IGNORES = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")
STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


class Child:
    """A command: forked when it is made, executed by `release`.

    From here on this thread, and those that it starts, have no signals but by `wait`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Fork.

        Raises:
            OSError: There may be no more processes.
        """
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would hide how children end
        self.command = command
        self._apart = not _has_terminal()
        self._stopping = False
        parent = os.getpid()
        here, self._order = os.pipe()
        self._report, there = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._order)
            os.close(self._report)
            self._follow(here, there, parent)
        os.close(here)
        os.close(there)

    def release(self, more: Mapping[str, str]) -> None:
        """Execute the command, with these variables added to its environment.

        Raises:
            OSError: It can't be executed; the child has ended.
        """
        with open(self._order, "wb") as order, contextlib.suppress(BrokenPipeError):
            order.write(msgspec.msgpack.encode(dict(more)))
        with open(self._report, "rb") as report:
            failure = report.read()
        if failure:
            os.waitpid(self.pid, 0)
            number = int(failure)
            raise OSError(number, os.strerror(number), self.command[0])

    def replace_us(self) -> NoReturn:
        """Become the command: without provenance there is nobody to be its parent.

        Raises:
            OSError: It can't be executed.
        """
        os.close(self._order)
        os.close(self._report)
        os.waitpid(self.pid, 0)
        execute(self.command, self._mask)

    def wait(self) -> int:
        """Pass signals on until the command has ended; return its wait status."""
        while True:
            found = signal.sigwaitinfo({*FORWARDED, signal.SIGCHLD})
            if found.si_signo != signal.SIGCHLD:
                self._forward(found)
                continue
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                if self._stopping:  # whoever asked for it waits to see us stopped
                    os.kill(os.getpid(), signal.SIGSTOP)
            elif pid:
                return status

    def _forward(self, found: signal.struct_siginfo) -> None:
        number = found.si_signo
        if number in STOPS:
            self._stopping = True
        elif number == signal.SIGCONT:
            self._stopping = False
        if not is_for_both(found, apart=self._apart):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it changed its user
                os.kill(self.pid, number)

    def _follow(self, order: int, report: int, parent: int) -> NoReturn:
        """In the child: wait for the order, and execute it."""
        try:
            if self._apart:
                os.setpgid(0, 0)
            _die_with(parent)
            with open(order, "rb") as file:
                more = file.read()
            if more:
                environ = {**_environment(), **_encoded(msgspec.msgpack.decode(more))}
                execute(self.command, self._mask, environ)
        except OSError as exc:
            os.write(report, str(exc.errno or errno.EIO).encode())
        finally:
            os._exit(NOT_FOUND)


def execute(
    command: Sequence[str],
    mask: Iterable[int] = (),
    environ: Mapping[bytes, bytes] | None = None,
) -> NoReturn:
    """Become a command.

    Args:
        mask: Signals to block.
        environ: Its environment; by default what we were started with.

    Raises:
        OSError: It can't be executed.
    """
    environ = _environment() if environ is None else environ
    for name in PYTHON_IGNORES:
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execvpe(command[0], [*command], environ)
    except OSError as exc:
        if exc.errno != errno.ENOEXEC:
            raise
        os.execve("/bin/sh", ["sh", *command], environ)  # a script without #!, as execvp(3) has it


def _environment() -> dict[bytes, bytes]:
    """Return the environment that we were started with: Python may have set LC_CTYPE (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = [entry.partition(b"=") for entry in file.read().split(b"\0")]
    except OSError:
        return dict(os.environb)
    return {name: value for name, equals, value in entries if equals}


def _encoded(environ: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in environ.items()}


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends.  Source: PR_SET_PDEATHSIG(2const)."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):  # no libffi, as in some Pythons
        return
    if os.getppid() != parent:
        os._exit(NOT_FOUND)


def _has_terminal() -> bool:
    """Tell whether a terminal may signal our process group, or stop it when it reads."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def status_of(exc: OSError) -> int:
    """Return the exit status for a command that can't be executed."""
    missing = exc.errno in (errno.ENOENT, errno.ENOTDIR)
    return NOT_FOUND if missing else NOT_EXECUTABLE


def end_as(status: int) -> NoReturn:
    """End as a command of this wait status ended."""
    if not os.WIFSIGNALED(status):
        sys.exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # the core to look at is the command's
    with contextlib.suppress(OSError, ValueError):  # SIGKILL has no other disposition
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    sys.exit(KILLED + number)  # the first process of a container dies of none of its own
