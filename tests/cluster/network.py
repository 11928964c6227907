"""The network between virtual machines and this host, which is their login node."""

from __future__ import annotations

import subprocess

N_SUBNETS = 256
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def ip(*arguments: str) -> None:
    """Run ip(8).

    Raises:
        OSError: It failed.
    """
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, check=False, env={"PATH": SYSTEM_PATH}
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """A bridge with a subnet of its own.  Its name is the claim: no two can have the same."""

    def __init__(self) -> None:
        for self.number in range(N_SUBNETS):
            self.bridge = f"sv{self.number}"
            try:
                ip("link", "add", self.bridge, "type", "bridge")
            except OSError as exc:
                if "File exists" not in str(exc):
                    raise
            else:
                break
        else:
            raise OSError(f"all of {N_SUBNETS} subnets are taken; see `ip link`")
        ip("addr", "add", f"{self.address(1)}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")

    def address(self, nth: int) -> str:
        """Return an IPv4 address; the first is this host's."""
        return f"10.214.{self.number}.{nth}"

    def cable(self, machine: str) -> str:
        """Return the name of our end of a machine's cable; at most 15 characters (Linux)."""
        return f"{self.bridge}-{machine}"

    def join(self, machine: str) -> None:
        ip("link", "set", self.cable(machine), "master", self.bridge, "up")

    def cut(self, machine: str) -> None:
        """Pull the cable out of the switch: packets vanish, the machine's own link stays up."""
        ip("link", "set", self.cable(machine), "nomaster")

    def close(self) -> None:
        ip("link", "del", self.bridge)
