"""Programs made at random, as the records that their ranks would write, and stores in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyoxigraph as ox
from hypothesis import strategies as st

from manager.mapping import map_batch
from manager.store.answer import answer
from manager.store.replying import Reply
from pllib import identity, linked
from pllib.log import Frame, frame_of
from pllib.objects import extend
from pllib.project import Project
from pllib.records import (
    EXT_DATASET,
    EXT_FILE,
    EXT_HANDLE,
    EXT_REFERENCE,
    Closed,
    Context,
    DatasetReference,
    Ended,
    FileVersion,
    Generated,
    Handle,
    Metric,
    Reference,
    Signature,
    Started,
    Summary,
    Transformation,
    Used,
    encode,
)
from pllib.values import encode as encode_values
from query.engine import Engine
from tracker.linker import context_of, link

RUN = identity.digest("made")
BEGAN_NS = 1_700_000_000 * 10**9
STEP_NS = 10**10
PATHS = ("/data/a", "/data/b", "/data/c d")
AGAIN = (DatasetReference("made", None, "f"), Reference("db", "table/2"))
"""What is known by a name alone, so that it can be made again."""
KINDS = ("transformation", "training", "validation", "feature_extraction", "trial")

plain = st.one_of(
    st.integers(-(2**63), 2**63), st.floats(), st.booleans(), st.none(), st.text(max_size=6),
    st.lists(st.integers(0, 3), max_size=2), st.sampled_from(["\0", '"\\\n\r\t', "é\u2028", ""]),
)  # fmt: skip
names = st.sampled_from(["x", "y", "hyperparameter:lr", "a b", "é", "resumed_from"])


class InMemory(Engine):
    """Answers as an engine does, on a store in memory and in this process."""

    def __init__(self, store: ox.Store, project: Project) -> None:
        super().__init__(project, None)
        object.__setattr__(self, "store", store)

    def answer(self, query: str, formats: list[str]) -> tuple[str, bytes]:
        collected = Collected()
        answer(self.store, query, formats, collected)  # type: ignore[attr-defined]
        return collected.media, collected.data.getvalue()


class Collected(Reply):
    """An answer that is kept, as far as a test needs one."""

    def __init__(self) -> None:
        io.RawIOBase.__init__(self)
        self.media = ""
        self.data = io.BytesIO()

    def begin(self, media: str) -> None:
        self.media = media

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self.data.write(data)


def stored(frames: Iterable[Frame]) -> ox.Store:
    """Return a store that has frames of a run as tracker and manager take them in."""
    numbered = list(enumerate(frames))
    context = context_of(numbered[0][1])
    assert context is not None
    batch = link(numbered, "1" * 32, context.run)
    assert batch.skipped == {}
    store = ox.Store()
    lines = map_batch(linked.decode_batch(linked.encode_batch(batch)))
    store.load(input="".join(lines).encode(), format=ox.RdfFormat.N_TRIPLES)
    return store


@dataclass
class Rank:
    """One rank's log as it grows; times go on by a step with each execution."""

    number: int
    versions: list[FileVersion]
    """Of files that are there, whoever made them."""
    records: list[bytes] = field(default_factory=list)
    handles: list[Handle] = field(default_factory=list)
    n_seq: int = 1
    n_signatures: int = 0
    now_ns: int = BEGAN_NS

    @property
    def log_id(self) -> bytes:
        return bytes([self.number]) * 16

    @property
    def context(self) -> Context:
        return Context(
            run=RUN, restart=0, rank=self.number, size=2, host=f"node{self.number}", pid=7,
            user="ada", program="t.py", project="p", workflow="w", opened_ns=BEGAN_NS,
            study="s", experiment="e", tags=("t",), facts={"job_id": "42", "cluster": "c"},
        )  # fmt: skip

    def seq(self) -> int:
        self.n_seq += 1
        return self.n_seq

    def signature(self, kind: str, name: str, used: Any = (), generated: Any = ()) -> int:
        self.n_signatures += 1
        self.records.append(
            encode(Signature(self.n_signatures, kind, name, tuple(used), tuple(generated)))
        )
        return self.n_signatures

    def frame(self) -> Frame:
        run = Signature(0, "run", "")
        began = Started(0, 0, -1, 0, BEGAN_NS)
        ended = Ended(self.seq(), 0, self.now_ns + STEP_NS)
        closed = Closed(self.seq(), self.n_seq, {}, self.now_ns + STEP_NS)
        parts = [encode(self.context), encode(run), encode(began), *self.records]
        return frame_of(self.log_id, 0, [*parts, encode(ended), encode(closed)])


@st.composite
def programs(draw: st.DrawFn) -> list[Frame]:
    """Draw the frames of a run of one or two ranks, of up to four executions each."""
    versions = [FileVersion(path, "disk", 9, nth, "file") for nth, path in enumerate(PATHS)]
    ranks = []
    for number in range(draw(st.integers(1, 2))):
        rank = Rank(number, versions, now_ns=ranks[-1].now_ns if ranks else BEGAN_NS)
        for nth in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(KINDS))
            _execute(draw, rank, kind, nth)
        ranks.append(rank)
    return [rank.frame() for rank in ranks]


