"""Who speaks: the run, attempt, job, agent and user that a session's context tells of."""

from __future__ import annotations

from pllib import identity, linked
from pllib.launch import job_name
from pllib.records import Context

from .accounts import list_facts, place
from .prospective import Plans
from .tables import Tables

_JOB_FACTS = ("cluster", "partition", "account", "nodelist")


def introduce(tables: Tables, plans: Plans, context: Context) -> str:
    """Add what a rank's context says; return the identity of the rank as an agent."""
    attempt = identity.attempt(context.run, context.restart)
    said = (
        attempt, context.name, context.study, context.experiment, context.workflow,
        context.program, context.size, context.tags, context.project, context.user,
    )  # fmt: skip
    if said not in tables.runs:  # ranks say the same, but `sprov run` and its command need not
        tables.runs[said] = linked.Run(
            context.run, attempt, context.restart, context.name, context.study,
            context.experiment, plans.workflow(), context.project, context.program, context.user,
            context.size, context.facts, context.tags,
        )  # fmt: skip
        _follow(tables, plans, context)
        _place(tables, context, attempt)
    elif context.facts != tables.runs[said].facts:  # as of ranks on different nodes
        list_facts(tables, context.run, context.facts)
        _place(tables, context, attempt)
    agent = identity.digest("agent", attempt, context.rank, context.host, context.pid)
    spoken = agent, context.user, context.program
    if spoken not in tables.agents:
        tables.agents[spoken] = linked.Agent(
            agent, context.run, context.rank, context.host, context.pid, context.user,
            context.program,
        )  # fmt: skip
    return agent


def _follow(tables: Tables, plans: Plans, context: Context) -> None:
    """A run is associated with its user, who follows the experiment, else the study."""
    plan = plans.experiment(context.study, context.experiment)
    if plan is None:
        return
    user = identity.user(context.user)
    kind: linked.NodeKind = "study" if context.experiment is None else "experiment"
    association = identity.digest("association", context.run, user, plan)
    tables.node(
        "association", association, links=(("agent", "persona", user), ("plan", kind, plan))
    )
    tables.node("run", context.run, links=(("association", "association", association),))


def _place(tables: Tables, context: Context, attempt: str) -> None:
    """An attempt is part of the Slurm job, or of its step, that it ran in."""
    facts = context.facts
    if "job_id" not in facts:
        return
    cluster, label = facts.get("cluster", ""), job_name(facts)
    kind, whole = place(tables, cluster, label, facts.get("step_id", ""))
    literals = tuple((name, "string", facts[name]) for name in _JOB_FACTS if name in facts)
    by: tuple[tuple[str, linked.NodeKind, str], ...] = (
        ("associated_with", "persona", identity.user(context.user)),
    )
    tables.node("job", identity.job(cluster, label), label, literals, by)  # type: ignore[arg-type]
    if kind == "step":
        tables.node("step", whole, links=by)
    tables.node("attempt", attempt, links=(("part_of", kind, whole),))
