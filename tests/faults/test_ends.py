"""However a process ends: each record whose call returned is in the store once, and the end itself
is what it would have been without us.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from harness import MPIRUN, PROGRAMS, TIMEOUT_S, TRANSFORMATIONS, Site, lack

pytestmark = pytest.mark.timeout(3600)
"""The first test waits for all programs; each of them has a limit of its own."""

KILLED, COMPLETED, FAILED = "killed", "completed", "failed"
ENDS: dict[str, dict[str, str]] = {
    "default_sigterm": {"": KILLED},
    "own_sigterm": {"": COMPLETED},
    "slow_sigterm": {"": KILLED},
    "exit_at_once": {"": KILLED},
    "abort": {"": KILLED},
    "interrupt": {"": FAILED},
    "raise_error": {"": FAILED},
    "raise_in_hook": {"": FAILED},
    "raise_at_exit": {"": COMPLETED},
    "capture_at_exit": {"": COMPLETED},
    "exit_in_thread": {"": COMPLETED},
    "daemon_threads": {"": COMPLETED},
    "run_again": {"": KILLED, "-again": KILLED},
    "fork": {"": COMPLETED, "-child": COMPLETED},
    "processes_fork": {"": COMPLETED, "-0": COMPLETED, "-1": COMPLETED},
    "processes_spawn": {"": COMPLETED, "-0": COMPLETED, "-1": COMPLETED},
    "processes_forkserver": {"": COMPLETED, "-0": COMPLETED, "-1": COMPLETED},
    "data_loader": {"": COMPLETED, "-0": COMPLETED, "-1": COMPLETED},
    "abort_all_ranks": {"-0": KILLED, "-1": KILLED},
}
"""What each end does to its sessions, by what their names add to its own."""
IN_CALLS = {"slow_sigterm": 1, "interrupt": 1, "abort_all_ranks": 1, "daemon_threads": sys.maxsize}
"""Calls that may be under way at the end: they are kept, or not, and none has returned.  Daemon
threads note none any more once a call of any of them is refused."""
ANYWHERE = ("interrupt", "abort_all_ranks")
"""They print where they were, which differs from time to time."""


@dataclass
class Ended:
    """What was seen of a program from outside."""

    status: int
    out: str
    errors: list[str]
    told: list[str] = field(default_factory=list)
    """Lines of ours among its errors."""


Run = Ended | subprocess.TimeoutExpired


class Ends:
    """All programs, each run with records kept and without; and then what the store has.

    One that did not end in time fails its own tests alone.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        names = [name for name in ENDS if not _missing(name)]
        with ThreadPoolExecutor(3) as pool:
            self.with_us = dict(zip(names, pool.map(self._run, names), strict=True))
            off = pool.map(lambda name: self._run(name, SPROV_MODE="off"), names)
            self.without = dict(zip(names, off, strict=True))
        site.sprov("ingest")
        rows = site.select(
            f"""SELECT ?who ?n {{ {TRANSFORMATIONS} ; prov:used ?u, ?w .
                ?u prov:value ?n ; provml:ofAttribute/rdfs:label "n" .
                ?w prov:value ?who ; provml:ofAttribute/rdfs:label "who" }}"""
        )
        self.stored = Counter((row["who"], int(row["n"])) for row in rows)
        runs = json.loads(site.sprov("runs", "--format", "json", "--live"))
        self.states = {run["name"]: run["state"] for run in runs}
        self.report = site.verify()

    def ledger(self, name: str, mode: str = "") -> Path:
        return self._site.folder / f"{name}{mode}.ledger"

    def _run(self, name: str, **environment: str) -> Run:
        ledger = self.ledger(name, environment.get("SPROV_MODE", ""))
        command = [sys.executable, str(PROGRAMS / "ends.py"), name, str(ledger)]
        if name == "abort_all_ranks":
            command = [str(MPIRUN), "-n", "2", *command]
        try:
            done = subprocess.run(
                command, env=self._site.environment(**environment), cwd=self._site.folder,
                capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            return exc
        lines = done.stderr.splitlines()
        told = [line for line in lines if line.startswith("sprov: ")]
        said = [line for line in lines if line not in told]
        return Ended(done.returncode, done.stdout, said, told)


def _missing(name: str) -> str:
    """Return what an end needs and is not installed; in CI all is."""
    if name == "data_loader" and find_spec("torch") is None:
        return "torch"
    return "mpi" if name == "abort_all_ranks" and not MPIRUN.exists() else ""


@pytest.fixture(params=ENDS)
def name(request: pytest.FixtureRequest) -> str:
    if missing := _missing(request.param):
        lack(f"{missing} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    with Site(tmp_path_factory.mktemp("ends")) as site:
        site.serve()
        yield Ends(site)


def _ended(run: Run) -> Ended:
    if isinstance(run, subprocess.TimeoutExpired):
        raise run
    return run


def test_every_record_whose_call_returned_is_in_the_store_once(ends: Ends, name: str):
    _ended(ends.with_us[name])
    returned = set()
    for line in ends.ledger(name).read_text().splitlines():
        who, number = line.split()
        returned.add((who, int(number)))
    names = {name + suffix for suffix in ENDS[name]}
    stored = {key: n for key, n in ends.stored.items() if key[0] in names}
    assert set(stored.values()) <= {1}
    assert returned <= set(stored)
    assert len(stored) - len(returned) <= IN_CALLS.get(name, 0)


def test_the_end_is_what_it_is_without_us(ends: Ends, name: str):
    with_us, without = (_ended(runs[name]) for runs in (ends.with_us, ends.without))
    assert with_us.status == without.status
    assert with_us.out == without.out
    assert not [line for line in with_us.errors if "pllib" in line and name not in ANYWHERE]
    if name not in ANYWHERE:
        assert [_plain(line) for line in with_us.errors] == [_plain(e) for e in without.errors]
    told = with_us.told
    if name == "daemon_threads":  # calls that come after the close are counted, and that is told
        told = [line for line in told if not re.search(r"records were not kept: after close", line)]
    assert told == []


def _plain(line: str) -> str:
    """Return a line without addresses and process ids."""
    return re.sub(r"0x[0-9a-f]+|\d{3,}", "N", line)


def test_its_state_is_told(ends: Ends, name: str):
    _ended(ends.with_us[name])
    expected = {f"{name}{suffix}": state for suffix, state in ENDS[name].items()}
    assert {who: ends.states.get(who) for who in expected} == expected


def test_what_each_session_says_that_it_wrote_is_there(ends: Ends):
    """Of threads that went on after the end, too: what is refused then is counted as lost."""
    assert ends.report["problems"] == []
