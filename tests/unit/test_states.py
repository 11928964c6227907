"""How ranks, stages and runs ended, by what they, others and Slurm said: on graphs written here."""

from __future__ import annotations

from functools import partial

import pyoxigraph as ox
import pytest

from manager.store.answer import select
from manager.store.runs import list_runs
from manager.store.states import Attempt, Session, attempts, part_state, sessions
from manager.vocabulary import PREFIXES

HEAD = f"BASE <{PREFIXES['id']}>\n" + "".join(
    f"PREFIX {name}: <{iri}>\n" for name, iri in PREFIXES.items()
)
RUN = """
<run/r> a provml:LearningExperimentExecution ; sprov:ranks {size} ; sprov:program "p" .
"""
ATTEMPT = """
<attempt/{n}> a sprov:Attempt ; provml:isPartOf <run/r> , <step/{n}> ; sprov:restart {n} .
<step/{n}> a sprov:JobStep ; provml:isPartOf <job/j> .
<job/j> a sprov:Job .
"""
SESSION = """
<activity/{a}> a provml:WorkflowExecution ; provml:isPartOf <attempt/{attempt}> ;
  prov:startedAtTime "2026-01-01T00:00:0{rank}Z"^^xsd:dateTime ;
  prov:qualifiedAssociation <association/{a}> .
<association/{a}> prov:agent <agent/{a}> .
<agent/{a}> sprov:rank {rank} ; sprov:pid 1{rank} ; prov:atLocation <node/n> .
<node/n> rdfs:label "node0" .
"""
ENDED = 'prov:endedAtTime "2026-01-01T01:59:55Z"^^xsd:dateTime'
FAILED = f'{ENDED} ; sprov:error "ValueError: no"'
KILLED = (
    'sprov:outcome "killed" ; sprov:signal 9 ; sprov:outcomeAt "2026-01-01T01:59:50Z"^^xsd:dateTime'
)
UNKNOWN = f"{ENDED} ; sprov:endedWithProcess true"
LOST_NODE = 'sprov:outcome "node_failure"'


def said(subject: str, what: str) -> str:
    return f"<{subject}> {what} .\n"


def account(of: str, outcome: str, restart: int = 0, at: str = "02:00:00") -> str:
    """Return what Slurm says of the step of an attempt, or of the job."""
    return said(
        f"accounting/{of.replace('/', '-')}-{outcome}-{restart}",
        f"sprov:accountOf <{of}> ; sprov:restart {restart} ; "
        f'sprov:outcome "{outcome}" ; sprov:finished "2026-01-01T{at}Z"^^xsd:dateTime',
    )


def graph(*ranks: str, size: int = 0, more: str = "", attempt: int = 0) -> str:
    """Return a run's attempt, a session for each of `ranks` with what is said of it."""
    text = RUN.format(size=size or len(ranks)) + ATTEMPT.format(n=attempt)
    for rank, told in enumerate(ranks):
        a = f"{attempt}{rank}"
        text += SESSION.format(a=a, attempt=attempt, rank=rank)
        text += said(f"activity/{a}", told) if told else ""
    return text + more


def load(turtle: str) -> ox.Store:
    store = ox.Store()
    store.load(input=HEAD + turtle, format=ox.RdfFormat.TURTLE)
    return store


def the_attempts(text: str, *, live: bool = False) -> list[Attempt]:
    return attempts(partial(select, load(text)), None, live=live)


def the_sessions(text: str, *, live: bool = False) -> list[Session]:
    return sessions(partial(select, load(text)), None, live=live)


