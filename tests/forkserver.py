"""Runs `sprov` commands as forks of a process that has loaded the modules of others already.

    forkserver.py SOCKET SCRIPT

Most of what a short command costs is the interpreter's start and the import of pyarrow, rdflib and
their like, thousands of times in all tests.  What one command loads of others is loaded here for
the next.  Modules of our own never are: each command imports them anew, as it does for users.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OURS = ("pllib", "tracker", "manager", "query", "slurm", "sprov")
COMMANDS = {
    "runs", "show", "watch", "metrics", "lineage", "identify", "diff", "ask", "query", "export",
    "import", "ingest", "rebuild", "verify", "gc", "status", "log", "declare", "init",
}  # fmt: skip
"""Those that start no program and no daemon."""
AT_START = ("PYTHON", "LD_", "LANG", "LC_", "MALLOC_", "OMP_", "OPENBLAS_", "MPL", "TZ", "HOME")
"""What an interpreter or a library reads of the environment only when it is loaded."""
MOST_BYTES = 1 << 20


class ForkServer:
    def __init__(self, script: str) -> None:
        self.children_s = 0.0
        """CPU seconds that the commands took."""
        self._script = script
        self.environment = dict(os.environ)
        self._rights = _rights()
        self._socket, theirs = _pair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), script],
                pass_fds=[theirs.fileno()], cwd="/", stdin=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip

    def takes(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Tell whether a command is the same here as in an interpreter of its own."""
        names = [name for name in {*environment, *self.environment} if name.startswith(AT_START)]
        return (
            len(command) > 1
            and command[0] == self._script
            and command[1] in COMMANDS
            and _rights() == self._rights
            and all(environment.get(name) == self.environment.get(name) for name in names)
        )

    def run(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as `subprocess.run` does, with what it prints."""
        os.umask(umask := os.umask(0))
        request = {"argv": command, "cwd": str(cwd), "env": {**environment}, "umask": umask}
        answer, theirs = _pair()
        with answer, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            with theirs, open(os.devnull) as nothing:
                given = [each.fileno() for each in (nothing, out, errors, theirs)]
                socket.send_fds(self._socket, [json.dumps(request).encode()], given)
            pid = json.loads(answer.recv(MOST_BYTES))
            answer.settimeout(timeout_s)
            try:
                status, cpu_s = json.loads(answer.recv(MOST_BYTES))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([*command], timeout_s) from None
            self.children_s += cpu_s
            texts = [_text(file) for file in (out, errors)]
        return subprocess.CompletedProcess([*command], status, *texts)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()
        self.children_s = 0.0  # they are among those of the process now


def _rights() -> tuple[object, ...]:
    """Return what a child inherits and tests change: user and limits."""
    limits = resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS
    return os.geteuid(), *map(resource.getrlimit, limits)


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode().replace("\r\n", "\n"))  # as subprocess does with text=True


class _Server:
    """The other side, of one thread."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._lessons, self.lesson = _pair()
        self._answers: dict[int, socket.socket] = {}
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._woken = woken

    def serve(self) -> tuple[dict[str, Any], list[int]] | None:
        """Return a request and its descriptors in each child, and None at the end."""
        while True:
            ready, _, _ = select.select([self._woken, self._lessons, self._requests], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._lessons in ready:
                _learn(json.loads(self._lessons.recv(MOST_BYTES)))
            if self._requests in ready:
                data, fds, _, _ = socket.recv_fds(self._requests, MOST_BYTES, 4)
                if not data:
                    return None
                pid = os.fork()
                if pid == 0:
                    os.close(fds.pop())
                    return json.loads(data), fds
                self._begin(pid, fds)

    def _begin(self, pid: int, fds: list[int]) -> None:
        *files, answer = fds
        for fd in files:
            os.close(fd)
        self._answers[pid] = socket.socket(fileno=answer)
        self._answers[pid].send(json.dumps(pid).encode())

    def _reap(self) -> None:
        while self._answers:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            ended = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
            with self._answers.pop(pid) as answer, contextlib.suppress(BrokenPipeError):
                answer.send(json.dumps(ended).encode())


def _learn(modules: list[str]) -> None:
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each child would copy the pages in which they lie


def _become(request: dict[str, Any], fds: list[int], script: str) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[0] = str(Path(script).parent)


def _teach(lesson: socket.socket, before: set[str]) -> None:
    names = [
        name for name in sys.modules if name not in before and name.partition(".")[0] not in OURS
    ]
    if names:
        lesson.send(json.dumps(names).encode())


def main() -> None:
    server = _Server(socket.socket(fileno=int(sys.argv[1])))
    script = sys.argv[2]
    if (given := server.serve()) is None:
        return
    _become(*given, script)
    atexit.register(_teach, server.lesson, set(sys.modules))
    from sprov.cli import main as run

    sys.exit(run())  # type: ignore[func-returns-value]


if __name__ == "__main__":
    main()
