"""How ranks and attempts of runs ended.

What a rank says of its own end counts, however late it comes; else what another process told of
it; else how Slurm says its step ended, or its job in the same restart.  Who saw that a rank was
killed may not know why: that Slurm does.  A rank that none of these tells of is running while its
attempt is the run's latest and somebody serves it, else unfinished.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pllib.moments import moment, sortable

Select = Callable[[str], list[dict[str, str]]]
"""Answers a SELECT query: a row for each solution, variable to text."""

STATES = (
    "out_of_memory", "node_failure", "preempted", "timed_out", "cancelled", "failed", "killed",
    "unfinished", "running", "completed",
)  # fmt: skip
"""What tells most of a whole first: of its parts' states, the first is its own."""
OPEN = ("unfinished", "running")
CAUSES = STATES[:5]
"""Words of Slurm's that say more than that a rank failed or was killed."""

OF_COMMAND = "CommandError: "
"""How the error of a command begins, as `sprov run` ends its own session with it."""
MOST_APART_S = 31.0
"""Between the ends of a step and of its job, if they have one cause: the KillWait that
slurm.conf(5) has by default, and what is lost to whole seconds."""

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
       ?outcome ?exit ?signal ?at WHERE {{
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
}}
"""
_NOT_COMPLETED = (
    "FILTER(EXISTS { ?part sprov:error ?any } || NOT EXISTS { ?part prov:endedAtTime ?end })"
)

_UNITS = """
SELECT ?attempt ?unit ?kind ?whole WHERE {{
  {values} ?attempt provml:isPartOf ?run ; a sprov:Attempt ; provml:isPartOf ?unit .
  VALUES ?kind {{ sprov:Job sprov:JobStep }} ?unit a ?kind .
  OPTIONAL {{ ?unit provml:isPartOf ?whole }}
}}
"""

_ENDS = """
SELECT ?unit ?restart ?outcome ?exit ?signal ?finished WHERE {{
  {values} ?account sprov:accountOf ?unit ; sprov:restart ?restart ; sprov:outcome ?outcome .
  OPTIONAL {{ ?account sprov:exitStatus ?exit }}
  OPTIONAL {{ ?account sprov:signal ?signal }}
  OPTIONAL {{ ?account sprov:finished ?finished }}
}}
"""


@dataclass
class End:
    """How somebody else says that a rank, step or job ended."""

    state: str
    at: str | None = None
    exit_status: int | None = None
    signal: int | None = None


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
    """When it said that it ended, or was seen to have."""
    error: str | None = None
    outcome: str | None = None
    """As another process told it, if one did."""
    outcome_at: str | None = None
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


def worst(states: Iterable[str]) -> str:
    """Return the state of a whole by those of its parts; a word that is not known counts most."""
    return min(states, key=lambda state: STATES.index(state) if state in STATES else -1)


def is_bad(state: str) -> bool:
    """Tell whether something ended, and not well."""
    return state not in (*OPEN, "completed")


def attempts(select: Select, runs: Iterable[str] | None, *, live: bool) -> list[Attempt]:
    """Return the attempts of runs, given by IRI, of all when None; by run and restart.

    Args:
        live: A daemon serves the runs, so that what has not ended may still be going on.
    """
    values = _values("run", runs)
    ends = _Ends(select, values)
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
    values = _values("run", runs)
    ends = _Ends(select, values)
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


def _values(name: str, iris: Iterable[str] | None) -> str:
    if iris is None:
        return ""
    return f"VALUES ?{name} {{ {' '.join(f'<{iri}>' for iri in iris)} }}"


class _Ends:
    """How Slurm says that the steps and jobs of attempts ended."""

    def __init__(self, select: Select, values: str) -> None:
        self._places: dict[str, tuple[str | None, str | None]] = {}
        """Attempt to its step and job."""
        for row in select(_UNITS.format(values=values)):
            in_step = row["kind"].endswith("#JobStep")
            step, job = (row["unit"], row.get("whole")) if in_step else (None, row["unit"])
            self._places[row["attempt"]] = step, job
        units = {unit for place in self._places.values() for unit in place if unit}
        self._ends: dict[tuple[str, int], End] = {}
        if units:
            asked = _values("unit", units if values else None)
            for row in select(_ENDS.format(values=asked)):
                self._learn(row)

    def _learn(self, row: dict[str, str]) -> None:
        key = row["unit"], int(row["restart"])
        end = End(row["outcome"], row.get("finished"), _number(row, "exit"), _number(row, "signal"))
        known = self._ends.get(key)
        if known is None or worst([end.state, known.state]) == end.state:
            self._ends[key] = end

    def of(self, attempt: str, restart: int) -> End | None:
        """Return how an attempt's step ended, else its job.

        A job is its script: that this ended well tells nothing of a rank that it started.
        """
        step, job = self._places.get(attempt, (None, None))
        own = self._ends.get((step or "", restart))
        whole = self._ends.get((job or "", restart))
        if whole is not None and whole.state == "completed":
            whole = None
        if own is not None and whole is not None and _was_ended_with(own, whole):
            return replace(own, state=whole.state)
        return own or whole

    def over(self, attempt: str, restart: int) -> bool:
        """Tell whether an attempt's step or job has ended, however."""
        place = self._places.get(attempt, ())
        return any((unit or "", restart) in self._ends for unit in place)


