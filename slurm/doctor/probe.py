"""What each task of the test step finds on its node, as JSON on stdout.

Task 0 listens as a tracker would and says where in the project; the others connect to it, and
compare clocks by the pings that it answers with its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from collections import defaultdict
from pathlib import Path
from typing import TypeVar

import msgspec

from pllib import launch, listening
from pllib.errors import SettingsError
from pllib.settings import Serving

from . import network
from .folder import seen
from .report import Finding

MARK = "sprov-doctor: "
LINE_CHARS = 700
GIVEN_UP = "given-up"
WAIT_S = 20.0
"""For files of other nodes, which NFS may show seconds later, and for connections."""
N_PINGS = 8
_TIME = struct.Struct("<q")


class Seen(msgspec.Struct):
    """What one task found."""

    node: str
    rank: int
    findings: list[Finding]
    folder: bool = False
    """It sees the project."""
    address: str = ""
    """Where task 0 listened."""
    reached_s: float | None = None
    """Shortest round trip to there."""
    offset_s: float = 0.0
    """This node's clock less that of task 0; known to half a round trip."""
    trouble: str = ""


class Ranked(msgspec.Struct):
    """What MPI told one task."""

    rank: int = 0
    size: int = 0
    library: str = ""
    trouble: str = ""
    missing: bool = False
    """There is no mpi4py."""


Found = TypeVar("Found", Seen, Ranked)


def look(folder: Path, findings: list[Finding], serving: Serving) -> None:
    """Look around as one task of the step, and print what was found.

    Args:
        folder: In the project, made for this trial.
    """
    rank, size = (int(os.environ[name]) for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
    found = Seen(launch.host(), rank, findings, folder=seen(folder))
    try:
        if not found.folder:
            found.trouble = f"{folder.parent} is not to be seen"
        elif rank == 0:
            _answer(folder / "address", size - 1, serving, found)
        else:
            _ask(folder / "address", found)
    except (OSError, SettingsError) as exc:
        found.trouble = str(exc)
        if found.folder:
            (folder / GIVEN_UP).touch()
    _print(found)


def _answer(file: Path, n_others: int, serving: Serving, found: Seen) -> None:
    place = network.where(serving)
    deadline = time.monotonic() + WAIT_S
    with socket.socket(listening.family(place.address)) as listener:
        _bind(listener, place.address, list(place.candidates()))
        listener.listen()
        found.address = listening.authority(place.advertised, listener.getsockname()[1])
        temporary = file.with_suffix(".new")
        temporary.write_text(found.address)
        temporary.rename(file)
        for _ in range(n_others):
            with _accept(listener, deadline, file.with_name(GIVEN_UP)) as connection:
                connection.settimeout(WAIT_S)
                while connection.recv(1):
                    connection.sendall(_TIME.pack(time.time_ns()))


def _accept(listener: socket.socket, deadline: float, given_up: Path) -> socket.socket:
    """Wait for a connection, until a file says that none comes.

    Raises:
        TimeoutError: None came.
    """
    listener.settimeout(0.2)
    while time.monotonic() < deadline and given_up.name not in os.listdir(given_up.parent):  # noqa: PTH208
        with contextlib.suppress(TimeoutError):
            return listener.accept()[0]
    raise TimeoutError("no task of another node connected")


def _bind(listener: socket.socket, address: str, ports: list[int]) -> None:
    for port in ports:
        try:
            listener.bind((address, port))
        except OSError as exc:
            failure = exc
        else:
            return
    raise failure


def _ask(file: Path, found: Seen) -> None:
    host, _, port = _await(file).rpartition(":")
    address = listening.plain(host), int(port)
    with socket.create_connection(address, timeout=WAIT_S / 2) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(N_PINGS):
            sent = time.time_ns()
            connection.sendall(b"?")
            told = _TIME.unpack(connection.recv(_TIME.size, socket.MSG_WAITALL))[0]
            came = time.time_ns()
            trip = (came - sent) / 1e9
            if found.reached_s is None or trip < found.reached_s:
                found.reached_s = trip
                found.offset_s = ((sent + came) / 2 - told) / 1e9


def _await(file: Path) -> str:
    """Return what the file says, once it is there.

    Raises:
        TimeoutError: It does not come.
    """
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        there = os.listdir(file.parent)  # noqa: PTH208  asks a network file system anew
        if file.name in there:
            return file.read_text()
        if GIVEN_UP in there:
            break
        time.sleep(0.1)
    raise TimeoutError(f"what task 0 wrote into the project did not show in {WAIT_S:g} s")


def look_at_mpi() -> None:
    """Say what MPI tells this task, and print it."""
    found = Ranked()
    try:
        from mpi4py import MPI

        found.rank, found.size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
        found.library = " ".join(MPI.Get_library_version().split("\n")[0].strip("\0").split())
    except ModuleNotFoundError:
        found.missing = True
    except (ImportError, RuntimeError) as exc:  # mpi4py 4.1 raises both without a libmpi
        found.trouble = " ".join(str(exc).split())
    _print(found)


def _print(found: msgspec.Struct) -> None:
    """Print in short lines: those over 1 KiB of several tasks come mixed from srun (22.05.8)."""
    text = json.dumps(msgspec.to_builtins(found))
    head = f"{MARK}{os.environ.get('SLURM_PROCID', '0')} "
    pieces = [text[at : at + LINE_CHARS] for at in range(0, len(text), LINE_CHARS)]
    os.write(1, "".join(f"{head}{piece}\n" for piece in pieces).encode())


def read(output: str, kind: type[Found]) -> list[Found]:
    """Return what the tasks of a step printed; a task that printed nothing whole is left out."""
    texts: dict[str, str] = defaultdict(str)
    for line in output.splitlines():
        if line.startswith(MARK):
            task, _, piece = line.removeprefix(MARK).partition(" ")
            texts[task] += piece
    found = []
    for text in texts.values():
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(text, type=kind))
    return found
