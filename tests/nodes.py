"""Nodes with a network of their own on this machine; files and process ids are this machine's.

A node is a network namespace that goes with the process that holds it.  Cables lead from one to
another; neither end is in the namespace of this machine, so that tests in several processes may
use the same addresses.
"""

from __future__ import annotations

import os
import subprocess

from harness import lack

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
HOLD = "ip link set lo up && echo ready && exec sleep infinity"
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


class Node:
    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [*DIE_WITH_US, "unshare", "--net", "--", "sh", "-c", HOLD],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": f"{SYSTEM_PATH}:{os.environ['PATH']}"},
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", "no network namespace"

    @property
    def pid(self) -> str:
        return str(self._holder.pid)

    def entered(self, *command: str) -> list[str]:
        """Return the command that runs a command on the node."""
        return ["nsenter", "-t", self.pid, "-n", "--", *command]

    def run(self, *command: str) -> None:
        done = subprocess.run(
            self.entered(*command), capture_output=True, text=True, env={"PATH": SYSTEM_PATH}
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


class Cable:
    """Leads from one node to another; it has a subnet."""

    def __init__(self, number: int, near: Node, far: Node) -> None:
        self.name = f"eth{number}"
        self.far_address = f"10.215.{number}.1"
        self._near = near
        self._ends = (near, f"10.215.{number}.2"), (far, self.far_address)
        near.run(
            "ip", "link", "add", self.name, "netns", near.pid, "type", "veth",
            "peer", "name", self.name, "netns", far.pid,
        )  # fmt: skip
        for node, address in self._ends:
            node.run("ip", "addr", "add", f"{address}/24", "dev", self.name)
            node.run("ip", "link", "set", self.name, "up")

    def pull(self) -> None:
        """Both ends see that there is nothing on the cable."""
        self._near.run("ip", "link", "set", self.name, "down")

    def plug(self) -> None:
        self._near.run("ip", "link", "set", self.name, "up")

    def blind(self) -> None:
        """Have both ends send to a hardware address that nobody has: packets vanish unnoticed."""
        for (node, _), (_, other) in zip(self._ends, reversed(self._ends), strict=True):
            self._neighbour(
                node, "replace", other, "lladdr", "02:00:00:00:00:99", "nud", "permanent"
            )

    def see(self) -> None:
        for (node, _), (_, other) in zip(self._ends, reversed(self._ends), strict=True):
            self._neighbour(node, "del", other)

    def _neighbour(self, node: Node, do: str, address: str, *what: str) -> None:
        node.run("ip", "neigh", do, address, *what, "dev", self.name)

    def narrow(self, rate: str) -> None:
        """Let the near end send at a rate, as tc-tbf(8) has it; what is too much is dropped."""
        limits = ("rate", rate, "burst", "10kb", "latency", "400ms")
        self._near.run("tc", "qdisc", "add", "dev", self.name, "root", "tbf", *limits)

    def widen(self) -> None:
        self._near.run("tc", "qdisc", "del", "dev", self.name, "root")


def need_network_namespaces() -> None:
    """Skip where there are none; in CI that is a failure."""
    command = ["unshare", "--net", "--", "ip", "link", "set", "lo", "up"]
    environment = {"PATH": SYSTEM_PATH}
    try:
        reason = subprocess.run(command, capture_output=True, text=True, env=environment).stderr
    except FileNotFoundError as exc:
        reason = str(exc)
    if reason:
        lack(f"no network namespaces here: {reason}")
