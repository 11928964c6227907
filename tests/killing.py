"""Ranks, daemons and query workers that are killed while somebody looks on, and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import PROGRAMS, TIMEOUT_S, TRANSFORMATIONS, Site, wait_until

from pllib.delivery import ask_status
from query.engine import Engine, find_engine
from query.series import read_series

SEED = int(os.environ.get("SPROV_TEST_SEED", time.time_ns() % 10**6))
FAR = 1_000_000
"""Between the first numbers of two ranks."""


class Rank:
    """A process of `counted.py`, and the calls of it that returned."""

    def __init__(self, site: Site, nth: int, stop: Path, **extra: str) -> None:
        self.name = f"rank-{nth}"
        self.first = nth * FAR
        self.ledger = site.folder / self.name
        self.was_killed = False
        self.process = site.start(
            "counted.py", str(self.ledger), str(self.first), str(stop), **extra
        )

    @property
    def returned(self) -> Counter[str]:
        """Calls that returned, by their letters in `counted.py`."""
        data = self.ledger.read_bytes() if self.ledger.exists() else b""
        return Counter(data.decode())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.was_killed = True

    def end(self) -> None:
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0, errors
        assert self.returned["C"] == 1


class Killing:
    """A served site with ranks and an observer, and a draw of whom to kill next."""

    def __init__(self, site: Site, n_ranks: int) -> None:
        self.site = site
        print(f"SPROV_TEST_SEED={SEED}")  # so that it can be run again
        self.draw = random.Random(SEED)
        self.stop = site.folder / "stop"
        self.done = site.folder / "observed"
        self.ranks: list[Rank] = []
        self.killed: Counter[str] = Counter()
        self._dead: set[int] = set()
        for _ in range(n_ranks):
            self.start_rank()
        command = [sys.executable, str(PROGRAMS / "observer.py"), str(self.done)]
        self.observer = subprocess.Popen(
            command, env=site.environment(), stdout=subprocess.PIPE, text=True
        )
        wait_until(lambda: all(rank.returned["T"] for rank in self.ranks))

    def start_rank(self) -> None:
        self.ranks.append(Rank(self.site, len(self.ranks), self.stop))

    @property
    def alive(self) -> list[Rank]:
        return [rank for rank in self.ranks if rank.process.poll() is None]

    @property
    def n_calls(self) -> int:
        return sum(rank.ledger.stat().st_size for rank in self.ranks if rank.ledger.exists())

    def go_on(self, most: int) -> None:
        """Wait until some more calls have returned, drawn up to `most`: ranks never stand still."""
        target = self.n_calls + self.draw.randint(0, most)
        wait_until(lambda: self.n_calls >= target)

    def kill(self, what: str) -> None:
        """Kill one at random of a kind: rank, tracker, manager or worker."""
        if what == "rank":
            self.draw.choice(self.alive).kill()
            self.start_rank()
        else:
            pid = self.draw.choice(wait_until(lambda: self._living(what)))
            os.kill(pid, signal.SIGKILL)
            self._dead.add(pid)
        self.killed[what] += 1

    def _living(self, what: str) -> list[int]:
        """Return the processes of a kind that nobody killed yet: a daemon may still be starting."""
        assert self.site.server is not None
        daemons = children(self.site.server.pid)
        if what == "worker":
            found = [pid for each in daemons if is_of(each, "manager") for pid in children(each)]
        else:
            found = [each for each in daemons if is_of(each, what)]
        return [pid for pid in found if pid not in self._dead]

    def end(self) -> dict[str, Any]:
        """Have the ranks end in order and take in what is left; return what the observer saw."""
        last = self.alive
        self.stop.touch()
        for rank in last:
            rank.end()
        self.site.sprov("ingest")
        self.done.touch()
        out, _ = self.observer.communicate(timeout=TIMEOUT_S)
        assert self.observer.returncode == 0
        return dict(json.loads(out))


def is_of(pid: int, word: str) -> bool:
    """Tell whether a process has a word in its command, and is not dead."""
    with contextlib.suppress(OSError):
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def check_all(site: Site, ranks: list[Rank]) -> tuple[int, int]:
    """Assert that all that returned is in the store, once; return (records, of them not counted).

    Of a rank that was killed one more may be: it was killed between a call and its note.
    """
    total = extra = 0
    for kind, found in (("T", transformations(site)), ("M", points(site)), ("B", stages(site))):
        by_rank: dict[int, list[int]] = {}
        for n in found:
            by_rank.setdefault(n // FAR, []).append(n)
        for nth, rank in enumerate(ranks):
            mine = sorted(by_rank.pop(nth, []))
            n_calls = rank.returned[kind]
            assert mine == sorted(set(mine)), f"{rank.name}: {kind} doubled"
            assert len(mine) - n_calls in ((0, 1) if rank.was_killed else (0,)), (
                f"{rank.name}: {n_calls} calls {kind} returned, {len(mine)} are there"
            )
            if kind != "B":
                assert mine == list(range(rank.first, rank.first + len(mine)))
            total, extra = total + len(mine), extra + len(mine) - n_calls
        assert by_rank == {}
    return total, extra


def engine_of(site: Site) -> Engine:
    """Return an engine for large answers, once all that is journalled can be seen."""
    engine = find_engine(site.project, site.environment(), timeout_s=600.0)
    if endpoint := engine.endpoint:
        wait_until(lambda: ask_status(endpoint)["settled"], 600)
        engine.flush()
    return engine


def transformations(site: Site) -> list[int]:
    rows = engine_of(site).select(
        f"""SELECT ?n {{ {TRANSFORMATIONS} ; prov:used ?u .
            ?u prov:value ?n ; provml:ofAttribute/rdfs:label "n" }}"""
    )
    return [int(row["n"]) for row in rows]


def stages(site: Site) -> list[int]:
    """Return the numbers in the names of the stages."""
    rows = engine_of(site).select(
        """SELECT DISTINCT ?s ?name { ?s a provml:TrainingExecution ; rdfs:label ?name }"""
    )
    return [int(row["name"].rpartition("-")[2]) for row in rows]


def points(site: Site) -> list[int]:
    """Return the steps of all points of `loss`."""
    engine = engine_of(site)
    found: list[int] = []
    for run in engine.runs():
        found += read_series(engine, run["run"], ["loss"])["step"].to_pylist()
    return found


def check_sessions(site: Site, ranks: list[Rank]) -> None:
    """Assert that logs and store agree, on every rank that had come so far as to open a session."""
    found = site.verify()
    heard = sum(bool(rank.returned) for rank in ranks)
    ended = sum(not rank.was_killed for rank in ranks)
    assert heard <= found["sessions"] <= len(ranks)
    assert found["sessions"] - found["sessions_not_ended"] == ended


def check_states(site: Site, ranks: list[Rank]) -> None:
    """Assert that ranks which were killed are closed as killed, and no other."""
    runs = {
        row["name"]: row for row in json.loads(site.sprov("runs", "--format", "json", "--live"))
    }
    for rank in ranks:
        if rank.name in runs or rank.returned:
            state = runs[rank.name]["state"]
            assert state == ("killed" if rank.was_killed else "completed"), (rank.name, state)
