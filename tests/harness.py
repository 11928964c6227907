"""Real daemons and real programs: what every test that starts something uses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from forkserver import ForkServer

from pllib.project import Endpoint, Project, read_endpoint

if TYPE_CHECKING:
    from typing_extensions import Self

PROGRAMS = Path(__file__).parent / "programs"
SCRIPT = str(Path(sys.executable).with_name("sprov"))
MPIRUN = Path(sys.executable).with_name("mpirun")
TIMEOUT_S = 300.0
"""The longest that anything may take; generous, for a machine that is busy with other things."""
LONGEST_PAUSE_S = 1.0
CLOSE_S = 60.0
"""For daemons that are told to end; then they are killed."""
TRANSFORMATIONS = "?a a provml:DataTransformationExecution"


def lack(reason: str) -> NoReturn:
    """Skip a test, or a whole module, for want of something here; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def require_module(name: str, extra: str) -> None:
    """Skip without a module that an extra of ours brings."""
    if find_spec(name) is None:
        lack(f"{name} is missing: pip install 'sprov[{extra}]'")


def require_ipv6() -> None:
    """Skip where this machine has no loopback address of IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as exc:
        pytest.skip(f"this machine has no ::1: {exc.strerror}")


def require_mpi() -> None:
    """Skip without the launcher of the mpi extra."""
    if not MPIRUN.exists():
        lack("mpirun is missing: pip install 'sprov[mpi]'")


def wait_until(
    condition: Callable[[], Any], timeout_s: float = TIMEOUT_S, every_s: float = 0.02
) -> Any:
    """Poll until `condition` returns something true, and return that.

    Between looks it waits for `every_s`, and for twice as long as a look takes: commands that poll
    would else take the processor from what they wait for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if found := condition():
            return found
        now = time.monotonic()
        assert now < deadline, "it did not happen in time"
        time.sleep(max(every_s, min(2 * (now - began), LONGEST_PAUSE_S)))


@contextlib.contextmanager
def usual_signals() -> Iterator[None]:
    """Have programs that are started meanwhile take signals as from a terminal.

    nohup has SIGHUP ignored, a shell in the background SIGINT and SIGQUIT, which exec passes on; a
    handler it does not, so that the tests themselves still live on.
    """
    of_terminals = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    ignored = [number for number in of_terminals if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


warm: ForkServer | None = None
"""Runs commands, if there is one."""


class Site:
    """A project folder, the programs that run in it and the daemons beside them."""

    timeout_s = TIMEOUT_S
    """For commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = SCRIPT
        self.project = Project(folder / ".sprov").create()
        self.server: subprocess.Popen[bytes] | None = None
        self.started: list[subprocess.Popen[str]] = []

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "SPROV_DIR": str(self.project.root), **extra}

    def serve(self, *options: str, log: Path | None = None) -> None:
        """Start the daemons and wait until they serve.

        Args:
            log: Where what they print goes, if not to the test's own stderr.
        """
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [self.script, "serve", "--ready-file", str(ready), *options]
        with contextlib.nullcontext() if log is None else log.open("ab") as said:
            self.server = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stderr=said
            )
        wait_until(lambda: ready.exists() or self._died())

    def _died(self) -> None:
        assert self.server is None or self.server.poll() is None, "sprov serve ended"

    @property
    def endpoint(self) -> Endpoint:
        return read_endpoint(self.project.endpoints / "local.json")

    @property
    def has_manager(self) -> bool:
        """Whether an endpoint file tells of one that lives, or that our `sprov serve` revives."""
        known = [read_endpoint(path) for path in self.project.endpoints.glob("*.json")]
        return any(
            endpoint.manager
            and (
                self.server is not None
                or endpoint.host not in ("", os.uname().nodename)
                or Path(f"/proc/{endpoint.manager_pid}").exists()
            )
            for endpoint in known
        )

    def kill(self, daemon: str) -> None:
        """SIGKILL the tracker or the manager, and wait until another is in its place."""
        pid = getattr(self.endpoint, f"{daemon}_pid")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: getattr(self.endpoint, f"{daemon}_pid") != pid)

    def stop(self) -> None:
        if self.server is not None:
            self.server.terminate()
            assert self.server.wait(TIMEOUT_S) == 0
            self.server = None

    def start(self, program: str, *arguments: str, ranks: int = 0, **extra: str) -> Any:
        """Start a program of tests/programs, under mpirun if it has ranks."""
        command = [sys.executable, str(PROGRAMS / program), *arguments]
        if ranks:
            command = [str(MPIRUN), "-n", str(ranks), *command]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(**extra),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def run(self, program: str, *arguments: str, ranks: int = 0, **extra: str) -> str:
        """Run a program to its end; return its stderr."""
        process = self.start(program, *arguments, ranks=ranks, **extra)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, errors
        return errors

    def command(self, *arguments: str) -> list[str]:
        return [self.script, *arguments]

    def attempt(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run the command, whatever comes of it."""
        command, environment = self.command(*arguments), self.environment(**extra)
        if warm is not None and warm.takes(command, environment):
            return warm.run(command, self.folder, environment, self.timeout_s)
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            capture_output=True,
            timeout=self.timeout_s,
            check=False,
        )

    def sprov(self, *arguments: str, status: int = 0, **extra: str) -> str:
        """Run the command; return what it printed: stdout, or stderr if it was to fail."""
        done = self.attempt(*arguments, **extra)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def select(self, query: str, *options: str) -> list[dict[str, str]]:
        """Return the rows of a SELECT query, once all that is journalled can be seen."""
        answer = self.read_json("query", query, *options)
        return [
            {name: cell["value"] for name, cell in row.items()}
            for row in answer["results"]["bindings"]
        ]

    def read_json(self, *arguments: str) -> Any:
        """Return a command's answer: by the manager, if one lives."""
        live = ["--live"] if self.has_manager else []
        return json.loads(self.sprov(*arguments, "--format", "json", *live))

    def count(self, pattern: str) -> int:
        return int(self.select(f"SELECT (COUNT(*) AS ?n) {{ {pattern} }}")[0]["n"])

    def verify(self) -> dict[str, Any]:
        """Return what `sprov verify` found; it must agree."""
        return dict(json.loads(self.sprov("verify", "--format", "json")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that runs in the project, in order where that is possible."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(CLOSE_S)
        if self.started or self.server is not None:
            for pid in self.left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in (*self.started, *([self.server] if self.server else [])):
            process.communicate()

    def left(self) -> list[int]:
        """Return processes of the project: daemons whose parent is gone, and what they started."""
        ours = f"SPROV_DIR={self.project.root}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if ours in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return [pid for pid in found if pid != os.getpid()]


def fill_once(site: Site, template: Path, fill: Callable[[Site], None]) -> Site:
    """Give a project what `fill` gives one, which is called once for all tests of this process.

    Args:
        template: Folder that it is done in.  Only its `.sprov/` is copied, and what that says of
            files is of those in the template.
    """
    if not template.exists():
        template.mkdir()
        try:
            with Site(template) as first:
                fill(first)
        except BaseException:
            shutil.rmtree(template)
            raise
    shutil.rmtree(site.project.root)
    shutil.copytree(template / ".sprov", site.project.root, symlinks=True)
    return site
