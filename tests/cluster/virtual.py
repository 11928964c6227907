"""A cluster: munge, slurmctld and slurmd on virtual machines, with slurmdbd if it accounts.

    with Cluster(Shape(nodes=3)) as cluster:
        cluster.command("srun", "-N3", "hostname")
        cluster.crash("node1")

This host is the login node: with `cluster.environment`, Slurm's commands work from here.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness import wait_until

from .configuration import Shape, slurm_conf, slurmdbd_conf
from .machine import Machine
from .network import Network

READY_TIMEOUT_S = 300.0
COMMAND_TIMEOUT_S = 300.0
SLURMCTLD_PORT, SLURMDBD_PORT = 6817, 6819
FOLDERS = ("log", "run", "spool", "state", "munge", "local", "db")


class Cluster:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        # A socket's path may have 107 characters (unix(7)), so not pytest's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        self._network = Network()
        self.ctl = self._machine("ctl", 2)
        self.nodes = {
            name: self._machine(name, 10 + nth)
            for nth, name in enumerate(f"node{nth}" for nth in range(shape.nodes))
        }
        self._configure()

    def _machine(self, name: str, nth: int) -> Machine:
        return Machine(name, self._network.address(nth), self._network, self.folder)

    def _configure(self) -> None:
        for name in FOLDERS:
            (self.folder / name).mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o400)
        addresses = {name: node.address for name, node in self.nodes.items()}
        names = {"login": self._network.address(1), "ctl": self.ctl.address, **addresses}
        hosts = [f"{address} {name}" for name, address in names.items()]
        login = f"{self._network.address(1)} {socket.gethostname()}"
        text = "\n".join(["127.0.0.1 localhost", login, *hosts, ""])
        (self.folder / "hosts").write_text(text)
        conf = slurm_conf(self.shape, self.folder, self.ctl.address, addresses)
        (self.folder / "slurm.conf").write_text(conf)
        dbd = self.folder / "slurmdbd.conf"
        dbd.write_text(slurmdbd_conf(self.folder, self.ctl.address))
        dbd.chmod(0o600)

    # -- up and down

    def __enter__(self) -> Cluster:
        try:
            self._boot_ctl()
            for name in self.nodes:
                self._boot_node(name)
            self._wait_ready(*self.nodes)
        except BaseException:
            sys.stderr.write(self._logs())
            self.close()
            raise
        return self

    def _logs(self) -> str:
        """Return how the daemons' logs end."""
        tails = []
        for path in sorted((self.folder / "log").iterdir()):
            lines = path.read_text(errors="replace").splitlines()[-10:]
            tails += [f"== {path.name}", *lines]
        return "\n".join([*tails, ""])

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        for machine in (*self.nodes.values(), self.ctl):
            machine.crash()
        self._network.close()
        shutil.rmtree(self.folder, ignore_errors=True)  # the kernel may still unmount

    def _boot_ctl(self) -> None:
        self.ctl.boot()
        munge = self.folder / "munge"
        self.ctl.start(
            "munged", "--foreground", f"--key-file={self.folder}/munge.key",
            f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--log-file={munge}/log",
            f"--seed-file={munge}/seed", "--num-threads=4",
        )  # fmt: skip
        wait_until((munge / "socket").exists)
        if self.shape.accounting:
            self._start_accounting()
        self._start("ctl", "-i")

    def _start_accounting(self) -> None:
        """Start slurmdbd on a MariaDB that is thrown away: it needs not even system tables."""
        run = self.folder / "run"
        self.ctl.start(
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={self.folder}/db",
            f"--socket={run}/db.socket", f"--pid-file={run}/db.pid", "--bind-address=127.0.0.1",
            "--skip-grant-tables", "--skip-log-bin", "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=64M", "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0",
        )  # fmt: skip
        wait_until((run / "db.socket").exists)
        self.ctl.start("slurmdbd", "-D", **self.environment)
        wait_until(lambda: _answers(self.ctl.address, SLURMDBD_PORT))

    def _boot_node(self, name: str) -> None:
        (self.folder / "spool" / name).mkdir(exist_ok=True)
        self.nodes[name].boot()
        self._start(name)

    def _start(self, name: str, *options: str) -> None:
        if name == "ctl":
            self.ctl.start("slurmctld", "-D", *options, **self.environment)
        else:
            self.nodes[name].start("slurmd", "-D", "-N", name, **self.environment)

    def _wait_ready(self, *names: str) -> None:
        def ready() -> bool:
            lines = self.look("sinfo", "-h", "-N", "-o", "%N %t").splitlines()
            states = dict(line.split() for line in lines)
            return all(states.get(name) in ("idle", "mix", "alloc") for name in names)

        wait_until(ready, READY_TIMEOUT_S)

    # -- what happens to it

    def crash(self, node: str) -> None:
        """Power failure: everything on the node is gone at once."""
        self.nodes[node].crash()

    def boot(self, node: str) -> None:
        """Switch a crashed node on, and wait until Slurm has it back."""
        self._boot_node(node)
        self._wait_ready(node)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End the slurmd of a node, or slurmctld ("ctl"); the jobs' processes live on.

        SIGKILL of slurmctld within 5 s of a job's start makes Slurm lose that job; SIGTERM never.
        """
        machine = self.ctl if name == "ctl" else self.nodes[name]
        machine.end("slurmctld" if name == "ctl" else "slurmd", number)

    def start(self, name: str) -> None:
        """Start the daemon that `kill` ended, and wait until it is at work."""
        self._start(name)
        self._wait_ready(*(self.nodes if name == "ctl" else [name]))

    def cut(self, node: str) -> None:
        """Pull the node's network cable; `join` plugs it in again."""
        self._network.cut(node)

    def join(self, node: str) -> None:
        self._network.join(node)

    # -- commands

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands speak to this cluster, on this host and on its nodes."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def at_login(self, *command: str) -> list[str]:
        """Return the command that runs a command here, with the names of nodes known."""
        bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", bind, str(self.folder / "hosts"), *command]

    def command(
        self, *command: str, cwd: Path = Path("/"), env: Mapping[str, str] = os.environ
    ) -> str:
        """Run one of Slurm's commands on the login node; return its stdout."""
        done = self._run(*command, cwd=cwd, env=env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def look(self, *command: str) -> str:
        """Run a command that only asks; return its stdout, nothing when Slurm does not answer."""
        done = self._run(*command)
        return "" if done.returncode else done.stdout

    def on(self, node: str, *command: str, **environment: str) -> str:
        """Run a command on a node, outside Slurm; return its stdout."""
        return self.nodes[node].run(*command, env={**os.environ, **self.environment, **environment})

    def _run(
        self, *command: str, cwd: Path = Path("/"), env: Mapping[str, str] = os.environ
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=cwd,
            env={**env, **self.environment}, timeout=COMMAND_TIMEOUT_S,
        )  # fmt: skip


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1.0).close()
    except OSError:
        return False
    return True
