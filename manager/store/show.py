"""One run, told: who, where, when, settings, data, results, deviations, failures.

A run may have 100,000 executions, and to look at each of them costs a second.  So what a run did is
found by plan: only plans whose attributes have a role are looked through for files, only those with
hyperparameters for settings, and plans that were executed more often than `executions.MAX_LISTED`
for neither.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pyoxigraph as ox

from pllib.errors import QueryError
from pllib.identity import ID_BASE
from pllib.moments import sortable

from .deviations import deviations
from .executions import Reader
from .losses import lost, skipped
from .rivals import rivals
from .software import facts_by_node, merged, packages, software
from .states import attempts, in_words, is_bad, worst

Row = dict[str, Any]
MAX_REDACTED = 10_000
"""Things that are looked at to count those of a run."""


class Show(msgspec.Struct, array_like=True, tag="run"):
    """A question: what was this run?"""

    run: str
    live: bool = False
    """A daemon serves it, so that what has not ended may still be going on."""


def show(store: ox.Store, asked: Show) -> Row:
    """Return the sections of a run by name, each a list of rows with stable keys.

    Raises:
        QueryError: There is no such run.
    """
    read = Reader(store, asked.run, live=asked.live)
    if not read.agents:
        raise QueryError(f"no run is {asked.run}", "`sprov runs` lists them")
    facts = merged(fact for _, fact in read.pairs([asked.run], "sprov:fact"))
    shared = _shared(read)
    models = [row for row in shared if row["kind"] in ("model", "checkpoint")]
    files = [row for row in shared if row["kind"] in ("file", "directory", "reference")]
    return {
        "facts": facts,
        "facts_by_node": facts_by_node(read),
        "software": software(facts),
        "packages": packages(facts),
        "redacted": _redacted(read),
        "tags": sorted(tag for _, tag in read.pairs([asked.run], "sprov:tag")),
        "where": _where(read),
        "attempts": _attempts(read, live=asked.live),
        "resumed_from": _resumed_from(read),
        "stages": _stages(read),
        "settings": _settings(read),
        "data_sets": _data_sets(read, shared),
        "files": files,
        "models": _models(read, models),
        "results": _results(read),
        "series": _series(read),
        "deviations": deviations(store, read.plans),
        "failures": _failures(read),
        "lost": lost(read),
        "rivals": rivals(read.every_session),
        "skipped": skipped(read),
    }


def _redacted(read: Reader) -> int:
    """Return how many things of a run have texts of which a secret was taken out.

    There are few in all runs together, so they are looked up first.
    """
    marked = {row["thing"] for row in read.select("SELECT ?thing { ?thing sprov:redacted ?p }")}
    things = sorted(marked)[:MAX_REDACTED]
    if not things:
        return 0
    values = " ".join(f"<{thing}>" for thing in things)
    ours = read.select(
        f"""SELECT DISTINCT ?thing {{ VALUES ?thing {{ {values} }}
            {{ ?thing prov:qualifiedAssociation ?q }} UNION {{ ?q prov:hadPlan ?thing }}
            UNION {{ ?a prov:used ?thing . ?a prov:qualifiedAssociation ?q }}
            UNION {{ ?thing prov:wasGeneratedBy ?a . ?a prov:qualifiedAssociation ?q }}
            ?q prov:agent ?agent . ?agent sprov:run <{read.run}> }}"""
    )
    return len({row["thing"] for row in ours} | (marked & {read.run}))


def products(store: ox.Store, run: str) -> list[str]:
    """Return the files and data sets that a run generated."""
    return [row["id"] for row in _shared(Reader(store, run)) if row["how"] == "generated"]


def _where(read: Reader) -> list[Row]:
    host = read.known(read.agents, "prov:atLocation", "rdfs:label")
    user = read.known(read.agents, "prov:actedOnBehalfOf", "rdfs:label")
    ranks: dict[tuple[str, str], set[int]] = defaultdict(set)
    for agent in read.agents:
        ranks[host.get(agent, ""), user.get(agent, "")].add(read.rank.get(agent, 0))
    return [
        {"host": at, "ranks": len(found), "user": by} for (at, by), found in sorted(ranks.items())
    ]


def _attempts(read: Reader, *, live: bool) -> list[Row]:
    found = attempts(read.select, [read.run], live=live)
    within = read.pairs([each.attempt for each in found], "provml:isPartOf")
    label = read.known({whole for _, whole in within if whole != read.run}, "rdfs:label")
    job = {attempt: label[whole] for attempt, whole in within if whole in label}
    return [
        {
            "restart": each.restart,
            "job": job.get(each.attempt),
            "ranks": each.ranks,
            "size": each.size,
            "slurm": each.slurm,
            "started": each.started,
            "ended": each.ended,
            "state": each.state,
            "failed_ranks": each.failed_ranks,
            "exit_status": each.exit_status,
            "signal": each.signal,
            "seen": each.seen,
            "exit_status_known": each.is_exit_known,
        }
        for each in found
    ]


def _resumed_from(read: Reader) -> list[Row]:
    mine = [execution.id for plan in read.plans for execution in plan.executions]
    found = {source for _, source in read.pairs(mine, "sprov:resumedFrom")}
    label, path = read.known(found, "rdfs:label"), read.known(found, "sprov:path")
    return [{"id": each, "name": label.get(each), "path": path.get(each)} for each in sorted(found)]


def _stages(read: Reader) -> list[Row]:
    rows = []
    for plan in read.plans:
        some = plan.executions
        began = [each.started for each in some if each.started]
        is_open = any(each.ended is None for each in some)
        ends = [each.ended for each in some if each.ended]
        rows.append(
            {
                "kind": plan.kind,
                "name": plan.name,
                "executions": plan.n_executions,
                "ranks": len({each.rank for each in some}) or None,
                "started": min(began, key=sortable, default=None),
                "ended": None if is_open else max(ends, key=sortable, default=None),
                "state": worst(each.state for each in some) if some else None,
                "failed": sum(each.error is not None for each in some),
            }
        )
    return sorted(rows, key=lambda row: (row["started"] is None, row["started"], row["name"]))


def _settings(read: Reader) -> list[Row]:
    names = {
        attribute: (plan.kind, plan.name, direction, name)
        for plan in read.plans
        for attribute, (direction, name) in plan.attributes.items()
        if direction in ("hyperparameter", "model_hyperparameter")
    }
    plans = {plan.id for plan in read.plans if names.keys() & plan.attributes.keys()}
    mine = [e.id for plan in read.plans if plan.id in plans for e in plan.executions]
    used = {value for _, value in read.pairs(mine, "prov:used") if value.startswith(_PLAIN)}
    of = {v: at for v, at in read.pairs(used, "provml:ofAttribute") if at in names}
    value = read.known(of, "prov:value")
    adapted = _adapted(read, mine, of, value)
    later = {change["entity"] for changes in adapted.values() for change in changes}
    initial: dict[str, list[str]] = defaultdict(list)
    for entity, attribute in of.items():
        if entity not in later:
            initial[attribute].append(value[entity])
    rows = []
    for attribute, (_, plan, direction, name) in names.items():
        changes = adapted.get(attribute, [])
        first = initial.get(attribute, [])
        if first or changes:
            rows.append(
                {
                    "plan": plan,
                    "name": name,
                    "of": "model" if direction == "model_hyperparameter" else "learning",
                    "value": " | ".join(sorted(first)),
                    "adapted": [{k: c[k] for k in ("step", "at", "value")} for c in changes],
                }
            )
    return sorted(rows, key=lambda row: (row["plan"], row["name"]))


_PLAIN = f"{ID_BASE}entity/"


def _adapted(
    read: Reader, mine: list[str], of: dict[str, str], value: dict[str, str]
) -> dict[str, list[Row]]:
    """Return the changes of each hyperparameter, by attribute, in order of time."""
    usages = {usage for _, usage in read.pairs(mine, "prov:qualifiedUsage")}
    at, step = read.known(usages, "prov:atTime"), read.known(usages, "sprov:step")
    entity = read.known(at, "prov:entity")
    changes: dict[str, list[Row]] = defaultdict(list)
    for usage in sorted(at, key=lambda each: at[each]):
        changed = entity.get(usage, "")
        if changed in of:
            changes[of[changed]].append(
                {
                    "entity": changed,
                    "step": int(step[usage]) if usage in step else None,
                    "at": at[usage],
                    "value": value[changed],
                }
            )
    return changes


def _shared(read: Reader) -> list[Row]:
    """Return files and data sets, each with how it took part, once for each role."""
    taken = read.roles({each for plan in read.plans for each in plan.attributes})
    plans = [plan for plan in read.plans if not taken.isdisjoint(plan.attributes)]
    mine = [execution.id for plan in plans for execution in plan.executions]
    roles = {usage: "used" for _, usage in read.pairs(mine, "prov:qualifiedUsage")}
    entity = read.known(roles, "prov:entity")
    made = {made: "generated" for _, made in read.pairs(mine, "^prov:activity")}
    entity.update(read.known(made, "^prov:qualifiedGeneration"))
    roles.update(made)
    name = read.known(roles, "prov:hadRole", "rdfs:label")
    found = {(how, name.get(q, ""), entity[q]) for q, how in roles.items() if q in entity}
    ids = {each for _, _, each in found}
    kinds = read.kinds(ids)
    label, path = read.known(ids, "rdfs:label"), read.known(ids, "sprov:path")
    size, version = read.known(ids, "sprov:size"), read.known(ids, "sprov:version")
    digest = read.known(ids, "prov:specializationOf", "sprov:digest")
    return [
        {
            "how": how,
            "role": role,
            "kind": kinds[each],
            "name": label.get(each),
            "path": path.get(each),
            "size": int(size[each]) if each in size else None,
            "version": version.get(each),
            "digest": digest.get(each),
            "id": each,
        }
        for how, role, each in sorted(
            found, key=lambda one: (one[0] != "used", one[1], path.get(one[2], ""), one[2])
        )
        if each in kinds
    ]


def _data_sets(read: Reader, shared: list[Row]) -> list[Row]:
    rows = [row for row in shared if row["kind"] in ("data set", "feature data")]
    ids = [row["id"] for row in rows]
    split, mark = read.known(ids, "sprov:split"), read.known(ids, "sprov:fingerprint")
    members: dict[str, int] = defaultdict(int)
    for each, _ in read.pairs(set(ids), "prov:hadMember"):
        members[each] += 1
    keys = ("how", "role", "kind", "name", "version", "id")
    return [
        {
            **{key: row[key] for key in keys},
            "split": split.get(row["id"]),
            "fingerprint": mark.get(row["id"]),
            "files": members[row["id"]],
        }
        for row in rows
    ]


def _models(read: Reader, rows: list[Row]) -> list[Row]:
    ids = [row["id"] for row in rows]
    step, score = read.known(ids, "sprov:step"), read.known(ids, "sprov:score")
    best = read.known(ids, "sprov:best")
    found = [
        {
            **row,
            "step": int(step[row["id"]]) if row["id"] in step else None,
            "score": float(score[row["id"]]) if row["id"] in score else None,
            "best": best.get(row["id"]) == "true",
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: (row["how"], row["path"] or "", row["step"] or 0))


def _results(read: Reader) -> list[Row]:
    """Return generated plain values by plan and name: how many, the first and the last."""
    rows: dict[tuple[str, str], Row] = {}
    for plan in read.plans:
        names = {each: name for each, (_, name) in plan.attributes.items()}
        order = {e.id: (e.started or "", e.id) for e in plan.executions}
        made = [
            pair for pair in read.pairs(order, "^prov:wasGeneratedBy") if pair[1].startswith(_PLAIN)
        ]
        value = read.known({each for _, each in made}, "prov:value")
        attribute = read.known(value, "provml:ofAttribute")
        for _, each in sorted(made, key=lambda pair: order[pair[0]]):
            name = names.get(attribute.get(each, ""))
            if name is None or each not in value:
                continue
            row = rows.setdefault(
                (plan.id, name),
                {
                    "kind": plan.kind,
                    "plan": plan.name,
                    "name": name,
                    "values": 0,
                    "first": value[each],
                },
            )
            row["values"] += 1
            row["last"] = value[each]
    return sorted(rows.values(), key=lambda row: (row["plan"], row["name"]))


def _series(read: Reader) -> list[Row]:
    """Return series by name, those of all ranks together; `last` is of the latest attempt."""
    ids = read.back("sprov:run", [read.run], "series")
    name, unit = read.known(ids, "rdfs:label"), read.known(ids, "sprov:unit")
    numbers = {
        term_: {each: float(n) for each, n in read.known(ids, f"sprov:{term_}").items()}
        for term_ in ("points", "notFinite", "last", "least", "most", "rank")
    }
    places = _places(read, numbers["rank"], ids)
    groups: dict[str, list[str]] = defaultdict(list)
    for each in sorted(ids, key=lambda each: places[each]):
        groups[name.get(each, "")].append(each)

    def of(term_: str, found: list[str]) -> list[float]:
        return [numbers[term_][each] for each in found if each in numbers[term_]]

    def last(found: list[str]) -> float | None:
        latest = [each for each in found if places[each][0] == places[found[-1]][0]]
        return next(iter(of("last", latest[::-1])), None)

    return [
        {
            "name": each,
            "unit": next((unit[one] for one in found if one in unit), None),
            "ranks": len({numbers["rank"].get(one) for one in found}),
            "points": int(sum(of("points", found))) if of("points", found) else None,
            "not_finite": int(sum(of("notFinite", found))),
            "last": last(found),
            "min": min(of("least", found), default=None),
            "max": max(of("most", found), default=None),
        }
        for each, found in sorted(groups.items())
    ]


def _places(
    read: Reader, rank: dict[str, float], series: list[str]
) -> dict[str, tuple[int, float, str]]:
    """Return an order of series: by attempt, then the lowest rank last, then by its sessions."""
    agent = read.known(series, "prov:wasAttributedTo")
    found = {}
    for each in series:
        session = read.sessions.get(agent.get(each, ""))
        restart, started = (session.restart, sortable(session.started)) if session else (-1, "")
        found[each] = restart, -rank.get(each, 0.0), started
    return found


def _failures(read: Reader) -> list[Row]:
    """Return what failed, or was open in a rank that somebody else says ended."""
    found = [(plan, each) for plan in read.plans for each in plan.executions if is_bad(each.state)]
    found += read.failed()
    rows = [
        {
            "rank": each.rank,
            "kind": plan.kind,
            "plan": plan.name,
            "started": each.started,
            "state": each.state,
            "error": each.error or in_words(read.sessions[each.agent]),
        }
        for plan, each in found
    ]
    return sorted(rows, key=lambda row: (row["started"] or "", row["rank"]))
