"""A project is a folder of ours, or one that was shared with us on purpose; no other is taken."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PROGRAMS, SCRIPT, TIMEOUT_S
from members import Member, require_two_users

GROUP, ADA, MALLORY = 5000, 5001, 5009
STEPS = (sys.executable, str(PROGRAMS / "steps.py"), "2")


class Town:
    """A folder where everybody may write, as /tmp is; Ada's in it, and Mallory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.chmod(0o755)
        empty, self.square = place / "empty", place / "square"
        self.home = self.square / "ada"
        for folder in (empty, self.square, self.home):
            folder.mkdir()
        require_two_users(empty)
        self.square.chmod(0o1777)
        os.chown(self.home, ADA, GROUP)
        self.ada = Member(ADA, [GROUP], self.home, 0o022, empty)
        self.mallory = Member(MALLORY, [GROUP], self.square, 0o022, empty)
        self.foreign = self.square / ".sprov"

    def train(self) -> list[str]:
        """Have Ada train, and return what is said."""
        rank = self.ada.start(*STEPS)
        _, errors = rank.communicate(timeout=TIMEOUT_S)
        assert rank.returncode == 0, errors
        return errors.splitlines()

    def files(self, root: Path) -> set[Path]:
        return {path for path in root.rglob("*") if not path.is_dir()}


@pytest.fixture
def town() -> Iterator[Town]:
    """Not in pytest's own folder, which is closed to other users."""
    with tempfile.TemporaryDirectory(prefix="sprov-") as place:
        yield Town(Path(place))


TRAPS = {
    "of another": ["sprov init", "chmod -R a+rwX .sprov"],
    "that can't be read": ["mkdir -m 700 .sprov", "echo mode = = 1 > .sprov/config.toml"],
    "that all groups share": [f"chgrp {GROUP} .", "sprov init --group"],
    "that is a link to one of ours": ["ln -s ada/own/.sprov .sprov"],
    "that is a link to one of theirs": ["mkdir theirs", "sprov init theirs", "ln -s theirs/.sprov"],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_project_of_others_above_is_passed_over(town: Town, trap: str):
    town.ada.sprov("init", "own")
    lines = [line.replace("sprov init", f"{SCRIPT} init") for line in TRAPS[trap]]
    if "share" in trap:
        os.chown(town.square, 0, GROUP)
        lines = lines[1:]
    town.mallory.run("sh", "-ec", "\n".join(lines))
    before = town.files(town.foreign)

    assert "no .sprov/" in town.ada.sprov("runs", status=2)
    assert "#SBATCH" in town.ada.sprov("slurm", "template", "small-job")
    passed, *rest = town.train()
    assert str(town.foreign) in passed
    assert "passed over" in passed
    assert len(rest) <= 1  # where records go
    assert list((town.home / ".sprov" / "spool").glob("*.log"))
    assert town.files(town.foreign) == before
    town.ada.sprov("init")
    town.ada.sprov("ingest")
    assert town.ada.runs() == 1


def test_a_project_of_others_is_not_made_ours(town: Town):
    town.mallory.run("sh", "-ec", f"{SCRIPT} init\nchmod -R a+rwX .sprov")
    town.ada.folder = town.square
    assert "somebody else's" in town.ada.sprov("init", status=2)
    assert "somebody else's" in town.ada.sprov("init", "--group", status=2)
    assert town.train()[-1].endswith("the program runs without provenance")


def test_ones_own_project_is_used_wherever_it_is(town: Town):
    town.ada.sprov("init", str(town.square))
    assert all("passed over" not in line for line in town.train())
    assert list((town.foreign / "spool").glob("*.log"))
    assert not (town.home / ".sprov").exists()


def test_a_project_that_is_shared_on_purpose_is_used(town: Town):
    """It is in a folder where not everybody may write."""
    os.chown(town.square, 0, GROUP)
    town.square.chmod(0o2770)
    town.mallory.sprov("init", "--group")
    assert all("passed over" not in line for line in town.train())
    assert list((town.foreign / "spool").glob("*.log"))


def test_root_takes_a_users_project_only_when_it_is_named(town: Town):
    """Else root's files would lie in it, and its settings would say what root reads and writes."""
    town.ada.sprov("init")
    root = town.home / ".sprov"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SPROV_")}
    command = [SCRIPT, "gc"]
    refused = subprocess.run(command, cwd=town.home, env=kept, capture_output=True, text=True)
    assert refused.returncode == 2
    assert f"SPROV_DIR={root}" in refused.stderr
    named = {**kept, "SPROV_DIR": str(root)}
    done = subprocess.run(command, cwd=town.home, env=named, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