@pytest.mark.parametrize(
    ("rank", "more", "state"),
    [
        (ENDED, "", "completed"),
        (FAILED, "", "failed"),
        (KILLED, "", "killed"),
        ("", "", "unfinished"),
        (f"{ENDED} ; {KILLED}", "", "completed"),  # its own end came late
        (f"{FAILED} ; {KILLED}", "", "failed"),
        (f'{ENDED} ; sprov:error "CommandError: killed by SIGKILL" ; {KILLED}', "", "killed"),
        (f'{KILLED} ; sprov:outcome "out_of_memory"', "", "out_of_memory"),
        ("", account("step/0", "failed"), "failed"),
        ("", account("step/0", "completed"), "completed"),
        ("", account("step/0", "failed", restart=1), "unfinished"),
        (KILLED, account("step/0", "failed"), "killed"),
        ("", account("job/j", "timed_out"), "timed_out"),
        ("", account("step/0", "cancelled") + account("job/j", "timed_out"), "timed_out"),
        ("", account("step/0", "cancelled") + account("job/j", "cancelled"), "cancelled"),
        ("", account("step/0", "cancelled") + account("job/j", "completed"), "cancelled"),
        ("", account("step/0", "cancelled") + account("job/j", "failed", at="02:00:30"), "failed"),
        (
            "",
            account("step/0", "cancelled") + account("job/j", "failed", at="03:00:00"),
            "cancelled",
        ),
        ("", account("step/0", "failed") + account("job/j", "timed_out"), "failed"),
        ("", account("step/0", "failed") + account("step/0", "preempted"), "preempted"),
        ("", account("job/j", "completed"), "unfinished"),
        (KILLED, account("job/j", "timed_out"), "timed_out"),
        (KILLED, account("step/0", "killed") + account("job/j", "node_failure"), "node_failure"),
        ("", account("step/0", "killed") + account("job/j", "timed_out", at="02:00:34"), "killed"),
        (KILLED, account("job/j", "timed_out", at="04:00:00"), "killed"),  # long before
    ],
)
def test_a_rank_ended_as_it_said_else_as_others_saw_else_as_slurm_says(rank, more, state):
    (session,) = the_sessions(graph(rank, more=more))

    assert session.state == state
    assert [each.state for each in the_attempts(graph(rank, more=more))] == [state]


@pytest.mark.parametrize(
    ("ranks", "size", "more", "state"),
    [
        ((ENDED, ENDED), 2, "", "completed"),
        ((ENDED, FAILED), 2, "", "failed"),
        ((ENDED, KILLED), 2, "", "killed"),
        ((FAILED, KILLED), 2, "", "failed"),
        ((LOST_NODE, KILLED, FAILED), 3, "", "node_failure"),
        ((ENDED, ""), 2, "", "unfinished"),
        ((KILLED, ""), 2, "", "killed"),
        ((ENDED,), 2, "", "completed"),
        (("",), 2, "", "unfinished"),
        ((KILLED,), 2, "", "killed"),
        ((ENDED,), 2, account("step/0", "completed"), "completed"),
        ((ENDED,), 2, account("step/0", "failed"), "failed"),
        ((FAILED, FAILED), 2, account("step/0", "timed_out"), "timed_out"),
        ((ENDED, ENDED), 2, account("job/j", "timed_out"), "completed"),
        ((KILLED, ""), 2, account("step/0", "timed_out", at="04:00:00"), "timed_out"),
        ((ENDED, 'sprov:outcome "struck_by_lightning"'), 2, "", "struck_by_lightning"),
    ],
)
def test_a_run_ended_as_the_rank_that_tells_most(ranks, size, more, state):
    text = graph(*ranks, size=size, more=more)

    (attempt,) = the_attempts(text)
    assert attempt.state == state
    (row,) = list_runs(partial(select, load(text)), live=False)
    assert row["state"] == state


def test_what_is_open_runs_while_it_is_served_and_the_latest():
    first, second = graph(""), graph("", attempt=1)

    assert [each.state for each in the_attempts(first, live=True)] == ["running"]
    found = the_attempts(first + second, live=True)
    assert [each.state for each in found] == ["unfinished", "running"]
    assert [each.latest for each in found] == [False, True]
    assert the_sessions(first + account("job/j", "completed"), live=True)[0].state == "unfinished"


@pytest.mark.parametrize(
    ("more", "state", "known"),
    [
        ("", "completed", False),
        (account("step/0", "completed"), "completed", True),
        (account("step/0", "failed"), "failed", True),
        (account("job/j", "failed", at="02:00:20"), "failed", True),
        (account("job/j", "failed", at="03:00:00"), "completed", False),  # by another command
        (account("job/j", "timed_out"), "completed", False),
        (account("job/j", "completed"), "completed", False),
    ],
)
def test_an_exit_status_that_a_rank_could_not_know_is_what_slurm_says(more, state, known):
    (attempt,) = the_attempts(graph(UNKNOWN, more=more))

    assert (attempt.state, attempt.is_exit_known) == (state, known)
    assert the_attempts(graph(ENDED, more=more))[0].state == "completed"


