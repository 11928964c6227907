"""A lineage as a picture: DOT, SVG, or one HTML file; causes at the left, effects at the right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape as _escape

from manager.store.described import Entity, Link

from .layout import Layout, layered
from .lineage import Step, View
from .tree import one_line

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 184, 42, 64, 16, 24
CHARACTERS = 26
"""Characters of a label that fit a box."""

_ENTITY, _ACTIVITY, _FAILED = "#fff3bf", "#d0d9ff", "#ffc9c9"
_HOW = {
    "hadMember": "member",
    "wasDerivedFrom": "derived",
    "sameContent": "same content",
    "isPartOf": "part of",
}
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Return text for XML and HTML, as content and in quotes; what XML can't hold is replaced."""
    return _escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


@dataclass
class Box:
    """What is written on a node."""

    title: str
    detail: str
    full: str
    """All that is known, one fact a line."""
    is_entity: bool
    colour: str
    is_target: bool


def boxes(view: View) -> dict[str, Box]:
    found = {}
    for each, entity in view.entities.items():
        found[each] = _entity(entity, each in view.targets)
    for each, step in view.steps.items():
        colour = _FAILED if step.error else _ACTIVITY
        found[each] = Box(step.name, step.where, _told(step), False, colour, False)
    return found


def _entity(entity: Entity, is_target: bool) -> Box:
    value = None if entity.value is None else f"{entity.label} = {entity.value}"
    detail = entity.kind if value is None else "value"
    if entity.modified:
        detail += f", {entity.modified[:16].replace('T', ' ')}"
    elif entity.version:
        detail += f", {entity.version}"
    facts = {
        "": value or entity.path or entity.label,
        "kind": entity.kind,
        "size": None if entity.size is None else f"{entity.size:,} bytes",
        "modified": entity.modified,
        "version": entity.version,
        "content": entity.digest,
    }
    return Box(value or entity.label, detail, _facts(facts), True, _ENTITY, is_target)


def _told(step: Step) -> str:
    hosts = ", ".join(sorted({part.host for part in step.parts if part.host}))
    ends = [part.ended for part in step.parts if part.ended]
    facts = {
        "": step.name,
        "where": step.where,
        "hosts": hosts or None,
        "ended": max(ends, default=None),
        "failed": step.error,
        **step.settings,
    }
    return _facts(facts)


def _facts(facts: dict[str, str | None]) -> str:
    lines = [f"{name}: {one_line(v)}" if name else one_line(v) for name, v in facts.items() if v]
    return "\n".join(lines)


def arrows(view: View) -> list[tuple[str, str, Link]]:
    """Return (cause, effect, edge) for each edge whose ends are shown.

    A part is drawn after the whole whose data it had, or before the whole that it produced for.
    """
    shown = view.entities.keys() | view.steps.keys()
    return [
        (edge.object, edge.subject, edge)
        for edge in view.edges
        if edge.object in shown and edge.subject in shown
    ]


def dot(view: View) -> str:
    """Return the picture in Graphviz' language."""
    lines = [
        "digraph lineage {",
        "  rankdir=LR;",
        '  node [fontname="sans-serif", fontsize=10, style=filled];',
    ]
    for each, box in boxes(view).items():
        shape = 'shape=box, style="filled,rounded"' if box.is_entity else "shape=box"
        label, tip = _dot(f"{box.title}\n{box.detail}"), _dot(box.full)
        bold = ", penwidth=2" if box.is_target else ""
        told = f'fillcolor="{box.colour}", label={label}, tooltip={tip}{bold}'
        lines.append(f"  {_dot(each)} [{shape}, {told}];")
    for cause, effect, edge in arrows(view):
        style = ", style=dashed" if edge.how == "content" else ""
        label = _HOW.get(edge.relation) or edge.role or ""
        lines.append(f"  {_dot(cause)} -> {_dot(effect)} [label={_dot(label)}, fontsize=8{style}];")
    if view.n_more:
        lines.append(f"  label={_dot(_more(view))};")
    return "\n".join([*lines, "}", ""])


