"""What `sprov slurm doctor` judges, given what it was told."""

from pathlib import Path

import pytest

from slurm.doctor import containers, controller, disks, limits, names
from slurm.doctor.probe import Ranked, Seen
from slurm.doctor.report import FAIL, OK, SKIP, WARN, Finding, lines, merged, news, summary
from slurm.doctor.trial import judged, judged_mpi

CONFIGURATION = """\
Configuration data as of 2026-11-24T12:20:04
AccountingStorageType   = accounting_storage/slurmdbd
JobAcctGatherFrequency  = task=30
JobAcctGatherType       = jobacct_gather/cgroup
JobContainerType        = job_container/none
KillWait                = 30 sec
MpiDefault              = pmix
ProctrackType           = proctrack/cgroup
PropagateResourceLimits = ALL
PropagateResourceLimitsExcept = MEMLOCK
SelectType              = select/cons_tres
SelectTypeParameters    = CR_CORE_MEMORY
Slurmctld(primary) at ctl is UP
"""


def judge(**changed: str) -> dict[str, Finding]:
    settings = controller.parse(CONFIGURATION) | changed
    return {finding.check: finding for judge in controller.JUDGES for finding in judge(settings)}


def test_a_usual_site_is_in_order():
    assert {finding.status for finding in judge().values()} == {OK}
    assert "but MEMLOCK" in judge()["job limits"].found


@pytest.mark.parametrize(
    "setting, value, check, advice",
    [
        ("MpiDefault", "none", "MPI under srun", "--mpi=pmix"),
        ("MpiDefault", "(null)", "MPI under srun", "--mpi=pmix"),
        ("ProctrackType", "proctrack/linuxproc", "processes", "sprov slurm stop"),
        ("ProctrackType", "", "processes", "sprov slurm stop"),
        ("AccountingStorageType", "accounting_storage/none", "accounting", "sprov slurm sync"),
        ("AccountingStorageType", "(null)", "accounting", "sprov slurm sync"),
        ("JobAcctGatherType", "jobacct_gather/none", "JobAcctGather", "sprov run"),
        ("JobAcctGatherType", "(null)", "JobAcctGather", "sprov run"),
        ("SelectType", "select/linear", "SelectType", "small-job"),
        ("KillWait", "5 sec", "KillWait", "--signal"),
        ("JobContainerType", "job_container/tmpfs", "job_container", "sprov slurm stop"),
    ],
)
def test_what_a_site_lacks_comes_with_what_to_do(setting, value, check, advice):
    finding = judge(**{setting: value})[check]
    assert finding.status == WARN
    assert advice in finding.advice


@pytest.mark.parametrize(
    "soft, hard, ranks, status",
    [
        (1024, 1024, 64, OK), (1024, 1024, 768, OK), (1024, 4096, 1024, WARN),
        (1024, 1024, 1024, FAIL), (-1, -1, 1 << 20, OK), (1024, -1, 4096, WARN),
    ],
)  # fmt: skip
def test_open_files_are_judged_against_the_ranks(soft, hard, ranks, status):
    finding = limits.open_files(soft, hard, ranks)
    assert finding.status == status
    assert ("ulimit -n" in finding.advice) == (status == WARN)


@pytest.mark.parametrize(
    "output, expected",
    [
        ("/lustre 950 0 1000 - 10 0 0 -", "95% of the bytes that are allowed"),
        ("/lustre 10 0 0 - 99 0 100 -", "99% of the files that are allowed"),
        ("/lustre 1200* 1000 1100 6d23h 1 0 0 -", "109% of the bytes that are allowed"),
        ("/lustre 10 0 1000 - 10 0 100 -", ""),
        ("/lustre 10 0 0 - 10 0 0 -", ""),
        ("", ""),
        ("lfs: nonsense", ""),
    ],
)
def test_quotas_of_lustre(output, expected):
    assert disks.lustre(output) == expected


