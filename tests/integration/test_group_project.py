"""Projects that a Unix group shares, and those that are their owner's alone, under any umask."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PROGRAMS, SCRIPT, TIMEOUT_S, TRANSFORMATIONS, Site, wait_until
from members import Member, require_two_users

GROUP = 5000
ADA, GRACE, STRANGER = 5001, 5002, 5003


class Shared:
    """A folder of a group, and two users in it whose files nobody else may read by default."""

    def __init__(self, place: Path) -> None:
        place.chmod(0o755)
        self.empty = place / "empty"
        self.folder = place / "shared"
        for folder in (self.empty, self.folder):
            folder.mkdir()
        require_two_users(self.empty)
        os.chown(self.folder, 0, GROUP)
        self.folder.chmod(0o2770)
        self.ada = self.member(ADA, [GROUP], 0o077)
        self.grace = self.member(GRACE, [GROUP], 0o022)

    def member(self, uid: int, groups: list[int], umask: int) -> Member:
        return Member(uid, groups, self.folder, umask, self.empty)

    @property
    def root(self) -> Path:
        return self.folder / ".sprov"


@pytest.fixture
def shared() -> Iterator[Shared]:
    """A project of a group; not in pytest's own folder, which is closed to other users."""
    with tempfile.TemporaryDirectory(prefix="sprov-") as place:
        made = Shared(Path(place))
        assert "shared by group" in made.ada.sprov("init", "--group")
        yield made


def modes(root: Path) -> set[tuple[str, str]]:
    """Return what kinds of things lie in a folder, itself included, and with which modes.

    A daemon's secret key, which is its owner's in any project, is looked at here.
    """
    found = set()
    for path in (root, *root.rglob("*")):
        mode = path.lstat().st_mode
        if path.suffix == ".key":
            assert stat.S_IMODE(mode) == 0o600
        elif not stat.S_ISLNK(mode):
            kind = "folder" if stat.S_ISDIR(mode) else "file"
            found.add((kind, f"{stat.S_IMODE(mode):o}"))
    return found


def transformations(member: Member) -> int:
    query = f"SELECT (COUNT(*) AS ?n) {{ {TRANSFORMATIONS} }}"
    return int(member.sprov("query", query, "--format", "csv").split()[1])


def test_members_write_the_same_project_in_turn(shared):
    """
    Ada and Grace record, ingest, rebuild, query and verify; neither meets a file of the other's
    that it may not read or replace, and the group has all of it.
    """
    ada, grace = shared.ada, shared.grace
    for member in (ada, grace):
        member.train()
        member.sprov("ingest")
    grace.train()
    ada.sprov("ingest")

    assert ada.runs() == grace.runs() == 3
    grace.sprov("rebuild")
    ada.train()
    ada.sprov("ingest")
    grace.sprov("verify")
    assert modes(shared.root) == {("folder", "2770"), ("file", "660")}
    inside = [path.lstat() for path in shared.root.rglob("*")]
    assert {found.st_gid for found in inside} == {GROUP}
    assert {found.st_uid for found in inside} == {ADA, GRACE}


def test_one_serves_the_group_and_nobody_else(shared):
    server = shared.ada.start(SCRIPT, "serve", "--ready-file", "ready")
    try:
        wait_until((shared.folder / "ready").exists)
        shared.grace.train()
        assert "handed to the running tracker" in shared.grace.sprov("ingest")
        wait_until(lambda: shared.grace.runs() == 1)
        assert f"is of user {ADA}" in shared.grace.sprov("stop", status=4)
        stranger = shared.member(STRANGER, [], 0o022)
        stranger.folder = Path("/")
        said = stranger.sprov("runs", status=1, SPROV_DIR=str(shared.root))
        assert "Permission denied" in said
    finally:
        shared.ada.sprov("stop")
        server.communicate(timeout=TIMEOUT_S)
    assert list((shared.root / "endpoints").iterdir()) == []
    assert modes(shared.root) == {("folder", "2770"), ("file", "660")}


