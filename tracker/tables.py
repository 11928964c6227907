"""The tables of one batch while it is made: everything once, by identity."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pllib import linked

from .points import Columns

Derivation = tuple[linked.EntityKind, str, linked.EntityKind, str]


class Tables:
    """What frames of one run told so far, as rows of a `pllib.linked.Batch`."""

    def __init__(self) -> None:
        self.n_records = 0
        self.skipped: Counter[str] = Counter()
        """Records that were not linked, by reason."""
        self.has_redacted = False
        """Some frame has a redactor's mark."""
        self.runs: dict[tuple[Any, ...], linked.Run] = {}
        """By attempt, and all that a context says of it but facts."""
        self.agents: dict[tuple[str, str, str], linked.Agent] = {}
        """By identity, and what else contexts say of it."""
        self.plans: dict[str, linked.Plan] = {}
        self.attributes: dict[str, linked.Attribute] = {}
        self.associations: dict[str, linked.Association] = {}
        self.collectives: dict[str, linked.Collective] = {}
        self.activities: list[linked.Activity] = []
        self.values: dict[str, linked.Value] = {}
        self.files: dict[tuple[str, str], linked.File] = {}
        self.roles: dict[tuple[str, str, str, int | None], linked.Role] = {}
        self.derivations: dict[Derivation, None] = {}
        self.series: dict[tuple[Any, ...], linked.Series] = {}
        """By all that is said of one: a name may be measured in several stages, and a batch must
        say of two records what two batches would."""
        self.points = Columns()
        self.sessions: list[linked.Session] = []
        self.nodes: dict[linked.Node, None] = {}
        self.types: dict[str, linked.ValueType] = {}
        self.imported: list[bytes] = []
        self.hyperparameters: dict[str, linked.ValueType] = {}
        """Attribute to the type of its values."""
        self.used_ids: dict[tuple[str, str, str], str] = {}
        """Attribute, datatype and lexical form of a used value to its identity."""

    def node(
        self,
        kind: linked.NodeKind,
        identity: str,
        label: str | None = None,
        literals: tuple[tuple[str, linked.Datatype, str], ...] = (),
        links: tuple[tuple[str, linked.NodeKind, str], ...] = (),
    ) -> str:
        """Add a row, unless the very same is there; return the identity."""
        self.nodes[linked.Node(kind, identity, label, literals, links)] = None
        return identity

    def batch(self, journal: str, queue: str, ordinals: list[int]) -> linked.Batch:
        return linked.Batch(
            version=linked.WIRE_VERSION,
            journal=journal,
            queue=queue,
            first=ordinals[0] if ordinals else 0,
            last=ordinals[-1] if ordinals else 0,
            n_frames=len(ordinals),
            n_records=self.n_records,
            runs=list(self.runs.values()),
            agents=list(self.agents.values()),
            plans=list(self.plans.values()),
            attributes=list(self.attributes.values()),
            associations=list(self.associations.values()),
            collectives=list(self.collectives.values()),
            activities=self.activities,
            values=list(self.values.values()),
            files=list(self.files.values()),
            roles=list(self.roles.values()),
            derivations=list(self.derivations),
            series=list(self.series.values()),
            points=self.points.finish(),
            sessions=self.sessions,
            nodes=list(self.nodes),
            types=list(self.types.items()),
            imported=self.imported,
            skipped=dict(self.skipped),
        )
