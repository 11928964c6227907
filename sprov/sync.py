"""`sprov slurm sync`: how jobs ended and what they used, as Slurm says, goes into the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from pllib import notices
from pllib.errors import Error, SettingsError, UnavailableError
from pllib.moments import date_time
from pllib.project import Project, find
from pllib.records import FINAL_STATES, Accounted, outcome_of
from pllib.telling import job_run, tell

if TYPE_CHECKING:
    from pllib.project import Endpoint
    from slurm.asking import Last

COLUMNS = ("job", "restart", "state", "exit", "elapsed", "cpu", "max rss", "energy", "nodes")
KEYS = (
    "job", "step", "restart", "state", "outcome", "exit_status", "signal", "started", "ended",
    "elapsed_seconds", "cpu_seconds", "max_rss_bytes", "consumed_energy_joules", "nodelist",
    "sources",
)  # fmt: skip
Row = dict[str, Any]

_JOBS = """
SELECT ?job ?label ?cluster (MAX(?restart) AS ?attempt) WHERE {
  ?job a sprov:Job ; rdfs:label ?label .
  OPTIONAL { ?job sprov:cluster ?cluster }
  OPTIONAL { ?made provml:isPartOf+ ?job . ?made a sprov:Attempt ; sprov:restart ?restart }
} GROUP BY ?job ?label ?cluster
"""
_ENDS = """
SELECT ?job ?restart ?source ?state WHERE {
  ?entry sprov:accountOf ?job ; sprov:outcome ?outcome ; sprov:restart ?restart ;
         sprov:source ?source ; sprov:state ?state .
}
"""


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--steps", is_flag=True, help="Print the jobs' steps too.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def sync(jobs: tuple[str, ...], steps: bool, form: str) -> None:
    """Record how jobs ended and what they used, as Slurm says.

    Without JOB, all of this project whose end is not known yet.  Slurm is asked once for all of
    them, and once for all who ask at the same time.

    \b
        sprov slurm sync
        sprov slurm sync 4242 4243_7
    """
    from slurm import accounting
    from slurm.asking import read_last, shared_answer

    project = find().create()
    last = read_last(project)
    known = known_jobs(project, last)
    wanted = _names(jobs) if jobs else unfinished(last, known)
    rows: list[Row] = []
    if wanted:
        shared = shared_answer(project, wanted, accounting.ask, accounting.cluster_name)
        if shared.fresh:
            record(project, [_as_known(each, known) for each in shared.news])
        for line in shared.last.missing:
            notices.write(line)
        found = [r for r in shared.last.records if accounting.is_of(r.job, wanted)]
        rows = summary(found)
        _tell_unknown(wanted, found)
    _print([row for row in rows if steps or not row["step"]], form)


def _names(jobs: Sequence[str]) -> list[str]:
    from slurm.asking import is_job

    for job in jobs:
        if not is_job(job):
            raise SettingsError(f"{job!r} names no job", "Such as 4242, or 4242_7 in an array")
    return list(dict.fromkeys(jobs))


class Known(NamedTuple):
    """A job of the project."""

    nth: int
    """Which job of this number it is: numbers come back where a controller is reset."""
    is_open: bool
    """More is to be learnt of its end."""


def known_jobs(project: Project, last: Last) -> dict[str, Known]:
    """Return the jobs of this cluster that a project has, by name, the last of each number.

    Args:
        last: What came of the last call.
    """
    found = _jobs_of_journals(project)
    for name, known in _jobs_of_graph(project, last).items():
        if name not in found or known.nth >= found[name].nth:
            found[name] = known
    return found


def unfinished(last: Last, known: Mapping[str, Known]) -> list[str]:
    """Return the jobs whose last end is not known yet, as `squeue` prints them."""
    names = [job for job, found in known.items() if found.is_open]
    names += [key.partition("/")[0] for key in last.observed]
    gone = set(last.forgotten)
    return [job for job in dict.fromkeys(names) if job not in gone]


def _jobs_of_journals(project: Project) -> dict[str, Known]:
    """Return the jobs that `sprov slurm start` opened a journal for, even if no rank spoke."""
    from slurm import instances

    found = {}
    for path in sorted(project.journal.glob(f"*/{instances.FILE}")):
        instance = instances.read(path.parent)
        if instance is not None:
            found[instance.job or path.parent.name] = Known(instance.nth, True)
    return found


def _jobs_of_graph(project: Project, last: Last) -> dict[str, Known]:
    from query.engine import find_engine

    engine = find_engine(project)
    try:
        jobs, ends = engine.select(_JOBS), engine.select(_ENDS)
    except UnavailableError:  # there is no store yet
        return {}
    over = _last_ends(ends, last.database)
    found: dict[str, Known] = {}
    for row in sorted(jobs, key=lambda row: _nth(row.get("cluster", ""))):
        cluster = row.get("cluster", "")
        if not last.cluster or cluster.partition("~")[0] in ("", last.cluster):
            is_open = over.get(row["job"], -1) < int(row.get("attempt", 0))
            found[row["label"]] = Known(_nth(cluster), is_open)
    return found


def _nth(cluster: str) -> int:
    number = cluster.partition("~")[2]
    return int(number) if number.isdigit() else 1


def _last_ends(ends: Sequence[dict[str, str]], database: str) -> dict[str, int]:
    """Return the last restart of each job of whose end all is known that there is to know."""
    over: dict[str, int] = {}
    for row in ends:
        says_all = row["source"] == "sacct" or database == "off"
        if says_all and row["state"] != "REQUEUED":
            over[row["job"]] = max(over.get(row["job"], 0), int(row["restart"]))
    return over


def _as_known(record: Accounted, known: Mapping[str, Known]) -> Accounted:
    """Return a record of the job that runs of this name were in last, by its cluster's name."""
    from slurm.accounting import names

    nth = max((known[name].nth for name in names(record.job) if name in known), default=1)
    if nth == 1:
        return record
    return msgspec.structs.replace(record, cluster=f"{record.cluster}~{nth}")


