"""How ranks and attempts of runs ended.

What a rank says of its own end counts, however late it comes; else what another process told of
it; else how Slurm says its step ended, or its job in the same restart.  Who saw that a rank was
killed may not know why: that Slurm does.  A rank that none of these tells of is running while its
attempt is the run's latest and somebody serves it, else unfinished.

Ranks that nothing was heard of say nothing of how an attempt ended: it may be that only some open a
session.  They ended as Slurm says, once it was asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pllib.moments import sortable

from .accounted import (
    CAUSES,
    OPEN,
    STATES,
    End,
    Ends,
    Select,
    may_end,
    number_in,
    values_of,
    worst,
)

__all__ = [
    "OPEN", "STATES", "Attempt", "Select", "Session", "attempts", "in_words", "is_bad",
    "part_state", "sessions", "worst",
]  # fmt: skip

OF_COMMAND = "CommandError: "
"""How the error of a command begins, as `sprov run` ends its own session with it."""

_ATTEMPTS = """
SELECT ?run ?attempt ?restart (MAX(?of) AS ?size) (COUNT(DISTINCT ?number) AS ?ranks)
       (MIN(?start) AS ?started) (MAX(?end) AS ?ended) WHERE {{
  {values} ?run a provml:LearningExperimentExecution ; sprov:ranks ?of .
  ?attempt provml:isPartOf ?run ; a sprov:Attempt ; sprov:restart ?restart .
  ?part provml:isPartOf ?attempt ; a provml:WorkflowExecution ; prov:startedAtTime ?start ;
        prov:qualifiedAssociation ?q . ?q prov:agent ?agent . ?agent sprov:rank ?number .
  OPTIONAL {{ ?part prov:endedAtTime ?end }}
}} GROUP BY ?run ?attempt ?restart
"""

_SESSIONS = """
SELECT ?run ?attempt ?restart ?part ?agent ?rank ?pid ?host ?started ?ended ?error
       ?outcome ?exit ?signal ?at ?seen ?with ?wraps WHERE {{
  {values}
  ?attempt provml:isPartOf ?run ; a sprov:Attempt ; sprov:restart ?restart .
  ?part provml:isPartOf ?attempt ; a provml:WorkflowExecution ; prov:startedAtTime ?started ;
        prov:qualifiedAssociation ?q . ?q prov:agent ?agent .
  ?agent sprov:rank ?rank ; sprov:pid ?pid ; prov:atLocation ?node . ?node rdfs:label ?host .
  {only}
  OPTIONAL {{ ?part prov:endedAtTime ?ended }}
  OPTIONAL {{ ?part sprov:error ?error }}
  OPTIONAL {{ ?part sprov:outcome ?outcome }}
  OPTIONAL {{ ?part sprov:exitStatus ?exit }}
  OPTIONAL {{ ?part sprov:signal ?signal }}
  OPTIONAL {{ ?part sprov:outcomeAt ?at }}
  OPTIONAL {{ ?part sprov:outcomeSeenAt ?seen }}
  OPTIONAL {{ ?part sprov:endedWithProcess ?with }}
  OPTIONAL {{ ?part sprov:wraps ?wraps }}
}}
"""
_NOT_COMPLETED = """FILTER(EXISTS { ?part sprov:error ?any } ||
NOT EXISTS { ?part prov:endedAtTime ?end } || EXISTS { ?part sprov:endedWithProcess true } ||
EXISTS { ?part sprov:exitStatus ?status })"""
"""Or with more to be said of how."""


@dataclass
class Session:
    """One process of a rank: a wrapper and the program in it are two of one rank."""

    run: str
    attempt: str
    restart: int
    part: str
    """The rank's activity."""
    agent: str
    rank: int
    pid: int
    host: str
    started: str
    ended: str | None = None
    """When it said that it ended, or others did; else the last sign of it before they saw that."""
    error: str | None = None
    outcome: str | None = None
    """As another process told it, if one did."""
    outcome_at: str | None = None
    seen: str | None = None
    """When its end was seen, if that was later."""
    with_process: bool = False
    """It was open when its process ended in order: with which exit status it does not know."""
    wraps: bool = False
    """It is `sprov run`'s, around the program of the rank."""
    state: str = ""
    exit_status: int | None = None
    signal: int | None = None


