"""How things ended and what they cost, as others tell of them: a wrapper, a collector, Slurm."""

from __future__ import annotations

from collections.abc import Mapping

from pllib import identity, linked
from pllib.records import (
    ACCOUNT_NUMBERS,
    ACCOUNT_TEXTS,
    OUTCOMES,
    RESOURCES,
    Accounted,
    Outcome,
    outcome_of,
)

from .literals import literal, moment
from .tables import Tables

Literal = tuple[str, linked.Datatype, str]


def tell_outcome(tables: Tables, record: Outcome) -> None:
    """The session of a log ended in a way that it could not say itself."""
    if record.state not in OUTCOMES:  # a word of a newer version
        raise ValueError(record.state)
    literals: list[Literal] = [
        ("outcome", "string", record.state),
        ("outcome_at", *moment(record.at_ns)),
    ]
    if record.seen_ns:
        literals.append(("outcome_seen_at", *moment(record.seen_ns)))
    for name, number in (("exit_status", record.exit_status), ("signal", record.signal)):
        if number is not None:
            literals.append((name, *literal(number)))
    run_of_rank = identity.activity(bytes.fromhex(record.log_id), 0)
    tables.node("activity", run_of_rank, literals=tuple(literals))


def list_facts(tables: Tables, run: str, facts: Mapping[str, str]) -> None:
    """Say a run's facts of the run alone, as ``name=value``."""
    literals = [("fact", "string", f"{name}={text}") for name, text in facts.items()]
    tables.node("run", run, literals=tuple(literals))  # type: ignore[arg-type]


def tell_facts(tables: Tables, run: str, host: str, facts: Mapping[str, str]) -> None:
    """A run's facts: of the run, and each a thing with the node that said it.

    Nodes, and attempts, may tell different values of one name.
    """
    list_facts(tables, run, facts)
    node = identity.digest("node", host)
    tables.node("node", node, host)
    for name, text in facts.items():
        tables.node(
            "fact", identity.digest("fact", run, name, text), name, (("value", "string", text),),
            (("of_run", "run", run), ("at_location", "node", node)),
        )  # fmt: skip


def resources(found: dict[str, float]) -> tuple[Literal, ...]:
    """Return what a process used, as properties of its activity."""
    return tuple((name, *_number(name, found[name])) for name in RESOURCES if name in found)


def account(tables: Tables, record: Accounted) -> None:
    """What Slurm says of a job or step: a thing of its own, for each attempt and end."""
    final = outcome_of(record)
    entry = identity.accounting(
        record.cluster, record.job, record.step, record.restart, record.source, record.state,
        *([] if final else [record.at_ns]),
    )  # fmt: skip
    literals: list[Literal] = [
        ("source", "string", record.source),
        ("state", "string", record.state),
        ("restart", *literal(record.restart)),
    ]
    if final:
        literals.append(("outcome", "string", final))
    for name, at_ns in (("began", record.started_ns), ("finished", record.ended_ns)):
        if at_ns:
            literals.append((name, *moment(at_ns)))
    if not final:
        literals.append(("observed", *moment(record.at_ns)))
    numbers, texts = record.numbers, record.texts
    literals += [(n, *_number(n, numbers[n])) for n in ACCOUNT_NUMBERS if n in numbers]
    literals += [(name, "string", texts[name]) for name in ACCOUNT_TEXTS if texts.get(name)]
    of = place(tables, record.cluster, record.job, record.step)
    label = f"{record.job}{record.step and f'.{record.step}'} {record.state}"
    tables.node("accounting", entry, label, tuple(literals), (("account_of", *of),))


def place(tables: Tables, cluster: str, job: str, step: str) -> tuple[linked.NodeKind, str]:
    """Add a job, what it is a task or component of, and its step; return kind and identity."""
    array, _, task = job.partition("_")
    leader, _, offset = job.partition("+")
    links: tuple[tuple[str, linked.NodeKind, str], ...] = ()
    if task:
        whole = tables.node("array", identity.job(cluster, array), array)
        links = (("part_of", "array", whole),)
    elif offset:
        whole = tables.node("job", identity.job(cluster, leader), leader)
        links = (("part_of", "job", whole),)
    known = tables.node("job", identity.job(cluster, job), job, links=links)
    if not step:
        return "job", known
    name = f"{job}.{step}"
    inner = tables.node(
        "step", identity.job(cluster, name), name, links=(("part_of", "job", known),)
    )
    return "step", inner


def _number(name: str, value: float) -> tuple[linked.Datatype, str]:
    return literal(float(value) if name.endswith(("_seconds", "_joules")) else int(value))