def test_a_rank_that_can_not_be_seen_keeps_its_spool(shared):
    """Where /proc hides other users' processes, Ada's rank is not dead to Grace."""
    hang = shared.folder / "hang"
    program = str(PROGRAMS / "steps.py")
    rank = shared.ada.start(sys.executable, program, "7", "--hang", str(hang))
    try:
        wait_until(hang.exists)
        blind = Member(GRACE, [GROUP], shared.folder, 0o022, shared.empty, hidden=True)
        assert blind.run("test", "-e", f"/proc/{rank.pid}", status=1) == ""
        blind.sprov("ingest")
        spools = list((shared.root / "spool").glob("*.spool"))
    finally:
        rank.kill()
        rank.communicate()
    assert len(spools) == 1
    shared.grace.sprov("ingest")
    assert list((shared.root / "spool").iterdir()) == []
    assert transformations(shared.grace) == 7


def test_a_spool_folder_of_all_users(shared):
    """As on a node's disk: neither takes, nor trips over, what is another's."""
    everybodys = shared.empty.with_name("scratch")
    theirs = everybodys / "theirs"
    theirs.mkdir(parents=True)
    os.chown(theirs, STRANGER, STRANGER)
    everybodys.chmod(0o1777)
    site_file = everybodys / "site.toml"
    site_file.write_text(f'[capture]\nspool_dir = "{everybodys}"\n')
    site_file.chmod(0o644)
    there = {"SPROV_SITE_CONFIG": str(site_file)}
    stranger = Member(STRANGER, [], theirs, 0o022, shared.empty)
    hang, program = theirs / "hang", str(PROGRAMS / "steps.py")
    rank = stranger.start(sys.executable, program, "3", "--hang", str(hang), **there)
    wait_until(hang.exists)
    rank.kill()
    rank.communicate()

    assert shared.ada.sprov("ingest", **there).startswith("0 log(s)")

    assert len(list(everybodys.glob("*.spool"))) == 1
    stranger.sprov("ingest", **there)
    assert not list(everybodys.glob("*.spool"))
    assert transformations(stranger) == 3


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_project_is_its_owners_alone_unless_told(tmp_path: Path, site: Site, umask: int):
    """Even where the folder around it is a group's."""
    site.project.root.rename(tmp_path / "other")
    tmp_path.chmod(0o2775)
    before = os.umask(umask)
    try:
        site.sprov("init")
        site.run("training.py", SPROV_MODE="offline")
        site.sprov("ingest")
    finally:
        os.umask(before)
    assert modes(site.project.root) == {("folder", "700"), ("file", "600")}


def test_a_project_that_is_there_already_is_shared_whole(site: Site):
    site.run("training.py", SPROV_MODE="offline")
    site.sprov("ingest")

    assert "shared by group" in site.sprov("init", "--group")

    assert modes(site.project.root) == {("folder", "2770"), ("file", "660")}
    site.run("training.py", SPROV_MODE="offline")
    assert modes(site.project.root) == {("folder", "2770"), ("file", "660")}
    site.sprov("ingest")
    site.verify()


def test_spools_elsewhere_are_never_the_groups(site: Site, tmp_path: Path):
    """A spool folder that a group may write is not a project that it shares."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o2770)
    site.sprov("init", "--group")
    hang = tmp_path / "hang"
    site.start("steps.py", "1", "--hang", str(hang), SPROV_SPOOL_DIR=str(elsewhere))
    wait_until(hang.exists)
    assert modes(elsewhere) == {("folder", "2770"), ("file", "600")}


def test_a_group_that_is_none_is_told(site: Site):
    said = site.sprov("init", "--group", "no-such-group", status=2)
    assert "there is no group 'no-such-group'" in said
    assert site.project.root.stat().st_mode & 0o7777 == 0o700
