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


def is_one(text: str) -> bool:
    """Tell whether a text has the form of an identity."""
    return len(text) == 32 and not text.strip("0123456789abcdef")


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


def plan(project: str, workflow: str, kind: str, name: str) -> str:
    """What executions of one kind and name in a workflow follow; the workflow itself has no name.

    `kind` is a part of it: a stage and a transformation of one name are two plans.
    """
    return digest("plan", project, workflow, kind, name)


def attribute(plan_id: str, direction: str, name: str) -> str:
    return digest("attribute", plan_id, direction, name)


def named(kind: str, project: str, name: str) -> str:
    """What a project knows by name: a study, an algorithm, a measure (`pllib.plans.THINGS`)."""
    return digest(kind, project, name)


def experiment(project: str, study: str | None, name: str) -> str:
    """A learning experiment: studies may each have one of the same name."""
    return digest("experiment", project, study or "", name)


def user(name: str) -> str:
    return digest("user", name)


def job(cluster: str, job_id: str) -> str:
    return digest("job", cluster, job_id)


def accounting(
    cluster: str, job_id: str, step: str, restart: int, source: str, state: str, *when: int
) -> str:
    """What Slurm said of a job's attempt, or of a step in it; `when` it did if it was not over."""
    return digest("accounting", cluster, job_id, step, restart, source, state, *when)


def used_value(run_id: str, attribute_id: str, datatype: str, lexical: str) -> str:
    """A plain value that is used: one entity however often a run uses it."""
    return digest("used", run_id, attribute_id, datatype, lexical)


def generated_value(activity_id: str, attribute_id: str, ordinal: int) -> str:
    """A plain value that is generated: PROV allows an entity one generation."""
    key = f"{activity_id}{attribute_id}{ordinal}"
    return blake2b(key.encode(), digest_size=16).hexdigest()


def file_version(store: str, path: str, size: int, mtime_ns: int, version: str = "") -> str:
    """A file as it was; `version` is a directory's manifest, which tells what its times do not."""
    return digest("file", store, path, size, mtime_ns, *([version] if version else []))


def content(of_bytes: str) -> str:
    """What files hold: `of_bytes` is ``algorithm:hex``."""
    return digest("content", of_bytes)


def reference(store: str, key: str, version: str = "") -> str:
    return digest("reference", store, key, *([version] if version else []))


def dataset(
    name: str, version: str | None, fingerprint: str | None, split: str | None, files: list[str]
) -> str:
    """A data set by its names; files count where nobody gave it a version or fingerprint."""
    known = version is not None or fingerprint is not None
    return digest("dataset", name, version, fingerprint, split, *([] if known else sorted(files)))


def series(log_id: bytes, name: str) -> str:
    """The points of one name in one log: of a run, a rank, and one opening of it."""
    return digest("series", log_id, name)
