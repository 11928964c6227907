"""Map linked provenance (`pllib.linked`) to N-Triples: PROV-ML in PROV-O's terms.

A pure function of the batch: the same records make the same triples however they are cut into
batches.  A transformation costs seven triples, one for each value used and three for each
generated; a value that is used for the first time costs two more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from pllib import identity, linked
from pllib.identity import ID_BASE, digest
from pllib.launch import step_name

from . import vocabulary as v
from .imported import accept
from .ntriples import double, integer, literal, node, string, timestamp
from .vocabulary import term

Lines = list[str]

_ENTITY = f"<{ID_BASE}entity/"
_ACTIVITY = f"<{ID_BASE}activity/"
_ATTRIBUTE = f"<{ID_BASE}attribute/"


def map_batch(batch: linked.Batch) -> Lines:
    """Return the lines of a batch, without its watermark."""
    lines: Lines = []
    agents = {row.id: row.agent for row in batch.associations}
    tables: tuple[tuple[Iterable[object], Callable[..., None]], ...] = (
        (batch.runs, _run),
        (batch.agents, _agent),
        (batch.plans, _plan),
        (batch.attributes, _attribute),
        (batch.associations, _association),
        (batch.collectives, _collective),
        (batch.activities, partial(_activity, agents=agents)),
        (batch.values, _value),
        (batch.files, _file),
        (batch.roles, _role),
        (batch.nodes, _node),
        (batch.series, _series),
        (batch.sessions, _session),
    )
    for rows, mapper in tables:
        for row in rows:
            mapper(lines, row)
    for entity, kind in batch.types:
        lines.append(f"{_ENTITY}{entity}> {v.TYPE} {v.VALUE_TYPES[kind]} .\n")
    for derived_kind, derived, source_kind, source in batch.derivations:
        ends = thing(derived_kind, derived), thing(source_kind, source)
        lines.append(f"{ends[0]} {v.DERIVED_FROM} {ends[1]} .\n")
    for triples in batch.imported:
        lines.extend(accept(triples)[0])
    return lines


def thing(kind: str, identity: str) -> str:
    """Return the IRI of a `pllib.linked` row of this kind, in angle brackets."""
    return node(v.PATHS.get(kind, kind), identity)


def map_watermark(batch: linked.Batch) -> Lines:
    """Return the lines that say how far the store has this journal's queue."""
    queue = node("queue", digest("queue", batch.journal, batch.queue))
    return [
        f"{queue} {term('sprov:journal')} {string(batch.journal)} .\n",
        f"{queue} {term('sprov:run')} {node('run', batch.queue)} .\n",
        f"{queue} {v.WATERMARK} {integer(batch.last)} .\n",
    ]


def map_series_file(run: str, name: str) -> str:
    """Return the line that names a Parquet file of a run's points."""
    return f"{node('run', run)} {term('sprov:seriesFile')} {string(name)} .\n"


def _say(lines: Lines, subject: str, **objects: str | None) -> None:
    """Add a line for each object that is not None; ``prov_used`` stands for ``prov:used``."""
    for name, obj in objects.items():
        if obj is not None:
            lines.append(f"{subject} {_TERMS(name)} {obj} .\n")


class _Terms(dict[str, str]):
    def __missing__(self, name: str) -> str:
        found = self[name] = term(name.replace("_", ":", 1))
        return found


_TERMS = _Terms().__getitem__


def _optional(text: str | None) -> str | None:
    return string(text) if text else None


def _run(lines: Lines, run: linked.Run) -> None:
    subject, attempt = node("run", run.id), node("attempt", run.attempt)
    user = node("user", identity.user(run.user))
    _say(
        lines,
        subject,
        rdf_type=term("provml:LearningExperimentExecution"),
        rdfs_label=_optional(run.name),
        sprov_workflow=node("plan", run.workflow),
        sprov_study=_optional(run.study),
        sprov_experiment=_optional(run.experiment),
        sprov_project=string(run.project),
        sprov_program=string(run.program),
        sprov_user=string(run.user),
        sprov_ranks=integer(run.size),
        prov_wasAssociatedWith=user,
    )
    lines.append(f"{subject} {v.TYPE} {v.ACTIVITY} .\n")
    for tag in run.tags:
        _say(lines, subject, sprov_tag=string(tag))
    for name, fact in run.facts.items():
        _say(lines, subject, sprov_fact=string(f"{name}={fact}"))
    if "job_id" in run.facts:
        _say(lines, subject, sprov_job=string(step_name(run.facts)))
    _say(
        lines,
        attempt,
        rdf_type=term("sprov:Attempt"),
        provml_isPartOf=subject,
        sprov_restart=integer(run.restart),
        prov_wasAssociatedWith=user,
    )
    lines.append(f"{attempt} {v.TYPE} {v.ACTIVITY} .\n")