def record(project: Project, news: list[Accounted]) -> None:
    """Hand records to the running tracker, or store them; they are kept in the spool till then."""
    from .ingest import BUSY_S, Patience, awaited_tracker, store

    endpoint: Endpoint | None = awaited_tracker(project, Patience(BUSY_S))
    tell(project, job_run(news[0].cluster if news else "", ""), news, endpoint=endpoint)
    if endpoint is not None or not news:
        return
    try:
        store(project, on_unreadable=lambda segment: notices.write(str(segment)))
    except Error as exc:
        notices.write(f"{exc}; `sprov ingest` takes it in later")


def summary(records: Sequence[Accounted]) -> list[Row]:
    """Return a row for each job and step in each restart; what `sacct` says comes first."""
    found: dict[tuple[str, str, int], Row] = {}
    order = {"squeue": 0, "scontrol": 0, "sacct": 1}
    for each in sorted(records, key=lambda r: order.get(r.source, 0)):
        row = found.setdefault((each.job, each.step, each.restart), {"sources": []})
        if row.get("outcome") and each.state not in FINAL_STATES:
            continue  # the database is behind
        row |= {
            "job": each.job, "step": each.step or None, "restart": each.restart,
            "state": each.state, "outcome": outcome_of(each),
            "started": _moment(each.started_ns), "ended": _moment(each.ended_ns), **each.numbers,
            "nodelist": each.texts.get("nodelist"), "sources": [*row["sources"], each.source],
        }  # fmt: skip
    return [
        found[key] for key in sorted(found, key=lambda key: (_by_number(key[0]), key[2], key[1]))
    ]


def _by_number(job: str) -> list[int]:
    return [int(part) for part in job.replace("+", "_").split("_") if part.isdigit()]


def _moment(at_ns: int | None) -> str | None:
    return None if at_ns is None else date_time(at_ns)


def _tell_unknown(wanted: list[str], found: list[Accounted]) -> None:
    from slurm.accounting import names

    known = {name for each in found for name in names(each.job)}
    if unknown := [job for job in wanted if job not in known]:
        few = ", ".join(unknown[:10]) + (" …" if len(unknown) > 10 else "")
        notices.write(f"Slurm does not know of {few} any more")


def _print(rows: list[Row], form: str) -> None:
    from query.tables import print_rows

    if form == "json":
        print_rows(rows, KEYS, "json")
    elif rows:
        print_rows([_cells(row) for row in rows], COLUMNS, "table")
    else:
        click.echo("no job is waited for")


def _cells(row: Row) -> Row:
    size, energy = row.get("max_rss_bytes"), row.get("consumed_energy_joules")
    return {
        "job": row["job"] if row["step"] is None else f"{row['job']}.{row['step']}",
        "restart": row["restart"] or None,
        "state": row["state"],
        "exit": f"signal {row['signal']:.0f}" if "signal" in row else row.get("exit_status"),
        "elapsed": _span(row.get("elapsed_seconds")),
        "cpu": _span(row.get("cpu_seconds")),
        "max rss": None if size is None else f"{size / (1 << 20):,.1f} MiB",
        "energy": None if energy is None else f"{energy / 1000:,.1f} kJ",
        "nodes": row["nodelist"],
    }


def _span(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(seconds, 60)
    if minutes < 1:
        return f"{seconds:.3g} s"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{int(rest):02}"
