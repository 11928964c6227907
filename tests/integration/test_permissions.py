"""Nothing that we make is open to others, whatever the umask; no trap of theirs is walked into."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PROGRAMS, SCRIPT, TIMEOUT_S, Site, lack, wait_until
from members import Member, require_two_users

from pllib import launch
from pllib.errors import UnavailableError
from pllib.log import Owner
from pllib.places import own_place, own_places
from pllib.project import Endpoint, Project, update_endpoint
from pllib.sharing import make_private
from pllib.spool import Spool
from pllib.trackerkey import read_secret, write_secret
from pllib.waiting import spools
from slurm.service import index_folder
from sprov.finish import _end

GROUP, ADA, MALLORY = 5000, 5001, 5009
TRAINING = str(PROGRAMS / "training.py")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users reach, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="sprov-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def too_open(root: Path, folder: int, file: int) -> list[tuple[str, str]]:
    """Return what grants more than it may, with its mode."""
    found = []
    for path in (root, *root.rglob("*")):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:  # RocksDB is at work
            continue
        allowed = folder if stat.S_ISDIR(mode) else 0o600 if path.suffix == ".key" else file
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & ~allowed:
            found.append((str(path.relative_to(root)), f"{stat.S_IMODE(mode):o}"))
    return found


def wrong(root: Path, folder: int, file: int) -> list[tuple[str, str]]:
    """Return what has another mode than it must have."""
    found = []
    for path in (root, *root.rglob("*")):
        mode = path.lstat().st_mode
        due = folder if stat.S_ISDIR(mode) else 0o600 if path.suffix == ".key" else file
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) != due:
            found.append((str(path.relative_to(root)), f"{stat.S_IMODE(mode):o}"))
    return found


class Life:
    """A user who is not root does all that can be done in a project."""

    def __init__(self, place: Path, umask: int, *, shared: bool) -> None:
        empty, self.folder = place / "empty", place / "project"
        for made in (empty, self.folder):
            made.mkdir()
        require_two_users(empty)
        os.chown(self.folder, ADA, GROUP)
        self.folder.chmod(0o2770)
        self.ada = Member(ADA, [GROUP], self.folder, umask, empty)
        self.root = self.folder / ".sprov"
        self.modes = (0o2770, 0o660) if shared else (0o700, 0o600)
        self.ada.sprov("init", *(["--group"] if shared else []))

    def train(self, **environment: str) -> None:
        self.ada.run(sys.executable, TRAINING, **environment)

    def be_served(self, *options: str) -> None:
        server = self.ada.start(SCRIPT, "serve", "--ready-file", "ready", *options)
        try:
            wait_until(lambda: (self.folder / "ready").exists() or server.poll() is not None)
            self.train(SPROV_MODE="online")
            self.train(SPROV_MODE="online", SLURM_JOB_ID="7", SLURM_PROCID="0")
            self.ada.sprov("query", "ASK {}", "--live")
            assert too_open(self.root, *self.modes) == []
        finally:
            stopped = self.ada.sprov("stop")
            errors = server.communicate(timeout=TIMEOUT_S)[1]
        assert stopped == "stopped\n", errors

    def be_killed(self) -> None:
        """Leave a spool behind."""
        hang = self.folder / "hang"
        program = str(PROGRAMS / "steps.py")
        rank = self.ada.start(sys.executable, program, "3", "--hang", str(hang))
        wait_until(lambda: hang.exists() or rank.poll() is not None)
        assert too_open(self.root, *self.modes) == []
        rank.kill()
        rank.communicate()
        assert list((self.root / "spool").glob("*.spool"))

    def be_kept(self) -> None:
        self.ada.sprov("run", "--", "/bin/true")
        for command in (["ingest"], ["rebuild"], ["verify"], ["gc"]):
            self.ada.sprov(*command)


@pytest.mark.parametrize(
    ("umask", "shared"),
    [(0o000, False), (0o777, False), (0o000, True), (0o777, True)],
)
def test_a_whole_life_opens_nothing(place: Path, umask: int, shared: bool):
    """
    Init, serve, record online and offline, be killed, run, ingest, rebuild, verify: all of .sprov/
    is its owner's, or its group's, and the daemon's secret key its owner's in any case.
    """
    life = Life(place, umask, shared=shared)
    sockets = place / "sockets"
    if not shared:
        sockets.mkdir()
        os.chown(sockets, ADA, ADA)
    life.be_served(*([] if shared else ["--bind", f"unix:{sockets}/d"]))
    life.train()
    life.be_killed()
    life.be_kept()
    assert wrong(life.root, *life.modes) == []
    assert shared or wrong(sockets / "d", 0o700, 0o600) == []
    kinds = {path.relative_to(life.root).parts[0] for path in life.root.rglob("*")}
    assert {"config.toml", "endpoints", "journal", "series", "snapshots", "spool", "store"} <= kinds
    inside = [path.lstat() for path in life.root.rglob("*")]
    assert {found.st_uid for found in inside} == {ADA}
    assert not shared or {found.st_gid for found in inside} == {GROUP}


def test_what_a_user_asks_to_be_written_has_the_umask(site: Site):
    """An export is the user's own file."""
    site.run("steps.py", "2", SPROV_MODE="offline")
    site.sprov("ingest")
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(umask)
        try:
            site.sprov("export", "@last", "-o", "run.ttl")
        finally:
            os.umask(before)
        assert stat.S_IMODE((site.folder / "run.ttl").stat().st_mode) == mode
        (site.folder / "run.ttl").unlink()


