"""A store of runs as large as wanted, to ask questions of: linked and mapped as real runs are.

python -m benchmarks.graphs FOLDER --triples 10000000

Twenty jobs of two ranks each work on what the job before them left: layers of transformations that
read and write files, a training whose epochs keep checkpoints, an evaluation.  Every second job
reads copies, which only their content joins.  Transformations with 10 used and 10 generated values
fill each job up to its share of the triples; the last job has half of all.  The same arguments make
the same records.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from manager.mapping import map_batch, map_series_file, map_watermark
from manager.series import write_points
from manager.store.writable import Store
from manager.writer import COMMIT_TRIPLES
from pllib import identity
from pllib.linked import Batch
from pllib.log import Frame, frame_of
from pllib.project import Project
from pllib.records import (
    EXT_DATASET,
    EXT_FILE,
    ROOT,
    Closed,
    Context,
    DatasetReference,
    Digested,
    Ended,
    FileVersion,
    Generated,
    Metric,
    Record,
    Signature,
    Started,
    Summary,
    Transformation,
    Used,
    encode,
)
from tracker.linker import link

from . import table, workload

N_JOBS, N_RANKS, N_LAYERS, N_WIDTH, N_READ, N_EPOCHS = 20, 2, 5, 50, 3, 10
"""20 jobs of 5 layers of 50 files are 5,000 files that the last model comes from."""

MODEL = f"/data/job{N_JOBS - 1:02d}/model-{N_JOBS - 1:02d}.pt"
"""Path of the model of the last job, to which all files lead."""

RAW = "/data/raw/raw-000.csv"

BEGAN_NS = 1_700_000_000 * 10**9
SECOND_NS, HOUR_NS = 10**9, 3600 * 10**9
RECORDS_A_FRAME = 200
JOURNAL = "5" * 32


EXTENSIONS: dict[type, int] = {FileVersion: EXT_FILE, DatasetReference: EXT_DATASET}


def _packed(values: dict[str, Any]) -> bytes:
    """Return values as a rank writes them: files and data sets as extensions of msgpack."""
    return encode([_extended(value) for value in values.values()])


def _extended(value: Any) -> Any:
    if isinstance(value, list):
        return [_extended(item) for item in value]
    code = EXTENSIONS.get(type(value))
    return value if code is None else msgspec.msgpack.Ext(code, encode(value))


@dataclass
class Rank:
    """The log of one rank, as it would have written it."""

    context: Context
    log_id: bytes
    now_ns: int
    n_frames: int = 0
    n_records: int = 0
    seq: int = 0
    records: list[bytes] = field(default_factory=list)
    signatures: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def say(self, kind: type[Record], *values: Any) -> int:
        """Write a record that begins with its number; return the number."""
        number = self.seq
        self.records.append(encode(kind(number, *values)))
        self.seq += 1
        self.n_records += 1
        return number

    def sign(self, kind: str, name: str, used: Iterable[str] = (), made: Iterable[str] = ()) -> int:
        """Return the number of a signature, written once a frame."""
        key = (kind, name, tuple(used), tuple(made))
        if key not in self.signatures:
            self.signatures[key] = len(self.signatures)
            self.records.append(encode(Signature(self.signatures[key], *key)))
        return self.signatures[key]

    def tick(self, seconds: float = 1.0) -> int:
        self.now_ns += int(seconds * SECOND_NS)
        return self.now_ns

    def do(self, name: str, used: dict[str, Any], made: dict[str, Any], parent: int = 0) -> int:
        """Write a transformation of half a second."""
        sign = self.sign("transformation", name, used, made)
        values = _packed(used), _packed(made)
        return self.say(Transformation, parent, sign, self.tick(), SECOND_NS // 2, *values)

    def begin(self, kind: str, name: str, parent: int, path: str, index: int | None = None) -> int:
        sign = self.sign(kind, name)
        activity = self.seq
        return self.say(Started, activity, parent, sign, self.tick(), path, index)

    def use(self, activity: int, kind: str, name: str, values: dict[str, Any]) -> None:
        sign = self.sign(kind, name, values)
        self.say(Used, activity, sign, _packed(values))

    def make(self, activity: int, kind: str, name: str, values: dict[str, Any]) -> None:
        sign = self.sign(kind, name, (), values)
        self.say(Generated, activity, sign, _packed(values), self.tick())

    def end(self, activity: int) -> None:
        self.say(Ended, activity, self.tick())

    def frame(self) -> Frame:
        """Return what was written since the last frame, as one."""
        made = frame_of(self.log_id, self.n_frames, [encode(self.context), *self.records])
        self.n_frames += 1
        self.records.clear()
        self.signatures.clear()
        return made


@dataclass
class Job:
    """One run of the chain."""

    number: int
    ranks: list[Rank]
    read: list[FileVersion]
    """What it begins with."""
    draw: random.Random
    written: list[FileVersion] = field(default_factory=list)
    """The last layer so far."""

    @property
    def run(self) -> str:
        return self.ranks[0].context.run


def _job(number: int, left: list[FileVersion]) -> Job:
    """Return a job that reads what the one before it left, every second one as copies."""
    run = identity.digest("benchmark", number)
    began = BEGAN_NS + number * 24 * HOUR_NS
    ranks = []
    for rank in range(N_RANKS):
        context = Context(
            run=run, restart=0, rank=rank, size=N_RANKS, host=f"node{rank + 1}", pid=1000 + rank,
            user="ada", program=f"phase{number % 4}.py", project="benchmark",
            workflow=f"phase{number % 4}", opened_ns=began, study="digits",
            experiment=f"experiment{number % 3}", name=f"job {number}",
            facts={
                "job_id": str(4000 + number), "step_id": "0", "cluster": "c1",
                "git_commit": identity.digest("commit", number // 5)[:12], "python": "3.12.1",
            },
        )  # fmt: skip
        log_id = bytes.fromhex(identity.digest("log", number, rank))
        ranks.append(Rank(context, log_id, began))
    read = [_copied(file, number, began) for file in left] if number % 2 else left
    return Job(number, ranks, read, random.Random(number))


def _copied(file: FileVersion, number: int, at_ns: int) -> FileVersion:
    path = f"/scratch/job{number:02d}/{file.path.rpartition('/')[2]}"
    return FileVersion(path, "scratch", file.size, at_ns, file.kind)


def _digested(job: Job, file: FileVersion, origin: FileVersion) -> None:
    digest = f"blake2b:{identity.digest('content', origin.path, origin.mtime_ns)}"
    job.ranks[0].say(
        Digested, file.store, file.path, file.size, file.mtime_ns, "", digest, file.mtime_ns
    )


def _written(job: Job, layer: int, nth: int, at_ns: int) -> FileVersion:
    path = f"/data/job{job.number:02d}/layer{layer}/part-{job.number:02d}-{layer}-{nth:03d}.npz"
    return FileVersion(path, "nfs:/data", 4096 + nth, at_ns)


def chain(job: Job, left: list[FileVersion]) -> None:
    """Write the layers: each file is made of some of the layer before."""
    if job.number % 2:
        for copy, origin in zip(job.read, left, strict=True):
            _digested(job, copy, origin)
    before = job.read or [
        FileVersion(f"/data/raw/raw-{n:03d}.csv", "nfs:/data", 1 << 20, BEGAN_NS - n)
        for n in range(N_WIDTH)
    ]
    for layer in range(N_LAYERS):
        after = []
        for nth in range(N_WIDTH):
            rank = job.ranks[nth % N_RANKS]
            sources = [before[(nth + step) % len(before)] for step in range(N_READ)]
            used = {"threshold": job.number / 8, "source": sources}
            file = _written(job, layer, nth, rank.now_ns + SECOND_NS)
            rank.do(f"layer{layer}", used, {"part": file, "kept": nth})
            after.append(file)
        before = after
    for file in before:
        _digested(job, file, file)
    job.written = before


def training(job: Job) -> None:
    """Write a training on the last layer, with epochs, validations and checkpoints by rank 0."""
    settings = {"hp:lr": 10 ** -(1 + job.number % 4), "hp:batch": 32, "mhp:layers": [64, 10]}
    for rank in job.ranks:
        own = rank.context.rank
        data = DatasetReference(
            "parts", f"v{job.number}", split="train", files=tuple(job.written[own::N_RANKS])
        )
        fit = rank.begin("training", "fit", 0, "training:fit::0")
        rank.use(fit, "training", "fit", {**settings, "data": data})
        losses = [_epoch(job, rank, fit, index) for index in range(N_EPOCHS)]
        sign = rank.sign("epoch", "epoch", (), ("loss",))
        rank.say(
            Summary,
            sign,
            len(losses),
            0,
            losses[0],
            losses[-1],
            min(losses),
            max(losses),
            sum(losses),
        )
        rank.end(fit)
    rank = job.ranks[0]
    test = rank.begin("evaluation", "test", 0, "evaluation:test::0")
    rank.use(test, "evaluation", "test", {"model": _checkpoint(job, N_EPOCHS - 1)})
    rank.make(test, "evaluation", "test", {"accuracy": 0.9 + job.number / 1000})
    rank.end(test)


def _checkpoint(job: Job, index: int) -> FileVersion:
    best = index == N_EPOCHS - 1
    at_ns = job.ranks[0].context.opened_ns + (index + 1) * 60 * SECOND_NS
    return FileVersion(
        f"/data/job{job.number:02d}/model-{job.number:02d}.pt", "nfs:/data", 1 << 20, at_ns,
        "checkpoint", step=index, best=best, score=0.8 + index / 100,
    )  # fmt: skip


def _epoch(job: Job, rank: Rank, fit: int, index: int) -> float:
    path = f"training:fit::0/epoch:epoch:{index}:0"
    epoch = rank.begin("epoch", "epoch", fit, path, index)
    loss = 1 / (index + 1) + rank.context.rank / 100
    sign = rank.sign("epoch", "epoch", (), ("loss",))
    rank.say(Metric, epoch, sign, index, rank.tick(), loss)
    check = rank.begin("validation", "check", epoch, f"{path}/validation:check::0")
    rank.make(check, "validation", "check", {"val_accuracy": 0.8 + index / 100})
    rank.end(check)
    if rank.context.rank == 0:
        rank.make(epoch, "epoch", "epoch", {"model": _checkpoint(job, index)})
    rank.end(epoch)
    return loss


def pad(job: Job, rank: Rank) -> None:
    """Write transformations with 10 used values, as settings are, and 10 new ones."""
    draw = job.draw
    for _ in range(RECORDS_A_FRAME):
        used = {name: draw.randrange(workload.N_SETTINGS) / 8 for name in workload.USED}
        rank.do("normalise_values", used, {name: draw.random() for name in workload.GENERATED})


def _link(job: Job, frames: list[Frame]) -> Batch:
    first = job.number * 1_000_000
    return link([(first + n, frame) for n, frame in enumerate(frames)], JOURNAL, job.run)


def batches(n_triples: int) -> Iterator[tuple[Batch, str]]:
    """Yield linked batches with their triples, until there are as many as wanted."""
    left: list[FileVersion] = []
    for number in range(N_JOBS):
        job = _job(number, left)
        share = n_triples // 2 if number == N_JOBS - 1 else n_triples // 2 // (N_JOBS - 1)
        made = 0
        for frames in _frames(job, left):
            batch = _link(job, frames)
            text = "".join(map_batch(batch) + map_watermark(batch))
            made += text.count("\n")
            yield batch, text
            if made >= share:
                break
        batch = _link(job, [_close(rank) for rank in job.ranks])
        yield batch, "".join(map_batch(batch) + map_watermark(batch))
        left = job.written


def _frames(job: Job, left: list[FileVersion]) -> Iterator[list[Frame]]:
    for rank in job.ranks:
        rank.begin("run", rank.context.workflow, ROOT, "")
    chain(job, left)
    training(job)
    yield [rank.frame() for rank in job.ranks]
    while True:
        for rank in job.ranks:
            pad(job, rank)
        yield [rank.frame() for rank in job.ranks]


def _close(rank: Rank) -> Frame:
    rank.end(0)
    rank.say(Closed, rank.n_records + 1, {}, rank.now_ns)
    return rank.frame()


class Made(msgspec.Struct):
    """What `make` made."""

    n_triples: int
    """As mapped; the store keeps repeated ones once."""
    n_records: int
    n_runs: int


def make(project: Project, n_triples: int) -> Made:
    """Fill a project's store and series, and make a snapshot of it."""
    store = Store(project.store)
    made = Made(0, 0, N_JOBS)
    texts: list[str] = []
    waiting = 0
    for batch, text in batches(n_triples):
        texts.append(text)
        if batch.points is not None:
            name = write_points(project.series, batch.queue, [batch.points]).name
            texts.append(map_series_file(batch.queue, name))
        waiting += text.count("\n")
        made.n_records += batch.n_records
        if waiting >= COMMIT_TRIPLES:
            store.load("".join(texts).encode())
            made.n_triples += waiting
            texts, waiting = [], 0
    store.load("".join(texts).encode())
    made.n_triples += waiting
    store.optimize()
    store.snapshot(project.snapshots)
    store.close()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder; .sprov/ is made in it")
    parser.add_argument("--triples", type=int, default=1_000_000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    made = make(Project(options.folder / ".sprov").create(), options.triples)
    table.note(msgspec.json.encode(made).decode())


if __name__ == "__main__":
    main()