def _execute(draw: st.DrawFn, rank: Rank, kind: str, nth: int) -> None:
    rank.now_ns += STEP_NS
    used = draw(st.dictionaries(names, _found(rank), max_size=3))
    kept = [v for value in used.values() for v in _files(value)]
    name = "trial" if kind == "trial" else draw(st.sampled_from(["fit", "clean data"]))
    if kind == "transformation":
        made = _made(draw, rank, kept)
        signature = rank.signature(kind, name, used, made)
        error = draw(st.sampled_from([None, "ValueError: no"]))
        rank.records.append(
            encode(
                Transformation(
                    rank.seq(), 0, signature, rank.now_ns, STEP_NS // 2, _packed(used),
                    _packed(made), error,
                )
            )
        )  # fmt: skip
        activity = ordinal = rank.n_seq
    else:
        activity, ordinal, made = _stage(draw, rank, kind, name, used, nth)
    for attribute, value in made.items():
        if not isinstance(value, tuple(EXTENSIONS)):
            log_id = rank.log_id.hex()
            rank.handles.append(Handle(log_id, activity, name, attribute, ordinal, kind))


def _stage(
    draw: st.DrawFn, rank: Rank, kind: str, name: str, used: dict[str, Any], nth: int
) -> tuple[int, int, dict[str, Any]]:
    signature = rank.signature(kind, name)
    activity = rank.seq()
    path, label = f"{kind}:{name}::{nth}", f"trial {nth}" if kind == "trial" else ""
    rank.records.append(
        encode(Started(activity, activity, 0, signature, rank.now_ns, path, None, None, label))
    )
    rank.records.append(
        encode(Used(rank.seq(), activity, rank.signature(kind, name, used), _packed(used)))
    )
    for index in range(draw(st.integers(0, 2))):
        _section(rank, activity, f"{path}/epoch::{index}:0", index)
    made = _made(draw, rank, [])
    signature = rank.signature(kind, name, (), made)
    ordinal = rank.seq()
    rank.records.append(encode(Generated(ordinal, activity, signature, _packed(made))))
    rank.records.append(encode(Ended(rank.seq(), activity, rank.now_ns + STEP_NS // 2)))
    return activity, ordinal, made


def _section(rank: Rank, stage: int, path: str, index: int) -> None:
    epoch, at_ns = rank.seq(), rank.now_ns + index
    signature = rank.signature("epoch", "epoch")
    rank.records.append(encode(Started(epoch, epoch, stage, signature, at_ns, path, index)))
    measure = rank.signature("epoch", "epoch", (), ("loss",))
    rank.records.append(encode(Metric(rank.seq(), epoch, measure, index, at_ns, 0.5)))
    rank.records.append(encode(Summary(rank.seq(), measure, 1, 0, 0.5, 0.5, 0.5, 0.5, 0.5)))
    rank.records.append(encode(Ended(rank.seq(), epoch, at_ns + 1)))


def _found(rank: Rank) -> st.SearchStrategy[Any]:
    """Return values that an execution may use: plain ones, and things that are there."""
    there = [plain, st.sampled_from(rank.versions), st.just(Reference("db", "table/1", "2"))]
    there.append(st.just(DatasetReference("digits", "1", files=tuple(rank.versions[:2]))))
    there.append(st.sampled_from(AGAIN))
    there.append(st.lists(st.sampled_from(rank.versions), min_size=1, max_size=2))
    if rank.handles:
        there.append(st.sampled_from(rank.handles))
    return st.one_of(there)


def _made(draw: st.DrawFn, rank: Rank, kept: list[FileVersion]) -> dict[str, Any]:
    """Draw what an execution generates: values, new versions, and what it left as it was."""
    made: dict[str, Any] = draw(st.dictionaries(names, plain, max_size=2))
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["file", "model", "checkpoint", "directory"]))
        path, size = draw(st.sampled_from(PATHS)), draw(st.integers(0, 2**40))
        version = "v1" if kind == "directory" else ""
        new = FileVersion(path, "disk", size, rank.now_ns + 1, kind, version=version)
        for attribute in draw(st.sampled_from([("out",), ("out", "again")])):
            made[attribute] = new
        rank.versions.append(new)
        if draw(st.booleans()):
            made["set"] = DatasetReference("digits", "2", files=(new,))
    if kept and draw(st.booleans()):
        made["kept"] = draw(st.sampled_from(kept))
    if draw(st.booleans()):
        made["named"] = draw(st.sampled_from(AGAIN))
    if rank.handles and draw(st.booleans()):
        made["passed on"] = draw(st.sampled_from(rank.handles))
    return made


def _files(value: Any) -> list[FileVersion]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, FileVersion)]
    if isinstance(value, DatasetReference):
        return list(value.files)
    return [value] if isinstance(value, FileVersion) else []


EXTENSIONS = {
    FileVersion: EXT_FILE,
    DatasetReference: EXT_DATASET,
    Reference: EXT_REFERENCE,
    Handle: EXT_HANDLE,
}


def _packed(values: dict[str, Any]) -> bytes:
    return encode_values([_extended(value) for value in values.values()])


def _extended(value: Any) -> Any:
    if isinstance(value, list):
        return [_extended(item) for item in value]
    code = EXTENSIONS.get(type(value))
    return value if code is None else extend(code, value)


def lines(store: ox.Store) -> Iterator[str]:
    """Yield what a store has, but how it keeps it."""
    for quad in store:
        yield f"{quad} ."