def test_a_secret_key_lies_apart_and_goes_to_nobody(site: Site):
    """What ranks read does not have it; who may not read it makes new ones."""
    site.serve()
    file = site.project.endpoints / "local.json"
    secret = read_secret(file)
    assert len(secret) == 40
    assert secret not in file.read_text()
    first = site.endpoint.server_public_key
    site.kill("tracker")
    wait_until(lambda: site.endpoint.tracker)
    assert (read_secret(file), site.endpoint.server_public_key) == (secret, first)
    site.stop()
    write_secret(file, "x" * 40)
    site.serve()
    assert site.endpoint.server_public_key != first
    site.run("steps.py", "2")
    site.sprov("init", "--group")
    assert stat.S_IMODE(file.with_suffix(".key").stat().st_mode) == 0o600


def test_links_in_a_group_are_not_followed(tmp_path: Path):
    """A member who puts a link where we are to write has nothing of ours written over."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    project = Project(tmp_path / ".sprov").create()
    file = project.endpoints / "local.json"
    for name in ("local.lock", f"local.{os.getpid()}.tmp"):
        link = project.endpoints / name
        link.symlink_to(precious)
        with pytest.raises(OSError, match="symbolic"):
            update_endpoint(file, host="h")
        link.unlink()
    assert precious.read_text() == "mine"


def as_mallory(*lines: str) -> None:
    """Have another user run shell lines."""
    command = ["setpriv", "--reuid", str(MALLORY), "--regid", str(MALLORY), "--clear-groups"]
    subprocess.run([*command, "sh", "-ec", "\n".join(lines)], check=True)


@pytest.fixture
def everybodys(place: Path) -> Path:
    """A folder as /dev/shm is."""
    if os.geteuid():
        lack("only root can be two users")
    made = place / "shm"
    made.mkdir()
    made.chmod(0o1777)
    return made


TRAPS = {
    "a folder of theirs": "mkdir -m 777 {}",
    "a link to a folder of theirs": "mkdir -m 777 theirs; ln -s theirs {}",
    "a link to a folder of ours": "ln -s ours {}",
    "a link to nothing": "ln -s nothing {}",
    "a file": "touch {}",
    "a pipe": "mkfifo {}",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_place_that_others_took_is_not_used(everybodys: Path, trap: str):
    """There is another instead, the same for all of this user's processes."""
    (everybodys / "ours").mkdir(mode=0o700)
    taken = everybodys / f"sprov-{os.getuid()}"
    as_mallory(f"cd {everybodys}", TRAPS[trap].format(taken.name))
    with pytest.raises((UnavailableError, FileExistsError)):
        make_private(taken)
    found = own_place(str(everybodys))
    assert found.parent == everybodys
    assert found not in (taken, everybodys / "ours")
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert own_place(str(everybodys)) == found
    assert own_places(str(everybodys)) == [found]
    assert list((everybodys / "ours").iterdir()) == []


def test_a_place_that_others_may_enter_is_not_used(everybodys: Path):
    open_ = everybodys / f"sprov-{os.getuid()}"
    open_.mkdir()
    open_.chmod(0o755)
    assert own_place(str(everybodys)) != open_


def test_a_place_is_made_once_under_any_umask(everybodys: Path):
    before = os.umask(0o777)
    try:
        found = own_place(str(everybodys))
    finally:
        os.umask(before)
    assert found == everybodys / f"sprov-{os.getuid()}"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_a_forged_spool_is_not_read(everybodys: Path, site: Site, monkeypatch):
    """
    Mallory leaves a spool of our project, a link to a log of ours and a pipe where site's spools
    lie: none is read, and nobody blocks on it.
    """
    monkeypatch.setenv("SPROV_SPOOL_DIR", str(everybodys))
    gone = Owner(launch.host(), launch.boot_id(), 2**22 - 1, 1.0, "0" * 32, "", site.project.key)
    forged = everybodys / "forged.spool"
    Spool(forged, gone, 4096, 1 << 20).close(keep=True)
    ours = everybodys / "ours.spool"
    shutil.copy(forged, ours)
    hidden = site.folder / "hidden.log"
    shutil.copy(forged, hidden)
    forged.chmod(0o644)
    os.chown(forged, MALLORY, MALLORY)
    as_mallory(f"cd {everybodys}", f"ln -s {hidden} linked.spool", "mkfifo pipe.spool")

    assert [log.path for log in spools(site.project, os.environ)] == [ours]

    site.sprov("ingest")
    assert not ours.exists()
    assert forged.exists() and hidden.exists()


def test_nobody_keeps_anothers_job_from_its_tracker(everybodys: Path, site: Site):
    """Who takes the name of the folder for indexes is passed over, and the endpoint says where."""
    taken = everybodys / f"sprov-{os.getuid()}"
    as_mallory(f"mkdir -m 777 {taken}")
    site.serve("--temporary", "--indexes", str(taken / "7"))
    indexes = Path(site.endpoint.indexes)
    assert indexes.parent == own_place(str(everybodys)) != taken
    assert (indexes / "store").is_dir()
    assert site.count("?anything a prov:Activity") == 0
    site.stop()
    assert list(indexes.parent.iterdir()) == list(taken.iterdir()) == []


def test_what_a_killed_job_left_is_removed_from_another_folder(everybodys: Path, site: Site):
    as_mallory(f"mkdir -m 777 {everybodys}/sprov-{os.getuid()}")
    Path(site.project.config).write_text(f'[serve]\nindexes = "{everybodys}"\n')
    usual = index_folder(site.project, str(everybodys), "7", launch.host(), os.environ)
    left = own_place(str(everybodys)) / usual.name
    (left / "store").mkdir(parents=True)
    _end(Endpoint(host=launch.host()), "7", site.project)
    assert not left.exists()
