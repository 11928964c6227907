"""What was redacted: things whose texts have a redactor's marks say so, each by pattern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pllib import linked
from pllib.redaction import marks_in

from .tables import Tables

MARK = b"[redacted:"
"""In the payload of each frame of which there is anything to say."""
Marked = tuple[linked.NodeKind, str, str]
"""Kind and identity of a thing, and a text of it."""


def tell_redacted(tables: Tables) -> None:
    """Add which patterns each thing's texts have marks of."""
    for kind, identity, text in list(_texts(tables)):
        for pattern in marks_in(text):
            tables.node(kind, identity, literals=(("redacted", "string", pattern),))


def _texts(tables: Tables) -> Iterator[Marked]:
    for value in tables.values.values():
        yield "value", value.id, value.lexical
    for activity in tables.activities:
        for value in activity.generated:
            yield "value", value.id, value.lexical
        if activity.error:
            yield "activity", activity.id, activity.error
    for file in tables.files.values():
        yield "file", file.id, file.path
    for plan in tables.plans.values():
        yield "plan", plan.id, plan.name
    for attribute in tables.attributes.values():
        yield "attribute", attribute.id, attribute.name
    for run in tables.runs.values():
        for text in _of_run(run):
            yield "run", run.id, text
    for node in tables.nodes:
        for text in (node.label or "", *(lexical for _, _, lexical in node.literals)):
            yield node.kind, node.id, text


def _of_run(run: linked.Run) -> Iterable[str]:
    named = (run.name, run.study, run.experiment)
    return [*filter(None, named), *run.tags, *run.facts.values()]
