"""What one run did: its plans with their attributes and executions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import pyoxigraph as ox

from pllib.identity import ID_BASE

from ..vocabulary import term
from .answer import select
from .described import classes
from .states import part_state, sessions
from .walk import pairs

MAX_LISTED = 2_000
"""Executions of a plan that are looked at one by one."""


@dataclass
class Execution:
    id: str
    plan: str
    rank: int
    agent: str = ""
    started: str | None = None
    ended: str | None = None
    error: str | None = None
    state: str = ""


@dataclass
class Plan:
    id: str
    kind: str
    name: str
    n_executions: int = 0
    executions: list[Execution] = field(default_factory=list)
    """Empty if there are more than `MAX_LISTED`."""
    attributes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Attribute to direction and name."""


class Reader:
    """Terms of IRIs, and what one run did."""

    def __init__(self, store: ox.Store, run: str, *, live: bool = False) -> None:
        """Args:
        live: A daemon serves the run, so that what has not ended may still be going on.
        """
        self._store = store
        self.run = run
        self.select = partial(select, store)
        self.every_session = sessions(self.select, [run], live=live)
        self.sessions = {each.agent: each for each in self.every_session}
        self.agents = self.back("sprov:run", [run], "agent")
        self.rank = {agent: int(n) for agent, n in self.known(self.agents, "sprov:rank").items()}
        self.plans = self._plans()

    def pairs(self, found: Iterable[str], *terms: str) -> list[tuple[str, str]]:
        path = "/".join(f"^{term(name[1:])}" if name[0] == "^" else term(name) for name in terms)
        return pairs(self._store, f"?x {path} ?y", found)

    def known(self, found: Iterable[str], *terms: str) -> dict[str, str]:
        return dict(self.pairs(found, *terms))

    def back(self, name: str, found: Iterable[str], kind: str) -> list[str]:
        """Return the things of a kind of IRI that point to any of these."""
        prefix = f"{ID_BASE}{kind}/"
        return sorted(
            {each for _, each in self.pairs(found, f"^{name}") if each.startswith(prefix)}
        )

    def _plans(self) -> list[Plan]:
        by = self.pairs(self.agents, "^prov:agent")
        agent_of = {association: agent for agent, association in by}
        plan_of = self.known(agent_of, "prov:hadPlan")
        plans = set(plan_of.values())
        kind, name = self.known(plans, "sprov:kind"), self.known(plans, "rdfs:label")
        found = {each: Plan(each, kind.get(each, ""), name.get(each, "")) for each in plans}
        counts = self._counts(plan_of)
        for association, plan in plan_of.items():
            found[plan].n_executions += counts.get(association, 0)
        few = [q for q, plan in plan_of.items() if found[plan].n_executions <= MAX_LISTED]
        for association, each in self.pairs(few, "^prov:qualifiedAssociation"):
            plan, agent = plan_of[association], agent_of[association]
            rank = self.rank.get(agent, 0)
            found[plan].executions.append(Execution(each, plan, rank, agent))
        self._attributes(found)
        every = [execution for plan in found.values() for execution in plan.executions]
        self._times(every)
        return sorted(found.values(), key=lambda plan: (plan.kind, plan.name))

    def roles(self, attributes: Iterable[str]) -> set[str]:
        """Return those attributes that have ever been the role of a shared entity.

        Whether there is one is asked, not which: a role may have had millions.
        """
        exists = f"FILTER EXISTS {{ ?q {term('prov:hadRole')} ?x }} BIND(0 AS ?y)"
        return {attribute for attribute, _ in pairs(self._store, exists, attributes)}

    def kinds(self, found: Iterable[str]) -> dict[str, str]:
        return classes(self._store, found)

    def failed(self) -> list[tuple[Plan, Execution]]:
        """Return what failed of plans whose executions are not listed.

        Failures of all runs are looked through: they are fewer than such executions.
        """
        many = {plan.id: plan for plan in self.plans if not plan.executions}
        if not many:
            return []
        result = self._store.query(f"SELECT ?y ?error {{ ?y {term('sprov:error')} ?error }}")
        assert isinstance(result, ox.QuerySolutions)
        errors = {row[0].value: row[1].value for row in result}
        by = self.known(errors, "prov:qualifiedAssociation")
        agent = self.known(set(by.values()), "prov:agent")
        plan = self.known(set(by.values()), "prov:hadPlan")
        return [
            (
                many[plan[q]],
                Execution(
                    each, plan[q], self.rank[agent[q]], agent[q], error=errors[each], state="failed"
                ),
            )
            for each, q in by.items()
            if agent.get(q) in self.rank and plan.get(q) in many
        ]

    def _counts(self, associations: Iterable[str]) -> dict[str, int]:
        known = list(associations)
        rows = " ".join(f"(<{iri}> {n})" for n, iri in enumerate(known))
        pattern = f"VALUES (?x ?n) {{ {rows} }} ?y {term('prov:qualifiedAssociation')} ?x"
        query = f"SELECT ?n (COUNT(*) AS ?c) {{ {pattern} }} GROUP BY ?n"
        result = self._store.query(query)
        assert isinstance(result, ox.QuerySolutions)
        return {known[int(row[0].value)]: int(row[1].value) for row in result}

    def _attributes(self, plans: dict[str, Plan]) -> None:
        within = self.pairs(plans, "^provml:isPartOf")
        direction = self.known({each for _, each in within}, "sprov:direction")
        name = self.known(direction, "rdfs:label")
        for plan, each in within:
            if each in direction:
                plans[plan].attributes[each] = direction[each], name.get(each, "")

    def _times(self, executions: list[Execution]) -> None:
        by_id = [each.id for each in executions]
        started = self.known(by_id, "prov:startedAtTime")
        ended, error = self.known(by_id, "prov:endedAtTime"), self.known(by_id, "sprov:error")
        for each in executions:
            each.started, each.ended = started.get(each.id), ended.get(each.id)
            each.error = error.get(each.id)
            session = self.sessions.get(each.agent)
            if session is not None and session.part == each.id:
                each.state = session.state
            else:
                state = session.state if session else "unfinished"
                each.state = part_state(each.ended, each.error, state)