def _agent(lines: Lines, agent: linked.Agent) -> None:
    subject, user = node("agent", agent.id), node("user", identity.user(agent.user))
    host = node("node", digest("node", agent.host))
    _say(
        lines,
        subject,
        rdf_type=term("prov:SoftwareAgent"),
        rdfs_label=string(f"rank {agent.rank} of {agent.program}"),
        sprov_rank=integer(agent.rank),
        sprov_pid=integer(agent.pid),
        sprov_run=node("run", agent.run),
        prov_actedOnBehalfOf=user,
        prov_atLocation=host,
    )
    _say(lines, user, rdf_type=term("provml:Persona"), rdfs_label=string(agent.user))
    lines.extend(f"{each} {v.TYPE} {v.AGENT} .\n" for each in (subject, user))
    _say(lines, host, rdf_type=term("prov:Location"), rdfs_label=string(agent.host))


def _plan(lines: Lines, plan: linked.Plan) -> None:
    subject = node("plan", plan.id)
    _say(
        lines,
        subject,
        rdf_type=v.PLANS.get(plan.kind, v.SECTION_PLAN),
        rdfs_label=string(plan.name),
        sprov_kind=string(plan.kind),
        provml_isPartOf=node("plan", plan.workflow) if plan.workflow else None,
    )
    lines.extend(f"{subject} {v.TYPE} {kind} .\n" for kind in (v.PLAN, v.ENTITY))


def _attribute(lines: Lines, attribute: linked.Attribute) -> None:
    subject = node("attribute", attribute.id)
    _say(
        lines,
        subject,
        rdf_type=v.ATTRIBUTES[attribute.direction],
        rdfs_label=string(attribute.name),
        sprov_direction=string(attribute.direction),
        provml_isPartOf=node("plan", attribute.plan),
    )
    lines.extend(f"{subject} {v.TYPE} {kind} .\n" for kind in (v.ROLE, v.ENTITY))


def _association(lines: Lines, association: linked.Association) -> None:
    _say(
        lines,
        node("association", association.id),
        rdf_type=term("prov:Association"),
        prov_agent=node("agent", association.agent),
        prov_hadPlan=node("plan", association.plan),
    )


def _collective(lines: Lines, collective: linked.Collective) -> None:
    subject = node("collective", collective.id)
    whole = node("attempt" if collective.top else "collective", collective.part_of)
    _say(
        lines,
        subject,
        rdf_type=v.EXECUTIONS.get(collective.kind, v.SECTION_EXECUTION),
        rdfs_label=string(collective.label),
        sprov_kind=string(collective.kind),
        sprov_index=None if collective.index is None else integer(collective.index),
        provml_executes=node("plan", collective.plan),
        provml_isPartOf=whole,
        prov_wasAssociatedWith=node("user", collective.user) if collective.user else None,
    )
    lines.append(f"{subject} {v.TYPE} {v.ACTIVITY} .\n")
    lines.append(f"{subject} {v.TYPE} {term('sprov:Collective')} .\n")
    if collective.kind in v.ML_RUNS:
        lines.append(f"{subject} {v.TYPE} {term('mls:Run')} .\n")


def _activity(lines: Lines, activity: linked.Activity, agents: Mapping[str, str]) -> None:
    """Add an execution; `agents` has the agent of each association."""
    subject = f"{_ACTIVITY}{activity.id}>"
    add = lines.append
    if activity.kind is not None:
        kind = v.EXECUTIONS.get(activity.kind, v.SECTION_EXECUTION)
        whole = node(activity.part_of_kind, activity.part_of or "")
        add(
            f"{subject} {v.TYPE} {kind} .\n{subject} {v.TYPE} {v.ACTIVITY} .\n"
            f"{subject} {v.PART_OF} {whole} .\n{subject} {v.QUALIFIED_ASSOCIATION} "
            f"{node('association', activity.association or '')} .\n"
        )
        if (agent := agents.get(activity.association or "")) is not None:
            add(f"{subject} {v.ASSOCIATED_WITH} {node('agent', agent)} .\n")
    if activity.started_ns is not None:
        add(f"{subject} {v.STARTED} {timestamp(activity.started_ns)} .\n")
    if activity.ended_ns is not None:
        add(f"{subject} {v.ENDED} {timestamp(activity.ended_ns)} .\n")
    if activity.error is not None:
        add(f"{subject} {term('sprov:error')} {string(activity.error)} .\n")
    if activity.index is not None:
        add(f"{subject} {term('sprov:index')} {integer(activity.index)} .\n")
    if activity.collective is not None:
        add(f"{subject} {v.PART_OF} {node('collective', activity.collective)} .\n")
    uses = f"{subject} {v.USED} {_ENTITY}"
    for used in activity.used:
        add(f"{uses}{used}> .\n")
    by = f"{v.GENERATED_BY} {subject}"
    for value in activity.generated:
        entity = f"{_ENTITY}{value.id}>"
        add(
            f"{entity} {by} .\n{entity} {v.VALUE} {literal(value.datatype, value.lexical)} .\n"
            f"{entity} {v.OF_ATTRIBUTE} {_ATTRIBUTE}{value.attribute}> .\n"
        )