def _was_ended_with(step: End, job: End) -> bool:
    """Tell whether the job's state is why a step was ended.

    A step is CANCELLED to Slurm 22.05 whenever it was ended from outside, as measured: with a job
    that is TIMEOUT, NODE_FAIL or CANCELLED, and by ``srun -K`` in one that is then FAILED.
    """
    is_vague = step.state == "cancelled" or (step.state == "killed" and job.state in CAUSES)
    return is_vague and _may_end(step.at, job.at)


def _may_end(at: str | None, cause_at: str | None) -> bool:
    """Tell whether what ended may have ended by this cause: it did not end long before.

    That it ended may have been seen at any time later.
    """
    try:
        return (moment(cause_at or "") - moment(at or "")).total_seconds() <= MOST_APART_S
    except ValueError:  # not told
        return True


def _is_cause(told: End | None, session: Session) -> bool:
    """Tell whether what Slurm says is why a session ended."""
    return told is not None and told.state in CAUSES and _may_end(session.ended, told.at)


def _number(row: dict[str, str], name: str) -> int | None:
    return int(row[name]) if name in row else None


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
        if outcome is not None and worst([each.outcome or outcome, outcome]) == outcome:
            each.outcome, each.outcome_at = outcome, row.get("at")
            each.exit_status, each.signal = _number(row, "exit"), _number(row, "signal")
    return list(found.values())


def _end(session: Session, ends: _Ends, *, live: bool) -> None:
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
    if told is None:
        return
    if session.exit_status is None and session.signal is None:
        session.exit_status, session.signal = told.exit_status, told.signal
    if told.at and sortable(told.at) < sortable(session.ended or told.at):
        session.ended = told.at  # it was seen later
    if outcome == "killed" and _is_cause(told, session):
        session.state = told.state


def _conclude(attempt: Attempt, odd: list[Session], ends: _Ends, *, live: bool) -> None:
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
    if attempt.size > attempt.ranks:  # some were never heard of
        going_on = live and not ends.over(attempt.attempt, attempt.restart)
        states.append(told.state if told else "running" if going_on else "unfinished")
    if told is not None and any(_is_cause(told, each) for each in odd):
        states.append(told.state)
    attempt.state = worst(states) if states else "completed"
    attempt.error = next((each.error for each in odd if each.error), None)
    of_state = [each for each in odd if each.state == attempt.state]
    if by := of_state[0] if of_state else told:
        attempt.exit_status, attempt.signal = by.exit_status, by.signal
    moments = [attempt.ended, *(each.ended for each in odd)]
    is_open = any(state in OPEN for state in states)
    attempt.ended = None if is_open else max(filter(None, moments), key=sortable, default=None)
