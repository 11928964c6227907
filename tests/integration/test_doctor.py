"""`sprov slurm doctor` where there is no Slurm: what a host shows by itself."""

import os
import resource
from pathlib import Path

import pytest
from examined import examine, statuses
from harness import Site

from slurm.doctor.report import FAIL, OK, SKIP, STATES, WARN


@pytest.fixture
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH without Slurm's commands."""
    return str(tmp_path_factory.mktemp("nowhere"))


def test_without_slurm_it_says_so_and_checks_the_host(site: Site, nowhere: str):
    found = examine(site, PATH=nowhere)
    assert found["Slurm"][0]["status"] == SKIP
    assert "sprov serve" in found["Slurm"][0]["advice"]
    for check in ("project", "file system", "room", "spools", "open files", "ports", "names"):
        assert statuses(found, check) == {OK}, found[check]
    assert "test job" not in found
    every = [finding for findings in found.values() for finding in findings]
    assert every
    assert all({"check", "status", "found", "advice"} <= set(finding) for finding in every)
    assert all(finding["status"] in STATES for finding in every)


def test_a_test_job_without_slurm_is_wrong(site: Site, nowhere: str):
    assert examine(site, "--job", status=1, PATH=nowhere)["test job"][0]["status"] == FAIL


def test_slurm_that_knows_no_controller(site: Site, nowhere: str, tmp_path: Path):
    """Clients are installed, but say that they find no configuration."""
    squeue = Path(nowhere) / "squeue"
    squeue.write_text("#!/bin/sh\necho 'squeue: fatal: Could not establish a source' >&2; exit 1\n")
    squeue.chmod(0o755)
    found = examine(site, "--job", status=1, PATH=f"{nowhere}:{os.defpath}")
    assert "Could not establish" in found["Slurm"][0]["found"]
    assert "SLURM_CONF" in found["Slurm"][0]["advice"]
    assert found["test job"][0]["status"] == FAIL


def test_the_text_fits_80_columns_and_has_no_signs_in_a_pipe(site: Site, nowhere: str):
    lines = site.sprov("slurm", "doctor", PATH=nowhere).splitlines()
    paths = str(site.folder)
    assert all(len(line) <= 80 for line in lines if paths not in line)
    assert lines[0].startswith("skip Slurm")
    assert "not tried" in lines[-1]
    assert not set("✓✗") & set("".join(lines))


def test_names_of_others_are_found_before_they_do_harm(site: Site, nowhere: str):
    """A module in PYTHONPATH comes in place of ours, as Python itself shows."""
    folder = site.folder / "mine"
    folder.mkdir()
    (folder / "query.py").write_text("")
    names = examine(site, status=1, PATH=nowhere, PYTHONPATH=str(folder))["names"]
    assert [finding["status"] for finding in names] == [FAIL]
    assert str(folder / "query.py") in names[0]["found"]
    assert "PYTHONPATH" in names[0]["advice"]
    assert "mine/query.py" in site.sprov("runs", status=1, PYTHONPATH=str(folder))


def test_a_capture_library_of_that_name_in_the_working_folder(site: Site, nowhere: str):
    (site.folder / "pllib.py").write_text("")
    (site.folder / "tracker.py").write_text("")
    names = examine(site, status=1, PATH=nowhere)["names"]
    assert [finding["status"] for finding in names] == [FAIL, OK]


def test_limits_and_settings_that_will_not_do(site: Site, nowhere: str):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        found = examine(site, "--ranks", "900", PATH=nowhere)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert found["open files"][0]["status"] == WARN
    assert "ulimit -n 1156" in found["open files"][0]["advice"]
    site.project.config.write_text('[serve]\ninterface = "ib7"\n')
    assert examine(site, PATH=nowhere)["interface"][0]["status"] == WARN
    site.project.config.write_text('[serve]\ninterfaces = "ib7"\n[query]\nrows = -1\n')
    settings = examine(site, PATH=nowhere)["settings"]
    assert [finding["status"] for finding in settings] == [WARN, WARN]
    assert "interfaces" in settings[0]["found"]
    assert "rows" in settings[1]["found"]
    site.project.config.write_text("[serve]\nhosts = 7\n")
    (finding,) = examine(site, status=1, PATH=nowhere)["settings"]
    assert (finding["status"], "hosts" in finding["found"]) == (FAIL, True)


def test_a_project_that_can_not_be_written_or_is_not_there(site: Site, nowhere: str):
    found = examine(site, status=1, PATH=nowhere, SPROV_DIR="/nonexistent/.sprov")
    assert found["project"][0]["status"] == FAIL
    site.project.root.chmod(0o755)
    assert examine(site, PATH=nowhere)["project"][0]["status"] == WARN


def test_spools_that_can_not_be_mapped_go_to_memory(site: Site, nowhere: str):
    found = examine(site, PATH=nowhere, SPROV_SPOOL_DIR="/proc/self")
    assert found["spools"][0]["status"] == WARN
    assert "spool_dir = /proc/self" in found["spools"][0]["found"]
