"""Names for things: every IRI is derived, so the same records always make the same triples.

An identity is the BLAKE2b-128 digest of its kind and parts, hex, 32 characters.  Parts are
encoded as msgpack, so that ("ab", "c") and ("a", "bc") differ.
"""

from __future__ import annotations

from _blake2 import blake2b  # hashlib's own, without OpenSSL: that takes 2.2 ms to import

import msgspec

ID_BASE = "https://w3id.org/sprov/id/"

Part = str | int | bytes | float | bool | None
_encode = msgspec.msgpack.Encoder().encode


def digest(*parts: Part) -> str:
    """Return the identity of `parts`: 32 hex characters."""
    return blake2b(_encode(parts), digest_size=16).hexdigest()


def iri(kind: str, identity: str) -> str:
    """Return the IRI of the thing of this kind: ``https://w3id.org/sprov/id/<kind>/<digest>``."""
    return f"{ID_BASE}{kind}/{identity}"


def activity(log_id: bytes, seq: int) -> str:
    """An execution, by the log it was captured in and its sequence number there."""
    return blake2b(b"activity" + log_id + seq.to_bytes(8, "big"), digest_size=16).hexdigest()


def run(scope: str, launch: str, name: str | None) -> str:
    return digest("run", scope, launch, name)


def attempt(run_id: str, restart: int) -> str:
    return digest("attempt", run_id, restart)


def collective(attempt_id: str, path: str) -> str:
    """What the ranks of one attempt do together: `path` is kind, name, index and occurrence."""
    return digest("collective", attempt_id, path)


def plan(project: str, workflow: str, name: str) -> str:
    return digest("plan", project, workflow, name)


def attribute(project: str, workflow: str, transformation: str, direction: str, name: str) -> str:
    return digest("attribute", project, workflow, transformation, direction, name)


def used_value(run_id: str, attribute_id: str, datatype: str, lexical: str) -> str:
    """A plain value that is used: one entity however often a run uses it."""
    return digest("used", run_id, attribute_id, datatype, lexical)


def generated_value(activity_id: str, attribute_id: str, ordinal: int) -> str:
    """A plain value that is generated: PROV allows an entity one generation."""
    key = f"{activity_id}{attribute_id}{ordinal}"
    return blake2b(key.encode(), digest_size=16).hexdigest()


def file_version(store: str, path: str, size: int, mtime_ns: int) -> str:
    return digest("file", store, path, size, mtime_ns)


def reference(store: str, key: str) -> str:
    return digest("reference", store, key)


def series(run_id: str, rank: int, name: str) -> str:
    return digest("series", run_id, rank, name)