@dataclass
class Attempt:
    run: str
    attempt: str
    """IRI."""
    restart: int
    size: int
    """Ranks that the run has."""
    ranks: int
    """Ranks that were heard of."""
    started: str
    ended: str | None
    """None while a rank is open."""
    latest: bool = True
    state: str = ""
    ended_ranks: int = 0
    """Ranks of which an end is known, whichever."""
    failed_ranks: int = 0
    """Those of them that did not complete."""
    error: str | None = None
    exit_status: int | None = None
    signal: int | None = None
    seen: str | None = None
    """When its end was seen, if that was later than the last sign of it."""
    slurm: str | None = None
    """How Slurm says that the ranks ended which were not heard of."""
    is_exit_known: bool = True
    """False if it completed for all that is known, but ended with an exit status that is not."""


def is_bad(state: str) -> bool:
    """Tell whether something ended, and not well."""
    return state not in (*OPEN, "completed")


def attempts(select: Select, runs: Iterable[str] | None, *, live: bool) -> list[Attempt]:
    """Return the attempts of runs, given by IRI, of all when None; by run and restart.

    Args:
        live: A daemon serves the runs, so that what has not ended may still be going on.
    """
    values = values_of("run", runs)
    ends = Ends(select, values)
    odd: dict[str, list[Session]] = defaultdict(list)
    for each in _sessions(select, values, _NOT_COMPLETED):
        odd[each.attempt].append(each)
    found = [
        Attempt(
            row["run"], row["attempt"], int(row["restart"]), int(row["size"]), int(row["ranks"]),
            row["started"], row.get("ended"),
        )
        for row in select(_ATTEMPTS.format(values=values))
    ]  # fmt: skip
    found.sort(key=lambda one: (one.run, one.restart))
    latest = {one.run: one.restart for one in found}
    for one in found:
        one.latest = one.restart == latest[one.run]
        _conclude(one, odd[one.attempt], ends, live=live and one.latest)
    return found


def sessions(select: Select, runs: Iterable[str] | None, *, live: bool) -> list[Session]:
    """Return the sessions of runs, given by IRI, of all when None."""
    values = values_of("run", runs)
    ends = Ends(select, values)
    found = _sessions(select, values, "")
    latest: dict[str, int] = defaultdict(int)
    for each in found:
        latest[each.run] = max(latest[each.run], each.restart)
    for each in found:
        _end(each, ends, live=live and each.restart == latest[each.run])
    return sorted(found, key=lambda each: (each.run, each.restart, each.rank, each.started))


def part_state(ended: str | None, error: str | None, session: str) -> str:
    """Return the state of a stage or section, by its own end or else its session's state.

    One that its rank left open without a word, and ended in order, is unfinished.
    """
    if error is not None:
        return "failed"
    if ended is not None:
        return "completed"
    return "unfinished" if session == "completed" else session


def in_words(end: Session) -> str:
    """Return how a session ended, for people: as in ``killed, signal 9``."""
    words = [end.state.replace("_", " ")]
    words += [f"signal {end.signal}"] if end.signal else []
    words += [f"exit status {end.exit_status}"] if end.exit_status else []
    return ", ".join(words)


def _is_cause(told: End | None, session: Session) -> bool:
    """Tell whether what Slurm says is why a session ended."""
    if told is None or session.state == "completed":
        return False
    return told.state in CAUSES and may_end(session.seen or session.ended, told.at)


def _says_exit(told: End | None, session: Session) -> bool:
    """Tell whether Slurm says with which status a process ended that does not know it itself."""
    if told is None or told.state not in ("completed", "failed"):
        return False
    return session.with_process and may_end(session.ended, told.at)


