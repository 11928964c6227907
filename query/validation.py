"""Is a run's graph valid: by the shapes of ``shapes.ttl``, and by the constraints of PROV."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from manager.ontology import turtle
from manager.vocabulary import PREFIXES

from .constraints import CONSTRAINTS, CYCLE, Broken, Constraint, broken, cycles
from .engine import Engine
from .forms import Forms, Statements
from .membership import stream_graph
from .rules import completed

if TYPE_CHECKING:
    from rdflib import Graph

N_STEPS = len(CONSTRAINTS) + 4
"""How often `validate` reports progress."""
SHAPES = "shape"


@dataclass(frozen=True)
class Problem:
    """One way in which nodes of a graph are not valid."""

    reason: str
    path: str
    """The property that it is about, prefixed; empty if it is about the node."""
    source: str
    """A shape, or the constraint of PROV."""
    nodes: list[str] = field(default_factory=list, compare=False)
    """IRIs."""
    others: list[str] = field(default_factory=list, compare=False)
    """For each node IRIs of what else has a part in it, separated by spaces, or an empty text."""

    def add(self, node: str, other: str = "") -> None:
        self.nodes.append(node)
        self.others.append(other)


@dataclass(frozen=True)
class Verdict:
    n_nodes: int
    n_forms: int
    problems: list[Problem]


def validate(
    engine: Engine, run: str, advance: Callable[[int], object] = lambda n_steps: None
) -> Verdict:
    """Check the graph of one run.

    Args:
        run: IRI.
        advance: Is told of each of `N_STEPS` steps.

    Raises:
        QueryError: A query took longer than the engine's limit.
    """
    said = Statements(stream_graph(engine, run))
    advance(1)
    groups = Forms(said).groups()
    advance(1)
    problems = check_shapes(said, groups)
    advance(1)
    for constraint in CONSTRAINTS:
        problems.extend(_as_problem(constraint, broken(engine, run, constraint)))
        advance(1)
    problems.extend(_as_problem(CYCLE, cycles(engine, run)))
    advance(1)
    return Verdict(len(said), len(groups), problems)


def _as_problem(constraint: Constraint, found: Iterable[Broken]) -> list[Problem]:
    problem = Problem(constraint.reason, constraint.path, constraint.source)
    for node, other in found:
        problem.add(node, other)
    return [problem] if problem.nodes else []


def check_shapes(said: Statements, groups: dict[int, list[bytes]]) -> list[Problem]:
    """Run SHACL over one node of each form; what is wrong of it is so of all that have its form."""
    alike = {nodes[0][1:-1].decode(): nodes for nodes in groups.values()}
    if not alike:
        return []
    problems: dict[Problem, Problem] = {}
    for example, reason, path, shape in sorted(_violations(_slice(said, groups), alike)):
        problem = Problem(reason, path, shape)
        problem = problems.setdefault(problem, problem)
        for node in alike[example]:
            problem.add(node[1:-1].decode())
    return list(problems)


def _slice(said: Statements, groups: dict[int, list[bytes]]) -> Graph:
    """Return the graph around one node of each form, with what follows from it."""
    from rdflib import Graph

    lines = {line for nodes in groups.values() for line in said.around(nodes[0])}
    return Graph().parse(data=completed(b"".join(sorted(lines))), format="nt")


def _violations(graph: Graph, nodes: Container[str]) -> set[tuple[str, str, str, str]]:
    """Return node, reason, path and shape of what pyshacl finds about these nodes.

    What it finds about nodes around them, of which the graph does not have all, is left out.  Its
    own `focus_nodes` does not do: pyshacl 0.40 passes over the other nodes inside ``sh:not`` and
    ``sh:or`` too, as if they were valid.
    """
    from pyshacl import validate as run_shacl
    from rdflib import RDF, SH, Graph, URIRef

    shapes = Graph().parse(data=turtle("shapes"), format="turtle")
    _, report, _ = run_shacl(graph, shacl_graph=shapes)
    assert isinstance(report, Graph)
    found = set()
    said: Any = report.value
    for result in report.subjects(RDF.type, SH.ValidationResult):
        if str(said(result, SH.focusNode)) not in nodes:
            continue
        path, shape = said(result, SH.resultPath), said(result, SH.sourceShape)
        shape = shapes.value(None, SH.property, shape) or shape
        found.add(
            (
                str(said(result, SH.focusNode)),
                str(said(result, SH.resultMessage)),
                prefixed(path) if isinstance(path, URIRef) else "",
                prefixed(shape) if isinstance(shape, URIRef) else SHAPES,
            )
        )
    return found


def prefixed(iri: str) -> str:
    """Return an IRI in its short form, if it has one of `PREFIXES`."""
    for prefix, base in {**PREFIXES, "shapes": "https://w3id.org/sprov/shapes#"}.items():
        if iri.startswith(base) and prefix != "id":
            return f"{prefix}:{iri.removeprefix(base)}"
    return iri
