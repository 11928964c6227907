"""What may go goes, and nothing else; what is archived is as good as what is not."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from harness import SCRIPT, TIMEOUT_S, TRANSFORMATIONS, Site, lack, wait_until
from keeping import N_STEPS, fill, n_records

from pllib.log import LogReader
from pllib.project import update_endpoint
from pllib.sharing import make_folder
from sprov.keeping.pieces import kept
from tracker.journal import Journal, segments

KEYS = {"what", "path", "files", "bytes", "free", "why"}
LONG_AGO = time.time() - 10 * 86_400


@pytest.fixture
def stored(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return fill(site, tmp_path_factory.getbasetemp() / "stored")


def found(site: Site, *options: str, **extra: str) -> list[dict[str, Any]]:
    rows = json.loads(site.sprov("gc", "--format", "json", *options, **extra))
    assert all(set(row) == KEYS for row in rows)
    return list(rows)


def free(site: Site) -> dict[str, int]:
    """Return what may be freed: why, and how many files."""
    return {row["why"]: row["files"] for row in found(site) if row["free"]}


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def test_an_archived_journal_is_as_good(stored: Site):
    before = stored.verify()
    n_bytes = sum(path.stat().st_size for _, path in segments(stored.project.journal / "job"))

    said = stored.sprov("gc", "--archive", "job")

    (archive,) = (stored.project.root / "archive").iterdir()
    assert said == f"journal job lies in {archive}\n"
    assert segments(stored.project.journal / "job") == []
    assert sum(path.stat().st_size for path in archive.iterdir()) < n_bytes
    assert stored.verify() == {**before, "archived": 1}
    assert stored.sprov("log", "ls").count("(archived)") == len(segments(archive))
    stored.sprov("rebuild")
    assert stored.verify() == {**before, "archived": 1}
    assert stored.count(TRANSFORMATIONS) == N_STEPS
    assert "nothing to move" in stored.sprov("gc", "--archive", "job")


def test_a_project_that_moves_finds_its_archive(stored: Site):
    stored.sprov("gc", "--archive", "job")
    moved = stored.folder / "elsewhere" / ".sprov"
    moved.parent.mkdir()
    stored.project.root.rename(moved)
    assert json.loads(
        stored.sprov("verify", "--format", "json", SPROV_DIR=str(moved))
    )["archived"] == 1  # fmt: skip


def test_an_archive_that_is_moved_back_is_a_journal(stored: Site):
    before = stored.verify()
    stored.sprov("gc", "--archive", "job")
    (archive,) = (stored.project.root / "archive").iterdir()
    archive.rename(stored.project.journal / archive.name)
    (stored.project.journal / "job/archived.json").unlink()
    stored.sprov("ingest")
    assert stored.verify() == before


def test_a_journal_of_the_same_name_begins_again(stored: Site):
    """And is another one: it can be archived as well."""
    for _ in range(2):
        stored.run("training.py")
        stored.sprov("ingest")
        stored.sprov("gc", "--archive", "ingest")
    found = stored.verify()
    assert found["archived"] == 2
    stored.sprov("rebuild")
    assert stored.verify() == found


def test_damage_in_an_archive_is_said_by_name(stored: Site):
    stored.sprov("gc", "--archive", "job")
    (archive,) = (stored.project.root / "archive").iterdir()
    path = segments(archive)[1][1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    problems = json.loads(verify_failing(stored))["problems"]
    assert any(f"{path} is not what was archived" in line for line in problems)
    assert any(f"{path}: bad frame at byte" in line for line in problems)


def verify_failing(site: Site) -> str:
    done = subprocess.run(
        [SCRIPT, "verify", "--format", "json"], env=site.environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return done.stdout


def test_a_journal_that_is_written_or_not_stored_is_left_alone(stored: Site):
    journal = Journal(stored.project.journal / "job")
    try:
        for option in ("--archive", "--forget"):
            said = stored.sprov("gc", option, "job", "--yes", status=4)
            assert "writes the journal job" in said
    finally:
        journal.close()
    stored.run("steps.py", "5")
    (log,) = stored.project.spool.glob("*.log")
    journal = Journal(stored.project.journal / "job")
    with LogReader(log) as reader:
        (frame,) = (located.frame for located in reader.frames())
    journal.append([((frame.log_id, frame.number), frame.pack())])
    journal.close()
    assert "not in the store yet. `sprov ingest`" in stored.sprov(
        "gc", "--archive", "job", status=4
    )
    assert n_records(stored.project) > N_STEPS
    stored.sprov("ingest")
    stored.sprov("gc", "--archive", "job")


def test_a_tracker_keeps_its_journal(served: Site):
    served.run("training.py")
    served.count("?s ?p ?o")
    assert "writes the journal local" in served.sprov("gc", "--archive", "local", status=4)
    served.sprov("gc", "--free", SPROV_RETENTION_KEEP_DAYS="0.0000001", status=4)
    served.verify()


@pytest.mark.parametrize("archived", [False, True])
def test_what_is_forgotten_is_known_to_be(stored: Site, archived: bool):
    before = stored.verify()
    if archived:
        stored.sprov("gc", "--archive", "job")
    assert "say --yes" in stored.sprov("gc", "--forget", "job", status=2)
    assert stored.verify()["captured"] == before["captured"]

    said = stored.sprov("gc", "--forget", "job", "--yes")

    assert f"{before['captured']} record(s)" in said
    assert not list((stored.project.root / "archive").glob("*"))
    after = stored.verify()
    assert after["forgotten"] == before["captured"]
    assert after["journalled"] == after["archived"] == 0
    refused = stored.sprov("rebuild", status=4)
    assert len(refused.splitlines()) == 1
    assert "forgotten journals (job) are only in the store" in refused
    assert stored.count(TRANSFORMATIONS) == N_STEPS
    stored.sprov("rebuild", "--without-forgotten")
    assert stored.count(TRANSFORMATIONS) == 0
    stored.verify()


def test_on_a_terminal_forgetting_is_asked_for(stored: Site):
    for answer, n_left in ((b"n\n", n_records(stored.project)), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [SCRIPT, "gc", "--forget", "job"], stdin=theirs, stdout=theirs, stderr=theirs,
            env=stored.environment(),
        )  # fmt: skip
        os.close(theirs)
        os.write(ours, answer)
        said = b""
        while b"good" not in said:
            said += os.read(ours, 1000)
        assert process.wait(TIMEOUT_S) == (0 if answer == b"y\n" else 2)
        os.close(ours)
        assert n_records(stored.project) == n_left


def test_a_session_of_which_some_is_forgotten_is_no_problem(stored: Site):
    """Its frames lie in two journals; of what is left all is stored."""
    project = stored.project
    known = segments(project.journal / "job")
    other = project.journal / "other"
    other.mkdir()
    for _, path in known[2:]:
        path.rename(other / path.name)
    stored.verify()
    stored.sprov("gc", "--forget", "job", "--yes")
    found = stored.verify()
    assert found["forgotten"] > 0
    assert found["journalled"] > 0


def leave(site: Site) -> dict[str, int]:
    """Leave what killed daemons and commands leave; return what `gc` should find."""
    project = site.project
    shutil.copytree(project.store, project.root / "rebuild/store")
    shutil.copytree(project.series, project.series.with_name("series.old"))
    (project.store / "bulk-1.sst").write_text("x")
    n_rebuild = len(list((project.root / "rebuild/store").iterdir()))
    n_aside = len(list(project.series.with_name("series.old").rglob("*.parquet")))
    current = (project.snapshots / "current").resolve()
    shutil.copytree(current, project.snapshots / "00000000")
    shutil.copytree(current, project.snapshots / "00009999.partial")
    n_snapshot = len(list(current.iterdir()))
    (series,) = list(project.series.glob("run=*/*.parquet"))[:1]
    shutil.copy(series, series.with_name("0123456789abcdef.parquet"))
    (project.journal / "job/000000000000.partial").write_text("x")
    (project.journal / "job/000000000000.log.new").write_text("x")
    for name in ("a.taken", "b.log.new"):
        (project.spool / name).write_text("x")
        age(project.spool / name)
    for name in ("old", "new"):
        make_folder(project.launches / "local")
        (project.launches / "local" / name).write_text("x")
    os.utime(project.launches / "local/old", (0, 0))
    for name in ("4242", "4243"):
        make_folder(project.logs / name)
        (project.logs / name / "tracker.jsonl").write_text("{}\n")
    for path in (project.logs / "4242/tracker.jsonl", project.logs / "4242"):
        os.utime(path, (0, 0))
    update_endpoint(
        project.endpoints / "local.json", tracker="tcp://127.0.0.1:9", host=os.uname().nodename,
        tracker_pid=2**22 + 1, server_public_key="0" * 40, client_public_key="0" * 40,
        client_secret_key="0" * 40,
    )  # fmt: skip
    age(project.endpoints / "local.json")
    return {
        "left by a rebuild or a load that was killed": n_rebuild + n_aside + 1,
        "left by a manager that was killed": n_snapshot,
        "older than those that are kept": n_snapshot,
        "not named by a commit, or superseded": 1,
        "left by a tracker that was killed": 2,
        "left by a collector that was killed a day ago": 2,
        "of daemons that ended a day ago": 1,
        "claims outside of jobs, 30 days old": 1,
        "of daemons that logged nothing for 30 days": 1,
    }


def test_what_is_left_is_shown_and_freed(stored: Site):
    assert free(stored) == {}
    before = stored.verify()
    expected = leave(stored)
    assert free(stored) == expected
    assert free(stored) == expected
    table = stored.sprov("gc")
    assert all(why in table for why in expected)

    said = stored.sprov("gc", "--free")

    assert said.startswith(f"{sum(expected.values())} file(s) deleted")
    assert free(stored) == {}
    assert stored.verify() == before
    assert {path.name for path in stored.project.root.glob("*.old")} == set()


def test_what_could_not_be_deleted_is_said_and_not_counted(stored: Site):
    """A mount in it keeps a folder there, also from root."""
    if os.geteuid():
        lack("only root can mount")
    leave(stored)
    busy = stored.project.root / "rebuild" / "store"
    subprocess.run(["mount", "-t", "tmpfs", "none", str(busy)], check=True)
    before = set(stored.project.root.rglob("*"))
    try:
        done = stored.attempt("gc", "--free")
    finally:
        subprocess.run(["umount", str(busy)], check=True)
    assert done.returncode == 1
    assert done.stderr.count("can't be deleted: Device or resource busy") == 1
    gone = [path for path in before if not os.path.lexists(path)]
    assert int(done.stdout.split()[0]) <= len(gone)
    assert any(row["why"].startswith("left by a rebuild") for row in found(stored))


def test_status_gc_and_verify_agree_on_what_waits(stored: Site):
    """A log that a rank left in the project, and the spool of one that was killed."""
    stored.run("steps.py", "3")
    killed = stored.start("steps.py", "3", "--hang", "hangs", SPROV_MODE="offline")
    wait_until((stored.folder / "hangs").exists)
    killed.kill()
    killed.wait()
    says = "2 log(s) wait for `sprov ingest`"
    assert json.loads(stored.sprov("status", "--format", "json"))["waiting_logs"] == 2
    assert says in stored.sprov("status")
    (row,) = (row for row in found(stored) if row["what"] == "spools")
    assert row["why"] == says
    verified = json.loads(stored.attempt("verify", "--format", "json").stdout)
    assert verified["problems"] == [says]
    assert says in stored.attempt("runs").stderr
    stored.sprov("ingest")
    assert "waiting " not in stored.sprov("status")


def test_what_is_in_use_stays(stored: Site):
    """A manager has the store; a process reads an old snapshot; a collector writes."""
    leave(stored)
    old, taken = stored.project.snapshots / "00000000", stored.project.spool / "a.taken"
    with (old / "CURRENT").open(), taken.open("a"):
        stored.sprov("gc", "--free")
        assert old.exists()
        assert taken.exists()
    stored.serve()
    shutil.copytree(stored.project.series, stored.project.series.with_name("series.old"))
    stored.sprov("gc", "--free")
    assert stored.project.series.with_name("series.old").exists()
    assert (stored.project.endpoints / "local.json").exists()
    stored.stop()
    stored.sprov("gc", "--free")
    assert not stored.project.series.with_name("series.old").exists()


def test_spools_wait_for_ingest_and_are_never_freed(stored: Site):
    stored.run("steps.py", "3")
    (log,) = stored.project.spool.glob("*.log")
    age(log)
    (row,) = (row for row in found(stored) if row["what"] == "spools")
    assert row["why"] == "1 log(s) wait for `sprov ingest`"
    stored.sprov("gc", "--free")
    assert log.exists()


def test_old_journals_go_to_the_archive_by_a_setting(stored: Site, tmp_path: Path):
    elsewhere = tmp_path / "cold"
    with stored.project.config.open("a") as config:
        config.write(f'\n[retention]\nkeep_days = 5\narchive = "{elsewhere}"\n')
    assert free(stored) == {}
    age(*(path for _, path in segments(stored.project.journal / "job")))
    assert list(free(stored)) == ["not written for 5 days: go to the archive"]
    assert "lies in" in stored.sprov("gc", "--free")
    assert len(list(elsewhere.iterdir())) == 1
    assert stored.verify()["archived"] == 1


@pytest.mark.parametrize(("umask", "shared"), [(0o000, False), (0o077, True)])
def test_an_archive_is_for_whom_the_project_is(stored: Site, tmp_path: Path, umask, shared):
    cold = {"SPROV_RETENTION_ARCHIVE": str(tmp_path / "cold")}
    if shared:
        stored.sprov("init", "--group")
    before = os.umask(umask)
    try:
        stored.sprov("gc", "--archive", "job", **cold)
        stored.run("training.py")
        stored.sprov("ingest")
        stored.sprov("gc", "--archive", "ingest")
    finally:
        os.umask(before)
    for root in (tmp_path / "cold", stored.project.root / "archive", stored.project.journal):
        paths = list(root.rglob("*"))
        assert paths, root
        for path in paths:
            wanted = (0o2770 if shared else 0o700) if path.is_dir() else 0o660 if shared else 0o600
            assert path.stat().st_mode & 0o7777 == wanted, path
    stored.verify()


def mounted(site: Site, folder: Path, kib: int, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run commands where `folder` is a file system of its own, of so many KiB."""
    folder.mkdir(exist_ok=True)
    script = "; ".join([f"mount -t tmpfs -o size={kib}k x {folder}", *commands])
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        env=site.environment(SPROV_RETENTION_ARCHIVE=str(folder)), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_a_full_archive_leaves_the_journal_where_it_is(stored: Site, tmp_path: Path):
    whole = n_records(stored.project)
    cold = tmp_path / "cold"
    done = mounted(stored, cold, 40, f"{SCRIPT} gc --archive job", f"ls {cold}")
    if "mount" in done.stderr or "unshare" in done.stderr:
        lack("no mount namespaces here (unshare --user --mount)")
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"the archive {cold} can't be written: No space left on device" in done.stderr
    assert n_records(stored.project) == whole
    assert kept(stored.project).pieces[0].is_archived is False


def test_an_archive_on_another_file_system_may_be_out_of_reach(stored: Site, tmp_path: Path):
    cold = tmp_path / "cold"
    commands = [f"{SCRIPT} {command}" for command in ("gc --archive job", "verify", "rebuild")]
    done = mounted(stored, cold, 4000, *commands)
    if "mount" in done.stderr or "unshare" in done.stderr:
        lack("no mount namespaces here (unshare --user --mount)")
    assert done.stderr == ""
    assert "archived            1" in done.stdout
    problem, *more = json.loads(verify_failing(stored))["problems"]
    assert more == []
    assert "can't be reached" in problem
    assert "can't be reached" in stored.sprov("rebuild", status=4)
    assert stored.count(TRANSFORMATIONS) == N_STEPS