def _sessions(select: Select, values: str, only: str) -> list[Session]:
    """Return sessions, with what they and others told of their ends."""
    found: dict[str, Session] = {}
    for row in select(_SESSIONS.format(values=values, only=only)):
        each = found.get(row["part"])
        if each is None:
            each = found[row["part"]] = Session(
                row["run"], row["attempt"], int(row["restart"]), row["part"], row["agent"],
                int(row["rank"]), int(row["pid"]), row["host"], row["started"], row.get("ended"),
                row.get("error"),
            )  # fmt: skip
        outcome = row.get("outcome")
        each.with_process, each.wraps = "with" in row, "wraps" in row
        if outcome is None:
            continue
        if worst([each.outcome or outcome, outcome]) == outcome:
            each.outcome = outcome
            each.exit_status, each.signal = number_in(row, "exit"), number_in(row, "signal")
        each.outcome_at = _of_all(max, each.outcome_at, row.get("at"))
        each.seen = _of_all(min, each.seen, row.get("seen"))
    return list(found.values())


def _of_all(choose: Callable[..., str], *moments: str | None) -> str | None:
    """Return the first or last of the moments that are known."""
    return choose(filter(None, moments), key=sortable, default=None)


def _end(session: Session, ends: Ends, *, live: bool) -> None:
    """Say how a session ended."""
    told = ends.of(session.attempt, session.restart)
    if _says_itself(session):
        session.state = part_state(session.ended, session.error, "")
    elif session.outcome is not None:
        _end_as_seen(session, session.outcome, told)
    elif told is not None:
        session.state, session.ended = told.state, told.at
        session.exit_status, session.signal = told.exit_status, told.signal
    else:
        over = ends.over(session.attempt, session.restart)
        session.state = "running" if live and not over else "unfinished"


def _says_itself(session: Session) -> bool:
    """Tell whether a session's own end counts.

    That of `sprov run` does not where its command failed: the outcome, which it tells, says more.
    """
    if session.error is not None:
        return session.outcome is None or not session.error.startswith(OF_COMMAND)
    return session.ended is not None


def _end_as_seen(session: Session, outcome: str, told: End | None) -> None:
    """Say how a session ended by what others saw, and Slurm told."""
    session.state, session.ended = outcome, session.ended or session.outcome_at
    if session.ended is not None:  # a clock may have been set back
        session.ended = _of_all(max, session.started, session.ended)
    if told is None:
        return
    if session.exit_status is None and session.signal is None:
        session.exit_status, session.signal = told.exit_status, told.signal
    if told.at and sortable(told.at) < sortable(session.ended or told.at):
        session.ended = told.at  # it was seen later
    if outcome == "killed" and _is_cause(told, session):
        session.state = told.state


def _without_status(odd: list[Session]) -> list[Session]:
    """Return sessions that don't know with which exit status their process ended, where `sprov run`
    around it does not say so."""
    known = {each.rank for each in odd if each.exit_status is not None}
    return [each for each in odd if each.with_process and each.rank not in known]


def _conclude(attempt: Attempt, odd: list[Session], ends: Ends, *, live: bool) -> None:
    """Say how an attempt ended, by its sessions that did not complete in order.

    Args:
        live: It is the run's latest, and served.
    """
    by_rank: dict[int, list[Session]] = defaultdict(list)
    for each in odd:
        _end(each, ends, live=live)
        by_rank[each.rank].append(each)
    states = [worst(each.state for each in found) for found in by_rank.values()]
    attempt.ended_ranks = attempt.ranks - sum(state in OPEN for state in states)
    attempt.failed_ranks = sum(map(is_bad, states))
    told = ends.of(attempt.attempt, attempt.restart)
    if told is not None and attempt.size > attempt.ranks:  # some were never heard of
        attempt.slurm = told.state
        states.append(told.state)
    if told is not None and any(_is_cause(told, one) or _says_exit(told, one) for one in odd):
        states.append(told.state)
    attempt.state = worst(states) if states else "completed"
    attempt.error = next((each.error for each in odd if each.error), None)
    attempt.seen = _of_all(max, *(each.seen for each in odd))
    attempt.is_exit_known = not any(
        each.state == attempt.state and not _says_exit(told, each) for each in _without_status(odd)
    )
    of_state = [each for each in odd if each.state == attempt.state]
    of_state.sort(key=lambda each: (each.exit_status, each.signal) == (None, None))
    if by := of_state[0] if of_state else told:
        attempt.exit_status, attempt.signal = by.exit_status, by.signal
    moments = [attempt.ended, *(each.ended for each in odd)]
    is_open = any(state in OPEN for state in states)
    attempt.ended = None if is_open else max(filter(None, moments), key=sortable, default=None)
