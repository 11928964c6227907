"""What an import says, and what of it was refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import pyoxigraph as ox

from pllib import identity
from pllib.errors import Error

MAX_FILE_BYTES = 256 << 20
MAX_STATEMENT_BYTES = 100_000
"""A triple must fit into a record of a log."""


class ImportRefusedError(Error):
    """A file is not what it claims to be, or can't be read at all."""

    exit_code = 2


class Refusal(NamedTuple):
    """One thing that was left out, and why."""

    where: str
    """A file, with a line, a record or a node where there is one."""
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class Statement(NamedTuple):
    """A triple without blank nodes."""

    subject: str
    predicate: str
    object: ox.NamedNode | ox.Literal

    @property
    def target(self) -> str | None:
        """IRI of the object, None for a literal."""
        return self.object.value if isinstance(self.object, ox.NamedNode) else None

    @property
    def quad(self) -> ox.Quad:
        return ox.Quad(ox.NamedNode(self.subject), ox.NamedNode(self.predicate), self.object)

    def __str__(self) -> str:
        return f"<{self.subject}> <{self.predicate}> {self.object} ."


@dataclass
class Statements:
    """What one file says."""

    source: str
    said: list[Statement] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, node: str, reason: str) -> None:
        self.refused.append(Refusal(f"{self.source}: {node}", reason))


class Skolemiser:
    """IRIs for the blank nodes of one file: the same file always gets the same ones."""

    def __init__(self, content: bytes) -> None:
        self._digest = identity.digest("import", content)
        self._known: dict[str, ox.NamedNode] = {}

    @property
    def base(self) -> str:
        """Base of relative IRIs, which name nothing outside of the file."""
        return f"{identity.iri('import', self._digest)}/"

    def node(self, term: ox.BlankNode) -> ox.NamedNode:
        """Return the IRI of a blank node: by the order in which they come in the file."""
        found = self._known.get(term.value)
        if found is None:
            name = identity.digest("blank", self._digest, len(self._known))
            found = self._known[term.value] = ox.NamedNode(identity.iri("blank", name))
        return found

    def read(self, quads: Iterable[ox.Quad], into: Statements) -> None:
        """Add statements; triple terms (RDF 1.2) are refused."""
        for quad in quads:
            subject, obj = quad.subject, quad.object
            if isinstance(subject, ox.BlankNode):
                subject = self.node(subject)
            if isinstance(obj, ox.BlankNode):
                obj = self.node(obj)
            if isinstance(subject, ox.NamedNode) and not isinstance(obj, ox.Triple):
                into.said.append(Statement(subject.value, quad.predicate.value, obj))
            else:
                into.refuse(str(quad.predicate), "triple terms are not taken in")
