"""Power cuts: what was acknowledged survives the loss of all that was not synced."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from harness import PROGRAMS, wait_until
from killing import SEED, Rank, check_all, transformations
from machine import Machine

from pllib.log import LogReader
from pllib.project import Endpoint
from sprov.tallies import Tallies
from tracker.journal import read_journal

N_CUTS = 2
N_STEPS = 300


def test_what_was_acknowledged_survives_power_cuts(machine: Machine):
    """Ranks are on other machines and go on; what they were not acknowledged they send again."""
    draw = random.Random(SEED)
    machine.disk.begin()
    machine.serve()
    stop = machine.folder / "stop"
    ranks = [Rank(machine, nth, stop) for nth in range(2)]
    lost = 0
    for _ in range(N_CUTS):
        machine.sync_more(draw.randint(5_000, 100_000))
        lost += machine.cut_power(draw).n_bytes
        machine.serve()
    stop.touch()
    for rank in ranks:
        rank.end()
    machine.sprov("ingest")
    check_all(machine, ranks)
    assert machine.verify()["sessions_not_ended"] == 0
    assert lost > 0


@pytest.mark.parametrize("hasty", [False, True])
def test_it_is_lost_if_it_is_acknowledged_before_it_is_synced(machine: Machine, hasty: bool):
    """So the cut takes what it should; a tracker that syncs first loses nothing."""
    if hasty:
        machine.script = _as_sprov(machine)
    machine.disk.begin()
    machine.serve_tracker()
    hangs = machine.folder / "hangs"
    rank = machine.start("steps.py", str(N_STEPS), "--hang", str(hangs))
    wait_until(hangs.exists)
    (spool,) = machine.spools.glob("*.spool")
    wait_until(lambda: _is_empty(spool))
    machine.cut_power(random.Random(0))
    rank.kill()
    rank.communicate()
    machine.sprov("ingest")
    if hasty:
        assert sorted(transformations(machine)) != list(range(N_STEPS))
    else:
        assert sorted(transformations(machine)) == list(range(N_STEPS))


def _as_sprov(machine: Machine) -> str:
    """Return a command of this name: daemons start others like themselves."""
    folder = machine.folder / "bin"
    folder.mkdir()
    path = folder / "sprov"
    path.write_text(f"#!{sys.executable}\n{(PROGRAMS / 'hasty.py').read_text()}")
    path.chmod(0o700)
    return str(path)


def _is_empty(spool) -> bool:
    """Tell whether all that a rank captured was acknowledged."""
    with LogReader(spool) as reader:
        return not any(reader.frames())


def test_logs_without_a_tracker_survive_until_they_are_stored(machine: Machine):
    """What an outbox has is freed in the spool; what is ingested is deleted in the outbox."""
    draw = random.Random(SEED)
    machine.disk.begin()
    machine.run("steps.py", str(N_STEPS))
    machine.disk.cut(undelete=True)
    (log,) = machine.project.spool.glob("*.log")
    tallies = Tallies()
    with LogReader(log) as reader:
        for located in reader.frames():
            tallies.add(located.frame)
    assert tallies.n_records > N_STEPS
    assert list(machine.spools.glob("*.spool")) == []
    ingest = machine.start_command("ingest")
    machine.sync_more(draw.randint(0, 20_000), ingest)
    ingest.kill()
    ingest.communicate()
    machine.disk.cut(undelete=draw.random() < 0.5)
    machine.sprov("ingest")
    machine.disk.cut(undelete=draw.random() < 0.5)
    assert sorted(transformations(machine)) == list(range(N_STEPS))
    machine.sprov("ingest")
    assert not log.exists()
    assert sorted(transformations(machine)) == list(range(N_STEPS))
    assert machine.verify()["captured"] == tallies.n_records


def test_segments_survive_while_they_are_compressed(machine: Machine):
    draw = random.Random(SEED)
    folder = machine.project.journal / "sealed"
    n_durable = 0
    for _ in range(4):
        machine.disk.begin()
        command = [sys.executable, str(PROGRAMS / "sealed.py"), str(folder)]
        process = subprocess.Popen(
            command, env=machine.environment(), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(draw.randint(50, 400)):
            n_durable = int(process.stdout.readline()) + 1
        process.kill()
        n_durable = max([n_durable, *(int(n) + 1 for n in process.stdout.read().split()[:-1])])
        process.wait()
        machine.disk.cut(undelete=draw.random() < 0.5)
        found = [(ordinal, frame.number) for ordinal, frame in read_journal(folder)]
        assert found == [(n, n) for n in range(len(found))]
        assert len(found) >= n_durable
    assert len(list(folder.glob("*.sealed"))) > 5


def test_the_endpoint_file_and_its_keys_are_whole_after_a_power_cut(machine: Machine):
    """So a tracker comes back with its keys, and ranks that know them find it."""
    machine.disk.begin()
    machine.serve_tracker()
    before = machine.endpoint
    machine.cut_power(random.Random(0))
    machine.serve_tracker()
    after = machine.endpoint
    keys: list[str] = [name for name in Endpoint.__struct_fields__ if name.endswith("_key")]
    assert [getattr(after, name) for name in keys] == [getattr(before, name) for name in keys]
    assert after.tracker == before.tracker