def _dot(text: str) -> str:
    """Return a quoted string: in DOT only a quote ends it, and backslashes begin escapes."""
    lines = [one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n")]
    return '"' + "\\n".join(lines) + '"'


def _more(view: View) -> str:
    return f"and {view.n_more:,} more (raise --limit)"


def svg(view: View) -> str:
    """Return the picture as SVG."""
    drawn, written = (
        layered([*view.entities, *view.steps], [a[:2] for a in arrows(view)]),
        boxes(view),
    )
    width = 2 * MARGIN + drawn.n_layers * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + drawn.n_rows * (HEIGHT + GAP_Y) - GAP_Y + (20 if view.n_more else 0)
    middle = MARGIN + (drawn.n_rows * (HEIGHT + GAP_Y) - GAP_Y) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" font-family="sans-serif" font-size="11">',
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{width}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [_arrow(drawn, middle, *arrow) for arrow in arrows(view)]
    for each, (layer, row) in drawn.place.items():
        parts.append(_box(written[each], *_corner(layer, row, middle)))
    if view.n_more:
        parts.append(f'<text x="{MARGIN}" y="{height - 12:.0f}" fill="#667">{_more(view)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _corner(layer: int, row: float, middle: float) -> tuple[float, float]:
    """Return the upper left corner of a box."""
    x = MARGIN + layer * (WIDTH + GAP_X)
    return x, middle + row * (HEIGHT + GAP_Y) - HEIGHT / 2


def _box(box: Box, x: float, y: float) -> str:
    radius = 12 if box.is_entity else 2
    stroke = 'stroke="#224" stroke-width="2.5"' if box.is_target else 'stroke="#889"'
    centre = x + WIDTH / 2
    title, detail = escaped(_cut(box.title)), escaped(_cut(box.detail, CHARACTERS + 12))
    return (
        f"<g><title>{escaped(box.full)}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="{radius}" '
        f'fill="{box.colour}" {stroke}/>'
        f'<text x="{centre:.1f}" y="{y + 18:.1f}" text-anchor="middle">{title}</text>'
        f'<text x="{centre:.1f}" y="{y + 32:.1f}" text-anchor="middle" font-size="9" fill="#556">'
        f"{detail}</text></g>"
    )


def _cut(text: str, longest: int = CHARACTERS) -> str:
    """Shorten a label in its middle: file names differ at their ends."""
    line = one_line(text)
    if len(line) <= longest:
        return line
    half = (longest - 1) // 2
    return f"{line[: longest - 1 - half]}…{line[-half:]}"


def _arrow(drawn: Layout, middle: float, cause: str, effect: str, edge: Link) -> str:
    route = drawn.routes.get((cause, effect))
    if not route:
        return ""
    points = [_corner(layer, row, middle) for layer, row in route]
    x, y = points[0][0] + WIDTH, points[0][1] + HEIGHT / 2
    path = f"M{x:.1f} {y:.1f}"
    for nth, (left, top) in enumerate(points[1:], 1):
        to_x, to_y = left, top + HEIGHT / 2
        bend = max(abs(to_x - x) / 2, 20)
        path += f"C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
        if nth < len(points) - 1:  # straight through where the layer between has its boxes
            x += WIDTH
            path += f"L{x:.1f} {y:.1f}"
    dashed = ' stroke-dasharray="5 4"' if edge.how == "content" else ""
    faint = "#aab" if edge.relation in ("isPartOf", "hadMember") else "#667"
    words = " ".join(word for word in (_HOW.get(edge.relation, edge.relation), edge.role) if word)
    return (
        f'<path d="{path}" fill="none" stroke="{faint}" marker-end="url(#end)"{dashed}>'
        f"<title>{escaped(one_line(words))}</title></path>"
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 sans-serif; margin: 1.5rem; color: #222; }}
.picture {{ overflow: auto; border: 1px solid #ccd; }}
table {{ border-collapse: collapse; margin-top: 1.5rem; }}
th, td {{ text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #dde;
  vertical-align: top; overflow-wrap: anywhere; }}
pre {{ margin: 0; white-space: pre-wrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Files, values and data sets are yellow, activities blue and red if they failed. Dashed arrows are
concluded from equal contents; all others are recorded. {more}</p>
<div class="picture">
{picture}</div>
<table>
<tr><th>what</th><th>known of it</th></tr>
{rows}
</table>
</body>
</html>
"""


def html(view: View) -> str:
    """Return a page with the picture and all that is known of its nodes; it has no scripts."""
    written = boxes(view)
    names = [one_line(written[each].title) for each in view.targets if each in written]
    rows = "\n".join(
        f"<tr><td>{escaped(one_line(box.title))}</td><td><pre>{escaped(box.full)}</pre></td></tr>"
        for box in written.values()
    )
    return _PAGE.format(
        title=escaped(f"Lineage of {', '.join(names) or 'a run'}"),
        more=f"{_more(view)}." if view.n_more else "",
        picture=svg(view),
        rows=rows,
    )