def _value(lines: Lines, value: linked.Value) -> None:
    entity = f"{_ENTITY}{value.id}>"
    lines.append(
        f"{entity} {v.VALUE} {literal(value.datatype, value.lexical)} .\n"
        f"{entity} {v.OF_ATTRIBUTE} {_ATTRIBUTE}{value.attribute}> .\n"
    )


def _file(lines: Lines, file: linked.File) -> None:
    subject = node("file", file.id)
    for kind in (*v.FILES[file.kind], v.ENTITY):
        lines.append(f"{subject} {v.TYPE} {kind} .\n")
    _say(
        lines,
        subject,
        rdfs_label=string(file.path.rpartition("/")[2] or file.path),
        sprov_store=string(file.store),
        sprov_path=string(file.path),
        sprov_version=_optional(file.version),
    )
    if file.kind != "reference":
        _say(
            lines,
            subject,
            sprov_size=integer(file.size),
            sprov_modified=timestamp(file.mtime_ns, digits=9),
        )


def _node(lines: Lines, row: linked.Node) -> None:
    """A property that a newer tracker names is passed over."""
    subject = thing(row.kind, row.id)
    for kind in v.NODES.get(row.kind, ()):
        lines.append(f"{subject} {v.TYPE} {kind} .\n")
    _say(lines, subject, rdfs_label=None if row.label is None else string(row.label))
    for name, datatype, lexical in row.literals:
        if name in v.PROPERTIES:
            lines.append(f"{subject} {v.PROPERTIES[name]} {literal(datatype, lexical)} .\n")
    for name, kind, target in row.links:
        if name in v.PROPERTIES:
            lines.append(f"{subject} {v.PROPERTIES[name]} {thing(kind, target)} .\n")


def _role(lines: Lines, role: linked.Role) -> None:
    """A shared entity's part in an activity: plainly, and qualified with the attribute as role."""
    activity = node("activity", role.activity)
    entity = thing(role.entity_kind, role.entity)
    attribute = node("attribute", role.attribute)
    if role.direction == "used":
        since = [] if role.at_ns is None else [role.at_ns]
        usage = node("usage", digest("role", role.activity, role.entity, role.attribute, *since))
        _say(lines, activity, prov_used=entity, prov_qualifiedUsage=usage)
        _say(
            lines,
            usage,
            rdf_type=term("prov:Usage"),
            prov_entity=entity,
            prov_hadRole=attribute,
            prov_atTime=None if role.at_ns is None else timestamp(role.at_ns),
            sprov_step=None if role.step is None else integer(role.step),
        )
        return
    # One, whatever it was generated as: PROV-CONSTRAINTS 24.
    generation = node("generation", digest("generation", role.activity, role.entity))
    _say(lines, entity, prov_wasGeneratedBy=activity, prov_qualifiedGeneration=generation)
    _say(
        lines,
        generation,
        rdf_type=term("prov:Generation"),
        prov_activity=activity,
        prov_hadRole=attribute,
    )


def _series(lines: Lines, series: linked.Series) -> None:
    subject = node("series", series.id)
    _say(
        lines,
        subject,
        rdf_type=term("sprov:Series"),
        rdfs_label=string(series.name),
        sprov_run=node("run", series.run),
        sprov_rank=integer(series.rank),
        sprov_unit=_optional(series.unit),
        provml_ofAttribute=node("attribute", series.measure),
        prov_wasAttributedTo=node("agent", series.agent),
    )
    lines.append(f"{subject} {v.TYPE} {v.ENTITY} .\n")
    if series.summary is not None:
        _summary(lines, subject, series.summary)


def _summary(lines: Lines, subject: str, summary: linked.SeriesSummary) -> None:
    _say(
        lines,
        subject,
        sprov_points=integer(summary.n_points),
        sprov_notFinite=integer(summary.n_not_finite),
        sprov_first=double(summary.first),
        sprov_last=double(summary.last),
        sprov_least=_optional_double(summary.least),
        sprov_most=_optional_double(summary.most),
        sprov_mean=_optional_double(summary.mean),
    )


def _optional_double(number: float | None) -> str | None:
    return None if number is None else double(number)


def _session(lines: Lines, session: linked.Session) -> None:
    log = node("log", session.log_id)
    _say(
        lines,
        log,
        rdf_type=term("sprov:Log"),
        sprov_run=node("run", session.run),
        prov_wasAttributedTo=node("agent", session.agent),
        sprov_records=integer(session.n_records),
        sprov_lostRecords=integer(sum(session.lost.values())),
        sprov_closed=timestamp(session.closed_ns),
    )
    lines.append(f"{log} {v.TYPE} {v.ENTITY} .\n")
    for reason, count in session.lost.items():
        _say(lines, log, sprov_lost=string(f"{reason}: {count}"))