def killed(last: str, seen: str = "") -> str:
    told = f'sprov:outcome "killed" ; sprov:outcomeAt "2026-01-01T{last}Z"^^xsd:dateTime'
    return told + (f' ; sprov:outcomeSeenAt "2026-01-01T{seen}Z"^^xsd:dateTime' if seen else "")


def test_who_was_killed_ended_at_the_last_sign_of_it_and_not_when_somebody_looked():
    text = graph(killed("01:30:00", "09:00:00")) + said(
        "activity/00", killed("01:20:00", "08:00:00")
    )

    (session,), (attempt,) = the_sessions(text), the_attempts(text)
    assert (session.state, session.ended) == ("killed", "2026-01-01T01:30:00Z")
    assert (attempt.ended, attempt.seen) == (session.ended, "2026-01-01T08:00:00Z")


def test_a_cause_may_be_long_after_the_last_sign_but_not_after_the_end_was_seen():
    timed_out = account("step/0", "timed_out")
    (quiet,) = the_sessions(graph(killed("01:00:00", "02:00:10"), more=timed_out))
    (before,) = the_sessions(graph(killed("01:00:00", "01:01:00"), more=timed_out))

    assert (quiet.state, before.state) == ("timed_out", "killed")


def test_nothing_ends_before_it_began():
    """The clock of who saw it was behind, or was set back."""
    late = graph("", killed("00:00:00"))  # rank 1 began a second later
    ends = {each.rank: each.ended for each in the_sessions(late)}
    assert ends == {0: None, 1: "2026-01-01T00:00:01Z"}


def test_what_was_seen_after_its_step_ended_ended_with_it():
    """As by `sprov ingest`, the day after."""
    (session,) = the_sessions(graph(KILLED, more=account("step/0", "timed_out", at="01:00:00")))

    assert (session.state, session.ended) == ("timed_out", "2026-01-01T01:00:00Z")


def test_a_requeued_run_is_as_its_latest_attempt():
    text = graph(KILLED) + graph(ENDED, attempt=1)

    (row,) = list_runs(partial(select, load(text)), live=False)
    assert (row["state"], row["ended"]) == ("completed", "2026-01-01T01:59:55Z")


def test_two_sessions_of_a_rank_are_one_rank():
    """A wrapper and the program in it: the same rank, another pid."""
    program = graph(KILLED)
    wrapper = SESSION.format(a="wrapper", attempt=0, rank=0)
    text = program + wrapper + said("activity/wrapper", ENDED)

    (attempt,) = the_attempts(text)
    assert (attempt.ranks, attempt.ended_ranks, attempt.failed_ranks) == (1, 1, 1)
    assert (attempt.state, attempt.signal) == ("killed", 9)
    assert {each.state for each in the_sessions(text)} == {"killed", "completed"}


@pytest.mark.parametrize(("status", "state"), [(0, "completed"), (4, "failed")])
def test_an_exit_status_that_a_rank_could_not_know_is_what_its_wrapper_says(status, state):
    wrapper = SESSION.format(a="wrapper", attempt=0, rank=0)
    error = f' ; sprov:error "CommandError: exit status {status}"' if status else ""
    ended = f'{ENDED}{error} ; sprov:outcome "{state}" ; sprov:exitStatus {status}'

    (attempt,) = the_attempts(graph(UNKNOWN) + wrapper + said("activity/wrapper", ended))
    assert (attempt.state, attempt.is_exit_known) == (state, True)
    assert (attempt.exit_status, attempt.ranks) == (status, 1)


@pytest.mark.parametrize(
    ("ended", "error", "rank", "state"),
    [
        ("2026", None, "killed", "completed"),
        ("2026", "ValueError", "killed", "failed"),
        (None, None, "killed", "killed"),
        (None, None, "running", "running"),
        (None, None, "completed", "unfinished"),
    ],
)
def test_a_stage_ended_by_itself_or_with_its_rank(ended, error, rank, state):
    assert part_state(ended, error, rank) == state
