"""Whatever is wrong with a project, a program runs on as it would without, and says so once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site, lack

PROGRAM = """
import os, shutil, sys
import pllib
if "--gone" in sys.argv:
    shutil.rmtree(os.getcwd())
with pllib.open(study="s", mode="offline") as session:
    with session.stage("training", "fit", hyperparameters={"lr": 1}) as stage:
        for epoch in stage.sections("epoch", 2):
            epoch.metric("loss", 1.0, step=0)
        with stage.transformation("t", used={"a": 1}) as step:
            step.generated(b=2)
pllib.current().metric("loss", 1.0, step=1)
print("trained", session.status)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(PROGRAM)
    return path


def train(program: Path, folder: Path, *words: str, before: str = "", **environment: str):
    """Run the program in a folder, after shell lines in a mount namespace of its own."""
    kept = {key: value for key, value in os.environ.items() if key != "SPROV_DIR"}
    script = f'set -e; {before}\ncd "{folder}"; exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, str(program), *words],
        cwd="/",
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def config(text: str) -> str:
    return f"mkdir .sprov && printf '{text}' > .sprov/config.toml"


TROUBLES = {
    "a full disk": (
        "mount -t tmpfs -o size=256k small .; cd .; cat /dev/zero > fill || true",
        "No space left on device",
    ),
    "a disk that can't be written": (
        "mount -t tmpfs -o ro small .",
        "Read-only file system",
    ),
    "a project that can't be written": (
        "mkdir .sprov; mount -t tmpfs -o size=9m small .sprov; mount -o remount,ro .sprov",
        "Read-only file system",
    ),
    "a project of somebody else": (
        "mkdir .sprov; chown 5009 .sprov",
        "the .sprov there is user 5009's",
    ),
    "settings that are no TOML": (config("mode = = 1"), "can't be read"),
    "settings in bytes that are no text": (config("\\\\377"), "can't be read"),
    "a pattern of secrets that is none": (
        config('[redaction.patterns]\\nx = "("'),
        "no regular expression",
    ),
    "a file where the project should be": ("touch .sprov", ".sprov"),
    "a folder of records that is none": ("mkdir .sprov; touch .sprov/spool", "spool"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if os.geteuid():
        lack("only root can mount")
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_program_runs_on_without_a_project_that_works(folder: Path, program: Path, trouble: str):
    before, says = TROUBLES[trouble]
    done = train(program, folder, before=f'cd "{folder}"; {before}')
    assert (done.returncode, done.stdout) == (0, "trained off\n"), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("sprov:")]
    assert says in line
    assert line.endswith("the program runs without provenance")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_wrapped_program_runs_on_too(folder: Path, trouble: str):
    before, _ = TROUBLES[trouble]
    done = subprocess.run(
        [
            "unshare", "--mount", "sh", "-c",
            f'cd "{folder}"; {before}\ncd "{folder}"; exec "$@"', "sh",
            SCRIPT, "run", "--", "sh", "-c", "echo ran; exit 7",
        ],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "ran\n"), done.stderr
    assert sum("without provenance" in line for line in done.stderr.splitlines()) == 1


def test_a_program_whose_folder_was_deleted_runs_on(folder: Path, program: Path):
    done = train(program, folder, "--gone")
    assert (done.returncode, done.stdout) == (0, "trained off\n")
    (line,) = done.stderr.splitlines()
    assert "the working folder was deleted" in line


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_is_off_is_not_looked_at(folder: Path, program: Path, trouble: str):
    before, _ = TROUBLES[trouble]
    done = train(program, folder, before=f'cd "{folder}"; {before}', SPROV_MODE="off")
    assert (done.returncode, done.stdout) == (0, "trained off\n")
    assert "sprov:" not in done.stderr


@pytest.mark.parametrize(
    ("site", "project", "environment", "says"),
    [
        ("flush_bites = 1", "", {}, "'flush_bites'"),
        ("", "mode = 'sometimes'", {}, "online, offline, off"),
        ("", "", {"SPROV_FLUSH_AGE_S": "inf"}, "SPROV"),
        ("", "spool_dir = '/dev/null/spools'", {}, "/dev/null/spools"),
        ("", "", {"SPROV_SPOOL_DIR": "/proc/spools"}, "/proc/spools"),
    ],
)
def test_what_is_wrong_in_settings_is_said_and_the_default_holds(
    site: str, project: str, environment: dict[str, str], says: str, tmp_path: Path, program: Path
):
    work = Site(tmp_path)
    (tmp_path / "site.toml").write_text(f"[capture]\n{site}\n")
    work.project.config.write_text(f"[capture]\n{project}\n")
    environment = work.environment(SPROV_SITE_CONFIG=str(tmp_path / "site.toml"), **environment)
    done = subprocess.run(
        [sys.executable, str(program)],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "trained offline\n")
    (line,) = done.stderr.splitlines()
    assert says in line or (says == "SPROV" and "the environment" in line)
    assert list(work.project.spool.glob("*.log"))


@pytest.mark.parametrize(
    "call",
    [
        "mode='sometimes'",
        "settings={'flush_bites': 1}",
        "settings={'close_timeout_s': float('nan')}",
        "settings=5",
        "facts='x'",
        "tags=5",
    ],
)
def test_a_wrong_argument_is_an_error_of_ours(tmp_path: Path, call: str):
    lines = f"import pllib\ntry: pllib.open({call})\nexcept pllib.Error as exc: print('Error')\n"
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("Error\n", "")
    assert not (tmp_path / ".sprov").exists()


@pytest.mark.parametrize(("n_facts", "is_cut"), [(6, False), (6000, True)])
def test_facts_that_are_long_for_a_frame_make_frames_larger(site: Site, n_facts: int, is_cut: bool):
    lines = (
        "import pllib\n"
        f"facts = {{f'fact{{i}}': 'x' * 1000 for i in range({n_facts})}}\n"
        "with pllib.open(mode='offline', settings={'flush_bytes': 4096}, facts=facts) as session:\n"
        "    with session.transformation('t', used={'i': 1}): pass\n"
        "print(dict(session.lost))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines],
        env=site.environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr
    assert "flush_bytes is" in done.stderr
    assert ("facts are left out" in done.stderr) == is_cut
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("timeout_s", ["float('nan')", "float('inf')", "-1", "'soon'"])
def test_a_session_closes_whatever_its_time_is(site: Site, timeout_s: str):
    lines = (
        "import pllib\n"
        "session = pllib.open(mode='offline')\n"
        "session.metric('loss', 1.0, step=0)\n"
        f"session.close(timeout_s={timeout_s})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines],
        env=site.environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    site.sprov("ingest")
    assert list(site.project.spool.iterdir()) == []


def test_a_wrapper_says_once_what_it_passes_over(folder: Path):
    (folder / "below").mkdir()
    (folder / ".sprov").mkdir()
    os.chown(folder / ".sprov", 5009, 5009)
    done = subprocess.run(
        [SCRIPT, "run", "--", "sh", "-c", "exit 7"],
        cwd=folder / "below", capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 7
    assert done.stderr.count("is passed over") == 1
    assert list((folder / "below" / ".sprov" / "spool").iterdir())
