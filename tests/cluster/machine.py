"""One virtual machine: pid 1 of its own namespaces, and daemons that run in them.

A machine has its own hostname, address, process ids, boot id, /dev/shm and local disk; all other
files are shared, as on a cluster.  Only children of ours are ever ended, and the kernel ends what
is in a machine with its pid 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from harness import wait_until

from .network import SYSTEM_PATH, Network, ip

INIT = Path(__file__).with_name("node.sh")
ENVIRONMENT = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": "/root"}
# With this process, too, everything goes: no cluster outlives a killed pytest.
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
UNSHARE = (
    "unshare", "--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--kill-child=KILL",
    "--mount-proc", "--propagation", "private", "--",
)  # fmt: skip


class Machine:
    def __init__(self, name: str, address: str, network: Network, folder: Path) -> None:
        self.name, self.address = name, address
        self._network, self._folder = network, folder
        self._process: subprocess.Popen[str] | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._init = 0

    def boot(self) -> None:
        """Start it without daemons, and plug its cable in."""
        boot_id = self._folder / f"{self.name}.boot_id"
        boot_id.write_text(f"{uuid4()}\n")
        hosts, local = self._folder / "hosts", self._folder / "local"
        command = [*DIE_WITH_US, *UNSHARE, INIT, self.name, hosts, local, boot_id]
        with self._log() as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                cwd="/", env=ENVIRONMENT, text=True, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        with self._process.stdout as said:
            assert said.readline() == "ready\n", f"{self.name} did not boot"
        self._init = _child(self._process.pid)
        self._plug_in()

    def _plug_in(self) -> None:
        cable = self._network.cable(self.name)
        peer = ("peer", "name", "eth0", "netns", str(self._init))
        ip("link", "add", cable, "type", "veth", *peer)
        self._network.join(self.name)
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def crash(self) -> None:
        """Switch it off: all that runs on it is gone at once."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for daemon in self._daemons.values():
            daemon.wait()
        self._process = None
        self._daemons.clear()
        with contextlib.suppress(OSError):  # the kernel deletes it too, a moment later
            ip("link", "del", self._network.cable(self.name))

    def entered(self, *command: str) -> list[str]:
        """Return the command that runs a command inside."""
        return ["nsenter", "-t", str(self._init), "-m", "-u", "-n", "-i", "-p", "--", *command]

    def run(self, *command: str, env: dict[str, str] | None = None) -> str:
        """Run a command on the machine to its end, outside Slurm; return its stdout."""
        done = subprocess.run(
            self.entered(*command), capture_output=True, text=True, check=False, env=env
        )
        assert done.returncode == 0, f"{self.name}: {command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str, **environment: str) -> None:
        """Start a daemon that stays in the foreground; its name is the command's."""
        with self._log() as log:
            self._daemons[command[0]] = subprocess.Popen(
                self.entered(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", env=ENVIRONMENT | environment, start_new_session=True,
            )  # fmt: skip

    def end(self, daemon: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a daemon a signal, and wait until it is gone; what it started may live on."""
        entered = self._daemons.pop(daemon)
        os.kill(_child(entered.pid), number)
        entered.wait()

    def _log(self) -> BinaryIO:
        return (self._folder / "log" / f"{self.name}.out").open("ab")


def _child(pid: int) -> int:
    """Return the one child of a process of ours: what unshare or nsenter has forked."""
    return int(wait_until(Path(f"/proc/{pid}/task/{pid}/children").read_text))
