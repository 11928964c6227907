"""What capture costs off the best path: new and varying names, units, texts, files, threads.

Each is compared with the same number of calls of the plainest kind, in rounds by turns in one
process: a value by one name, or a point of one series without a unit.
"""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pllib
from pllib.data import version_of

from . import service, table

CALLS = 200
ROUNDS = 40
THREADED = 20
"""Times as many calls where threads are started for them."""
N_SETTINGS = N_FILES = 10_000
TEXTS = [f"a text that is not very long, number {n}" for n in range(CALLS)]
_fresh = itertools.count()

Session = pllib.Session
Kind = Callable[[Session, Path], None]


def one_name(session: Session, folder: Path) -> None:
    for n in range(CALLS):
        with session.transformation("step", used={"used": n}) as step:
            step.generated(made=n)


def cold(session: Session, folder: Path) -> None:
    """A name that was never there."""
    for n in range(CALLS):
        with session.transformation(f"step {next(_fresh)}", used={"used": n}) as step:
            step.generated(made=n)


def varying_names(session: Session, folder: Path) -> None:
    for n in range(CALLS // 2):
        with session.transformation("varying", used={"used": n}) as step:
            step.generated(made=n)
        with session.transformation("varying", used={"other": n}) as step:
            step.generated(another=n)


def strings(session: Session, folder: Path) -> None:
    for text in TEXTS:
        with session.transformation("strings", used={"used": text}) as step:
            step.generated(made=text)


def points(session: Session, folder: Path) -> None:
    for _ in range(CALLS):
        session.metric("loss", 0.5)


def units(session: Session, folder: Path) -> None:
    """A unit that is equal and another object each time."""
    parts = ["na", "ts"]
    for _ in range(CALLS):
        session.metric("loss in units", 0.5, unit="".join(parts))


def turns(session: Session, folder: Path) -> None:
    """Two executions that measure one series."""
    stage = pllib.current()
    for _ in range(CALLS // 2):
        session.metric("shared loss", 0.5)
        stage.metric("shared loss", 0.5)


def two_threads(session: Session, folder: Path) -> None:
    """Half of the calls on each, many to a thread: its first one takes a writer."""

    def work(letter: str) -> None:
        for n in range(CALLS // 2 * THREADED):
            with session.transformation(letter, used={"used": n}) as step:
                step.generated(made=n)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def looks(session: Session, folder: Path) -> None:
    file = pllib.File(folder / "file")
    for _ in range(CALLS):
        version_of(file)


def files(session: Session, folder: Path) -> None:
    file = pllib.File(folder / "file")
    for _ in range(CALLS):
        with session.transformation("files", used={"file": file}):
            pass


FLOORS: dict[str, tuple[Kind, Kind, float | None]] = {
    "a new name each time": (cold, one_name, None),
    "names that alternate": (varying_names, one_name, 2.0),
    "texts": (strings, one_name, 2.0),
    "two threads": (two_threads, one_name, None),
    "a file, look at it as floor": (files, looks, 2.0),
    "point, another unit object": (units, points, 2.0),
    "point, two executions by turns": (turns, points, 2.0),
}


def measure() -> list[table.Row]:
    with service.project(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file").touch()
        return [settings(), *_by_turns(folder), many_files(folder)]


def _by_turns(folder: Path) -> list[table.Row]:
    kinds = {kind for pair in FLOORS.values() for kind in pair[:2]}
    taken: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    with pllib.open(study="variants", mode="offline") as session, session.stage("training"):
        assert isinstance(session, Session)
        for nth in range(ROUNDS + 1):
            for kind in random.sample(sorted(kinds, key=lambda kind: kind.__name__), len(kinds)):
                began = time.perf_counter_ns()
                kind(session, folder)
                n_calls = CALLS * (THREADED if kind is two_threads else 1)
                if nth:  # the first round makes shapes and chunks
                    taken[kind].append((time.perf_counter_ns() - began) / n_calls / 1e3)
        if session.lost:
            raise RuntimeError(f"records were lost: {session.lost}")
    return [
        table.Row(
            f"capture offline, {name}", "us",
            statistics.median(taken[kind]), statistics.median(taken[floor]),
            statistics.median(a / b for a, b in zip(taken[kind], taken[floor], strict=True)),
            at_most=most,
        )
        for name, (kind, floor, most) in FLOORS.items()
    ]  # fmt: skip


def settings() -> table.Row:
    """Return the time of an `open` with a large configuration, over one without."""
    config: dict[str, Any] = {"id2label": {str(n): f"class {n}" for n in range(N_SETTINGS)}}

    def opened(given: Any) -> float:
        began = time.perf_counter()
        session = pllib.open(mode="offline", config=given)
        took = time.perf_counter() - began
        session.close()
        return took

    took = [opened(config) - opened(None) for _ in range(7)]
    figure = f"open with {N_SETTINGS:,} settings, added"
    return table.Row(figure, "s", statistics.median(took), at_most=0.1)


def many_files(folder: Path) -> table.Row:
    """Return the time a file takes in a list of many, over one in a list of a tenth."""
    paths = [folder / f"{n:05}" for n in range(N_FILES)]
    for path in paths:
        path.touch()

    def used(n_files: int) -> float:
        given = [pllib.File(path) for path in paths[:n_files]]
        with pllib.open(mode="offline") as session:
            began = time.perf_counter()
            session.used(files=given)
            return (time.perf_counter() - began) / n_files * 1e6

    many, few = (statistics.median(used(n) for _ in range(3)) for n in (N_FILES, N_FILES // 10))
    figure = f"{N_FILES:,} files in one call, each; of {N_FILES // 10:,} as floor"
    return table.compared(figure, "us", many, few, at_most=2.0)
