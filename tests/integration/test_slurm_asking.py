"""Slurm is asked once for many: with commands in PATH that print what Slurm 22.05.8 did."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site

from slurm.over import over_jobs

DATA = Path(__file__).parents[1] / "data" / "slurm"
COMMAND = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
case "$(basename "$0") $*" in
{cases}
*) echo "squeue: error: nobody expected: $*" >&2; exit 1 ;;
esac
"""
WORKING = {
    "squeue --json*": f"cat {shlex.quote(str(DATA / 'squeue-22.05.8.json'))}",
    "sacct --helpformat": f"cat {shlex.quote(str(DATA / 'sacct-helpformat-22.05.8.txt'))}",
    "sacct -P*": f"cat {shlex.quote(str(DATA / 'sacct-22.05.8.txt'))}",
    "scontrol show config": "echo 'ClusterName             = virt'",
    "scontrol show job*": f"cat {shlex.quote(str(DATA / 'scontrol-22.05.8.txt'))}",
}
OFF = "echo 'Slurm accounting storage is disabled' >&2; exit 1"


class Commands:
    """A folder of Slurm's commands, which print what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "commands"
        self.folder.mkdir()
        self.log = folder / "calls"
        self.say({})

    def say(self, other: dict[str, str]) -> None:
        cases = "".join(
            f"{shlex.quote(call).replace('*', chr(39) + '*' + chr(39))}) {does} ;;\n"
            for call, does in {**WORKING, **other}.items()
        )
        for name in ("squeue", "sacct", "scontrol"):
            path = self.folder / name
            path.write_text(COMMAND.format(calls=shlex.quote(str(self.log)), cases=cases))
            path.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def calls(self, name: str) -> int:
        return sum(line.startswith(name) for line in self.log.read_text().splitlines())


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def sync(site: Site, commands: Commands, *jobs: str) -> list[dict[str, object]]:
    output = site.sprov("slurm", "sync", *jobs, "--format", "json", **commands.environ)
    return list(json.loads(output))


def test_a_job_is_told_with_what_both_know(site, commands):
    (row,) = sync(site, commands, "12")
    assert (row["state"], row["outcome"], row["sources"]) == (
        "TIMEOUT", "timed_out", ["squeue", "sacct"],
    )  # fmt: skip
    assert (row["max_rss_bytes"], row["elapsed_seconds"]) == (11182080, 118)
    states = site.select(
        "SELECT ?source ?of WHERE { ?entry sprov:accountOf ?job ; sprov:source ?source ; "
        "sprov:outcome 'timed_out' . ?job rdfs:label ?of } ORDER BY ?source"
    )
    assert [(row["source"], row["of"]) for row in states] == [("sacct", "12"), ("squeue", "12")]


def test_telling_it_again_adds_nothing(site, commands):
    sync(site, commands, "7")
    entries = site.count("?entry a sprov:Accounting")
    assert entries == 6  # one of squeue, and of sacct 7 and 7.batch twice and 7.0
    sync(site, commands, "7")
    assert site.count("?entry a sprov:Accounting") == entries


def test_many_who_ask_at_once_make_few_calls(site, commands):
    jobs = ["1", "3_1", "6", "7", "8", "12", "13", "4"] * 3
    asking = [
        subprocess.Popen(
            [SCRIPT, "slurm", "sync", job, "--format", "json"],
            cwd=site.folder, env=site.environment(**commands.environ), stdout=subprocess.PIPE,
            text=True,
        )
        for job in jobs
    ]  # fmt: skip
    answers = [json.loads(each.communicate(timeout=TIMEOUT_S)[0]) for each in asking]
    assert [each.returncode for each in asking] == [0] * len(jobs)
    assert all(job in {row["job"] for row in rows} for job, rows in zip(jobs, answers, strict=True))
    assert commands.calls("squeue") <= 5
    assert commands.calls("scontrol") == 1


def test_a_job_that_is_not_over_is_told_when_its_state_changes(site, commands):
    assert sync(site, commands, "14")[0]["state"] == "SUSPENDED"
    sync(site, commands, "14")
    assert site.count("?entry sprov:state 'SUSPENDED'") == 1
    assert [row["job"] for row in sync(site, commands)] == ["14"]


def test_without_accounting_it_is_said_once_and_the_queue_counts(site, commands):
    commands.say({"sacct --helpformat": OFF, "sacct -P*": OFF})
    done = subprocess.run(
        [SCRIPT, "slurm", "sync", "12", "--format", "json"], cwd=site.folder, text=True,
        env=site.environment(**commands.environ), capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)[0]["outcome"] == "timed_out"
    assert done.stderr.count("accounting") == 2  # Slurm's word and ours, in one line
    assert done.stderr.count("\n") == 1


def test_a_version_without_json_is_asked_by_scontrol(site, commands):
    commands.say({"squeue --json*": "echo \"squeue: unrecognized option '--json'\" >&2; exit 1"})
    assert sync(site, commands, "3_2")[0]["sources"] == ["scontrol", "sacct"]


def test_a_controller_that_is_down_is_said_and_left_in_peace(site, commands):
    down = "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    commands.say({"squeue --json*": down})
    for _ in range(3):
        assert "Unable to contact" in site.sprov(
            "slurm", "sync", "12", status=4, **commands.environ
        )
    assert commands.calls("squeue") == 1


def test_without_slurm_one_line_says_so(site, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    said = site.sprov("slurm", "sync", "12", status=4, PATH=str(empty))
    assert said.startswith("sprov: ")
    assert "is not installed here" in said
    assert said.count("\n") == 1


def test_a_text_that_is_no_job_is_refused(site):
    assert "names no job" in site.sprov("slurm", "sync", "12; rm", status=2)


def test_a_job_that_slurm_has_forgotten_is_not_asked_for_again(site, commands):
    (site.project.journal / "99").mkdir()
    (site.project.journal / "99" / "job.json").write_text('{"nth": 1, "restart": 0, "batch": ""}')
    sync(site, commands)
    assert commands.calls("squeue") == 1
    sync(site, commands)
    assert commands.calls("squeue") == 1


@pytest.mark.parametrize("nth", ["", "2"])
def test_a_job_of_the_graph_is_asked_for_until_its_end_is_known(site, commands, nth):
    """Its number may have come back, and be another job's: then the last one's is meant."""
    job = {"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "virt", "SPROV_JOB_NTH": nth}
    site.run("training.py", **job)
    site.sprov("ingest")
    assert [row["job"] for row in sync(site, commands)] == ["12"]
    own = "?entry sprov:accountOf ?job . ?attempt a sprov:Attempt ; provml:isPartOf ?job"
    assert site.count(own) == 2  # squeue's and sacct's
    assert sync(site, commands) == []
    assert commands.calls("squeue") == 1


def test_a_file_of_the_last_call_that_cannot_be_read_is_as_none(site, commands):
    (site.project.root / "slurm-sync.json").write_text("{torn")
    assert sync(site, commands, "12")[0]["state"] == "TIMEOUT"


def test_the_real_commands_are_found_behind_an_srun_of_ours(tmp_path):
    for folder in ("shim", "real"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "srun").write_text("#!/bin/sh\n")
        (tmp_path / folder / "srun").chmod(0o755)
    environ = {"PATH": f"{tmp_path}/shim:{tmp_path}/real", "SPROV_SRUN_SHIM": f"{tmp_path}/shim"}
    found = subprocess.run(
        [sys.executable, "-c", "from slurm.commands import find; print(find('srun'))"],
        env=environ, cwd=Path(__file__).parents[2], text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == f"{tmp_path}/real/srun"


def test_gc_asks_once_for_all_jobs(site: Site, commands: Commands):
    """And takes what is over, by whatever name a job has: tasks of arrays, parts of het jobs."""
    listed = ["7 7 7 RUNNING", "8_1 12 8 COMPLETED", "8_2 8 8 RUNNING", "9+0 9 9 FAILED",
              "9+1 10 9 RUNNING", "11 11 11 TIMEOUT"]  # fmt: skip
    commands.say({"squeue -h*": f"printf '%s\\n' {shlex.join(listed)}"})
    for name in ("7", "8_1", "8_2", "9", "11", "99"):
        (site.project.launches / name).mkdir(parents=True)
    rows = json.loads(site.sprov("gc", "--format", "json", **commands.environ))
    assert commands.calls("squeue") == 1
    (row,) = (row for row in rows if row["what"] == "launches" and row["free"])
    assert row["why"] == "claims of jobs that are over"
    site.sprov("gc", "--free", **commands.environ)
    assert commands.calls("squeue") == 2
    left = {path.name for path in site.project.launches.iterdir()}
    assert left == {"7", "8_2", "9"}


def test_a_job_of_another_cluster_is_not_taken_to_be_over(commands, monkeypatch):
    """Here its number is nobody's, or another job's."""
    commands.say({"squeue -h*": "echo 8 8 8 COMPLETED"})
    monkeypatch.setenv("PATH", commands.environ["PATH"])
    is_over = over_jobs()
    assert is_over("7") and is_over("8")
    assert is_over("7", "virt") and is_over("8", "virt~2")
    assert not is_over("7", "elsewhere") and not is_over("8", "elsewhere")
    commands.say({"squeue -h*": "echo 8 8 8 COMPLETED", "scontrol show config": "exit 1"})
    assert not over_jobs()("8", "virt")
    assert over_jobs()("8")
