"""What Slurm says of itself: version, plugins and limits that provenance depends on.

Source: slurm.conf(5); tried with Slurm 22.05.8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from .. import commands
from ..commands import NotInstalledError, SlurmError
from .report import FAIL, OK, SKIP, WARN, Finding, said

OLDEST = (20, 11)
"""Has `srun --overlap`, which `sprov slurm stop` collects with."""
SHORT_WAIT_S = 10
Settings = dict[str, str]


def check() -> list[Finding]:
    """Return findings about Slurm itself; a single one where there is none."""
    try:
        version = commands.version()
    except NotInstalledError as exc:
        advice = "All else works without Slurm: `sprov serve`, or offline and `sprov ingest`"
        return [Finding("Slurm", SKIP, said(exc), advice)]
    except SlurmError as exc:
        return [Finding("Slurm", FAIL, said(exc), "See that SLURM_CONF is set as on a login node")]
    findings = [_version(version)]
    try:
        settings = parse(commands.call("scontrol", "show", "config"))
    except SlurmError as exc:
        return [*findings, Finding("controller", FAIL, said(exc))]
    findings += [_json(), *(finding for judge in JUDGES for finding in judge(settings))]
    return findings


def parse(output: str) -> Settings:
    """Return the settings that ``scontrol show config`` prints, by their names."""
    pairs = (line.partition("=") for line in output.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _version(found: tuple[int, ...]) -> Finding:
    text = ".".join(f"{part:02d}" for part in found[:2]) + "".join(f".{n}" for n in found[2:])
    if found[:2] < OLDEST:
        return Finding(
            "Slurm", WARN, f"version {text}",
            "Before 20.11 srun has no --overlap: `sprov slurm stop` may wait for running steps",
        )  # fmt: skip
    return Finding("Slurm", OK, f"version {text}")


def _json() -> Finding:
    try:
        jobs = json.loads(commands.call("squeue", "--json"))["jobs"]
    except SlurmError as exc:
        return Finding(
            "squeue --json", WARN, said(exc),
            "`scontrol show job` is read in its place; nothing to do",
        )  # fmt: skip
    except (ValueError, KeyError) as exc:
        return Finding("squeue --json", WARN, f"its answer can't be read: {exc}")
    return Finding("squeue --json", OK, f"works, {len(jobs)} job(s) seen")


def _mpi(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("MpiDefault", "none")
    if kind in ("none", "(null)"):
        yield Finding(
            "MPI under srun", WARN, "MpiDefault is none: a plain `srun` starts MPI programs as "
            "singletons, each alone, without an error",
            "Give the kind: `srun --mpi=pmix` (Open MPI) or `--mpi=pmi2` (MPICH, Intel); "
            "`srun --mpi=list` says which there are, --job tries",
        )  # fmt: skip
    else:
        yield Finding("MPI under srun", OK, f"MpiDefault is {kind}; --job tries it")


def _processes(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("ProctrackType", "").removeprefix("proctrack/")
    if kind == "cgroup":
        yield Finding("processes", OK, "ProctrackType is cgroup: what a job leaves is ended")
    else:
        yield Finding(
            "processes", WARN,
            f"ProctrackType is {kind or 'unknown'}: background processes may outlive their job",
            "Let job scripts end with `sprov slurm stop`, or admins set proctrack/cgroup",
        )  # fmt: skip


def _accounting(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("AccountingStorageType", "").removeprefix("accounting_storage/")
    if kind == "slurmdbd":
        yield Finding("accounting", OK, "slurmdbd: `sprov slurm sync` gets what sacct knows")
    else:
        yield Finding(
            "accounting", WARN, f"AccountingStorageType is {kind or 'unknown'}: no sacct",
            "Run `sprov slurm sync` within MinJobAge "
            f"({settings.get('MinJobAge', '300 sec')}) of a job's end: only squeue knows it then",
        )  # fmt: skip


def _gathering(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("JobAcctGatherType", "").removeprefix("jobacct_gather/")
    if kind in ("none", "", "(null)"):
        yield Finding(
            "JobAcctGather", WARN, "off: Slurm knows no MaxRSS and no CPU time of tasks",
            "sprov's own samples have them: `sprov run`, or telemetry_s in [capture]",
        )  # fmt: skip
    else:
        often = settings.get("JobAcctGatherFrequency", "unknown")
        yield Finding("JobAcctGather", OK, f"{kind}, frequency {often}")


def _selection(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("SelectType", "").removeprefix("select/")
    if kind in ("cons_tres", "cons_res"):
        parameters = settings.get("SelectTypeParameters", "")
        yield Finding("SelectType", OK, f"{kind}, {parameters}")
    else:
        yield Finding(
            "SelectType", WARN, f"{kind or 'unknown'}: jobs get whole nodes",
            "A node for the tracker alone costs a whole one; small jobs share "
            "(`sprov slurm template small-job`)",
        )  # fmt: skip


def _kill_wait(settings: Settings) -> Iterator[Finding]:
    text = settings.get("KillWait", "").partition(" ")[0]
    if not text.isdigit():
        return
    if int(text) < SHORT_WAIT_S:
        yield Finding(
            "KillWait", WARN, f"{text} s from SIGTERM to SIGKILL",
            "Ranks keep what they captured in their spools; have jobs warned earlier: "
            "`#SBATCH --signal=B:TERM@120`",
        )  # fmt: skip
    else:
        yield Finding("KillWait", OK, f"{text} s from SIGTERM to SIGKILL")


def _limits(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("PropagateResourceLimits", "")
    kept = settings.get("PropagateResourceLimitsExcept", "(null)")
    where = "the nodes' own" if kind == "NONE" else "those of the shell that submits"
    beside = "" if kept in ("(null)", "") else f", but {kept}"
    yield Finding("job limits", OK, f"jobs have {where}{beside} (PropagateResourceLimits)")


def _private_folders(settings: Settings) -> Iterator[Finding]:
    kind = settings.get("JobContainerType", "").removeprefix("job_container/")
    if kind == "tmpfs":
        yield Finding(
            "job_container", WARN, "/tmp and /dev/shm are each job's own, and go with it",
            "End job scripts with `sprov slurm stop`, which collects spools while they are there; "
            "or set spool_dir in [slurm] to a folder that stays",
        )  # fmt: skip


JUDGES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _mpi, _processes, _accounting, _gathering, _selection, _kill_wait, _limits, _private_folders,
)  # fmt: skip
