"""Whatever goes out has an association for each activity, once, and says of it what was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.vocabulary import QUALIFIED_ASSOCIATION, term
from pllib.identity import ID_BASE, digest
from query.export.associations import split

ACTIVITIES = [f"<{ID_BASE}activity/{digest(nth)}>" for nth in range(3)] + ["<http://e.org/run>"]
ASSOCIATIONS = [f"<{ID_BASE}association/{digest('q', nth)}>" for nth in range(3)]
ASSOCIATIONS.append("<http://e.org/association>")


def graph(having: set[tuple[str, str]]) -> bytes:
    lines = [f"{activity} {QUALIFIED_ASSOCIATION} {of} .\n" for activity, of in sorted(having)]
    lines += [f"{activity} <http://e.org/p> 1 .\n" for activity in ACTIVITIES]
    for nth, of in enumerate(ASSOCIATIONS):
        if any(of == known for _, known in having):
            lines.append(f"{of} {term('prov:agent')} <http://e.org/agent/{nth}> .\n")
            lines.append(f'{of} {term("prov:hadRole")} "a role" .\n')
    return "".join(lines).encode()


def agents(triples: bytes) -> dict[tuple[str, str], str]:
    """Return the agent of each pair of activity and association."""
    rows = [line.split(" ", 2) for line in triples.decode().splitlines()]
    of = {s: o for s, p, o in rows if p == term("prov:agent")}
    return {(s, o[:-2]): of[o[:-2]] for s, p, o in rows if p == QUALIFIED_ASSOCIATION}


pairs = st.tuples(st.sampled_from(ACTIVITIES), st.sampled_from(ASSOCIATIONS))


@given(st.sets(pairs), st.integers(0, 400))
def test_no_association_is_of_two_activities(having: set[tuple[str, str]], cut: int):
    before = graph(having)
    at = before.find(b"\n", cut) + 1
    after = b"".join(split([before[:at], before[at:]]))
    found = agents(after)
    assert len({association for _, association in found}) == len(found) == len(having)
    told = sorted((activity, agent) for (activity, _), agent in found.items())
    assert told == sorted((activity, agent) for (activity, _), agent in agents(before).items())
    assert after.count(b'"a role"') == len(having)
    assert after.count(b"<http://e.org/p>") == len(ACTIVITIES)
    again = b"".join(split([after]))
    assert sorted(again.splitlines()) == sorted(after.splitlines())


@pytest.mark.parametrize("others", [0, 1])
def test_a_name_depends_on_the_activity_alone(others: int):
    """So that a run that goes on names what it had before as before."""
    having = {(activity, ASSOCIATIONS[0]) for activity in ACTIVITIES[: 1 + others]}
    found = agents(b"".join(split([graph(having)])))
    name = ACTIVITIES[0].replace("/activity/", "/association/")
    assert (ACTIVITIES[0], name) in found