def test_a_container_that_binds_less_than_ranks_write(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needed = [Path("/project/p/.sprov"), Path("/scratch/spool")]

    def judged_by(environ: dict[str, str], configured: str = "") -> Finding:
        return containers.apptainer("apptainer", environ, needed, configured)

    lacking = judged_by({"HOME": "/home/me"})
    assert lacking.status == WARN
    assert lacking.advice.startswith("export APPTAINER_BIND=/project/p/.sprov,/scratch/spool ")
    assert judged_by({"APPTAINER_BIND": "/project:/project:rw,/scratch"}).status == OK
    assert judged_by({"HOME": "/project/p"}, "bind path = /scratch:/scratch").status == OK
    without_home = judged_by({"HOME": "/project/p"}, "mount home = no\nbind path = /scratch")
    assert "/project/p/.sprov" in without_home.found


def modules(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_before_ours_after_ours_and_beside(tmp_path: Path):
    before = modules(tmp_path / "before", "tracker.py", "manager/__init__.py")
    after = modules(tmp_path / "after", "query.py")
    here = modules(tmp_path / "here", "pllib.py", "slurm.py")

    found = list(names.check([str(before), str(names.HOME), str(after)], here))

    said = [(finding.status, finding.found.replace(str(tmp_path), "")) for finding in found]
    assert said == [
        (FAIL, "/before/tracker.py is imported in place of our tracker"),
        (FAIL, "/before/manager/__init__.py is imported in place of our manager"),
        (WARN, "our query hides /after/query.py from your programs"),
        (FAIL, "/here/pllib.py is imported in place of ours by programs in this folder"),
        (OK, "/here/slurm.py: programs here import it, `sprov` has its own slurm"),
    ]


def test_a_folder_of_job_scripts_is_no_clash(tmp_path: Path):
    modules(tmp_path, "slurm/job.sbatch", "query/a.rq")
    found = list(names.check([str(tmp_path), str(names.HOME)], tmp_path))
    assert [finding.status for finding in found] == [OK]


def task(node: str, rank: int, **fields: object) -> Seen:
    return Seen(node, rank, [], **{"folder": True, **fields})  # type: ignore[arg-type]


def statuses(seen: list[Seen]) -> dict[str, str]:
    return {finding.check: finding.status for finding in judged(seen)}


def test_what_two_nodes_found_of_each_other():
    first = task("node0", 0, address="node0:40000")
    well = task("node1", 1, reached_s=0.0002, offset_s=0.01)
    assert statuses([first, well]) == {"shared folder": OK, "between nodes": OK, "clocks": OK}
    ahead = task("node1", 1, reached_s=0.0002, offset_s=-3.0)
    assert statuses([first, ahead])["clocks"] == WARN
    unsure = task("node1", 1, reached_s=1.0, offset_s=0.5)
    assert statuses([first, unsure])["clocks"] == OK
    cut_off = task("node1", 1, trouble="timed out")
    assert statuses([first, cut_off]) == {"shared folder": OK, "between nodes": FAIL}
    assert statuses([first, task("node0", 1)]) == {"shared folder": OK, "between nodes": SKIP}
    assert statuses([first, task("node1", 1, folder=False)]) == {"shared folder": FAIL}


def test_who_can_not_listen_is_told_once():
    first = task("node0", 0, trouble="ib0 is no interface")
    second = task("node1", 1, trouble="it did not show")
    told = [finding.found for finding in judged([first, second]) if finding.status == FAIL]
    assert told == ["node0 can't listen: ib0 is no interface"]


@pytest.mark.parametrize(
    "ranked, status",
    [
        ([Ranked(1, 2, "MPICH"), Ranked(0, 2, "MPICH")], OK),
        ([Ranked(0, 1, "MPICH"), Ranked(0, 1, "MPICH")], FAIL),
        ([Ranked(missing=True)] * 2, SKIP),
        ([Ranked(trouble="no libmpi")] * 2, FAIL),
        ([], FAIL),
    ],
)
def test_two_tasks_are_two_ranks_or_not(ranked, status):
    assert judged_mpi(ranked, "srun: step failed").status == status


def test_the_report_fits_a_terminal_and_needs_none():
    findings = [
        Finding("a check", OK, "in order " * 20),
        Finding("another", WARN, "not so", "do " * 60, nodes="node[0-1]"),
        Finding("third", FAIL, "no"),
    ]
    plain = lines(findings, signs=False)
    fancy = lines(findings, signs=True)
    assert all(len(line) <= 80 for line in plain + fancy)
    assert [line.split()[0] for line in plain if line[0] != " "] == ["ok", "warn", "fail"]
    assert [line[0] for line in fancy if line[0] != " "] == ["✓", "!", "✗"]
    assert any("node[0-1]: not so" in line for line in plain)
    assert summary(findings) == "1 in order, 1 to look at, 1 wrong"


def test_what_nodes_have_in_common_is_said_once_and_what_is_known_not_again():
    full = Finding("disk", WARN, "full")
    fine = Finding("disk", OK, "fine")
    found = merged({"n1": [fine, full], "n2": [full], "n3": [full, fine]})
    assert [(each.found, each.nodes) for each in found] == [("fine", "n[1,3]"), ("full", "n[1-3]")]
    assert news(found, [fine]) == [found[1]]
