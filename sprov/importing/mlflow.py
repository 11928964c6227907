"""MLflow run directories, as its file store writes them: what a run logged becomes its records.

    mlruns/<experiment>/<run>/{meta.yaml, params/, metrics/, tags/, artifacts/}

Parameters are hyperparameters, metrics are series, artifacts are files that the run generated.
MLflow itself is not needed.

Source: MLflow 2.x `mlflow.store.tracking.file_store`: a metric's lines are ``timestamp value step``
with milliseconds; `RunStatus` 1 running, 2 scheduled, 3 finished, 4 failed, 5 killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pllib import identity
from pllib.data import File, Model
from pllib.project import Project
from pllib.records import (
    ROOT,
    Closed,
    Context,
    Ended,
    Generated,
    Metric,
    Outcome,
    Record,
    Signature,
    Started,
    Summary,
    Used,
    encode,
)
from pllib.regular import read_regular
from pllib.values import encode_list

from .statements import ImportRefusedError, Refusal

if TYPE_CHECKING:
    import yaml

MAX_META_BYTES = 1 << 20
MAX_DEPTH = 50
"""Levels of YAML."""
MAX_TEXT_BYTES = 64 << 10
MAX_METRIC_BYTES = 256 << 20
MAX_ARTIFACTS = 10_000
MAX_FACTS = 64
VALUES_A_RECORD = 100

_FAILED, _KILLED = {"4", "FAILED"}, {"5", "KILLED"}
_DONE = {"3", "FINISHED"} | _FAILED | _KILLED


@dataclass
class MlflowRun:
    """One run directory, as far as it could be read."""

    folder: Path
    meta: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, list[tuple[int, float, int | None]]]
    """Name to (milliseconds, value, step)."""
    tags: dict[str, str]
    artifacts: list[Path]
    experiment: str
    refused: list[Refusal] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.meta["run_id"]


def run_folders(folder: Path) -> list[Path]:
    """Return the run directories that a folder is, or has in it, down to ``mlruns``."""
    if is_run(folder):
        return [folder]
    near = [path for path in sorted(folder.glob("*")) if path.is_dir()]
    runs = [path for path in near if is_run(path)]
    for path in near:
        if not is_run(path) and path.name not in (".trash", "models"):
            runs += [below for below in sorted(path.glob("*")) if is_run(below)]
    return runs


def is_run(folder: Path) -> bool:
    return (folder / "meta.yaml").is_file() and any(
        (folder / part).is_dir() for part in ("params", "metrics", "tags", "artifacts")
    )


def read_run(folder: Path) -> MlflowRun:
    """Read a run directory.

    Raises:
        ImportRefusedError: ``meta.yaml`` is not a run's.
    """
    meta = _meta(folder / "meta.yaml", "run_id", "start_time")
    if meta.get("lifecycle_stage") == "deleted":
        raise ImportRefusedError(f"{folder}: the run is deleted in MLflow")
    experiment = folder.parent / "meta.yaml"
    run = MlflowRun(folder, meta, {}, {}, {}, [], meta.get("experiment_id", ""))
    if experiment.is_file():
        run.experiment = _meta(experiment, "name")["name"]
    run.params = _texts(run, "params")
    run.tags = _texts(run, "tags")
    for name, path in _files(run, "metrics"):
        run.metrics[name] = _points(run, path)
    run.artifacts = [path for _, path in _files(run, "artifacts")]
    return run


def _meta(path: Path, *required: str) -> dict[str, str]:
    """Return the scalars of one of MLflow's YAML files, as text.

    Raises:
        ImportRefusedError: It is none, or a name that is required is not in it.
    """
    found = _yaml(path)
    if not isinstance(found, dict):
        raise ImportRefusedError(f"{path}: not what MLflow writes: no names with values")
    meta = {str(key): str(value) for key, value in found.items() if _is_scalar(value)}
    meta.setdefault("run_id", meta.get("run_uuid", ""))
    for name in required:
        if not meta.get(name):
            raise ImportRefusedError(f"{path}: not what MLflow writes: no {name}")
    return meta


def _yaml(path: Path) -> Any:
    """Read a small YAML file."""
    import yaml

    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise ImportRefusedError(f"{path}: it leads out of its directory")
    try:
        text = read_regular(path, MAX_META_BYTES + 1)
        if len(text) > MAX_META_BYTES:
            raise ImportRefusedError(f"{path}: over {MAX_META_BYTES >> 20} MiB")
        _check_events(path, yaml.parse(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(exc, "problem", None) or exc).split())
        raise ImportRefusedError(f"{path}{line}: not YAML: {reason}") from None
    except (ValueError, RecursionError) as exc:
        raise ImportRefusedError(f"{path}: not YAML: {exc}") from None
    except OSError as exc:
        raise ImportRefusedError(f"{path}: {exc.strerror}") from None


def _check_events(path: Path, events: Iterable[yaml.Event]) -> None:
    """Refuse what MLflow never writes, and what takes long or much memory to read.

    A few lines of aliases can stand for gigabytes; PyYAML 6.0.3 takes time by the cube of the
    levels, 5 s for 4,000.
    """
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ImportRefusedError(f"{path}: aliases are not taken in")
        starts = isinstance(event, yaml.CollectionStartEvent)
        depth += starts - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ImportRefusedError(f"{path}: nested deeper than {MAX_DEPTH} levels")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _files(run: MlflowRun, part: str) -> list[tuple[str, Path]]:
    """Return (name, path) of the files below a part of a run; links out of the run are refused."""
    root = run.folder / part
    found: list[tuple[str, Path]] = []
    inside = run.folder.resolve()
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not path.resolve().is_relative_to(inside):
                run.refused.append(Refusal(str(path), "it leads out of the run's directory"))
            elif not path.is_file():
                run.refused.append(Refusal(str(path), "not a file"))
            elif len(found) == MAX_ARTIFACTS:
                run.refused.append(Refusal(str(root), f"more than {MAX_ARTIFACTS} files"))
                return found
            else:
                found.append((path.relative_to(root).as_posix(), path))
    return found


def _texts(run: MlflowRun, part: str) -> dict[str, str]:
    """Return the values of a run's parameters or tags; a file is one."""
    found = {}
    for name, path in _files(run, part):
        data = _read(run, path, MAX_TEXT_BYTES)
        if data is not None:
            found[name] = data.decode("utf-8", "replace").rstrip("\n")
    return found


def _read(run: MlflowRun, path: Path, limit: int) -> bytes | None:
    try:
        data = read_regular(path, limit + 1)
    except OSError as exc:
        run.refused.append(Refusal(str(path), exc.strerror or "it can't be read"))
        return None
    if len(data) > limit:
        run.refused.append(Refusal(str(path), f"over {limit >> 10} KiB"))
        return None
    return data


def _points(run: MlflowRun, path: Path) -> list[tuple[int, float, int | None]]:
    found = []
    lines = (_read(run, path, MAX_METRIC_BYTES) or b"").splitlines()
    for number, line in enumerate(lines, 1):
        fields = line.split()
        try:
            at, value = _whole(fields[0]), float(fields[1])
            step = _whole(fields[2]) if len(fields) > 2 else None
        except (ValueError, IndexError):
            reason = "not a metric's line: timestamp, value and step"
            run.refused.append(Refusal(f"{path}, line {number}", reason))
        else:
            found.append((at, value, step))
    return found


def _whole(text: bytes | str) -> int:
    """Return an integer that fits a record.

    Raises:
        ValueError: It is none.
    """
    number = int(text)
    if not -(2**43) < number < 2**43:  # milliseconds until the year 2248, as nanoseconds in 63 bits
        raise ValueError(f"{number} is out of range")
    return number


@dataclass(frozen=True)
class MlflowLog:
    """A run as a log of ours."""

    folder: Path
    log_id: bytes
    """A digest of what it says."""
    run: str
    """IRI of the run, which MLflow's own id makes."""
    execution: str
    """IRI of what the run did, which what is said of it makes."""
    head: list[bytes]
    records: list[bytes]


def log_of(run: MlflowRun, project: Project) -> MlflowLog:
    """Return a run as a log.

    Raises:
        ImportRefusedError: The run's times are none.
    """
    writing = _Writing(run)
    digest = identity.digest("mlflow", run.id)
    context = _context(run, project, digest, writing.started_ns)
    head = [encode(context), *map(encode, writing.signatures)]
    records = [encode(record) for record in writing.records]
    killed = [] if writing.killed_ns is None else [f"killed {writing.killed_ns}"]
    log_id = bytes.fromhex(identity.digest("mlflow log", *head, *records, *killed))
    records += map(encode, writing.outcome(log_id.hex()))
    return MlflowLog(
        run.folder, log_id, identity.iri("run", digest),
        identity.iri("activity", identity.activity(log_id, 0)), head, records,
    )  # fmt: skip


def _context(run: MlflowRun, project: Project, digest: str, started_ns: int) -> Context:
    tags = {name: text[:1000] for name, text in run.tags.items()}
    own = [f"{name}={text}" for name, text in tags.items() if not name.startswith("mlflow.")]
    facts = {name: text for name, text in tags.items() if name.startswith("mlflow.")}
    facts = dict(list(facts.items())[:MAX_FACTS])
    facts["mlflow.run_id"] = run.id
    if commit := tags.get("mlflow.source.git.commit"):
        facts["git_commit"] = commit
    return Context(
        run=digest, restart=0, rank=0, size=1, host="unknown", pid=0,
        user=tags.get("mlflow.user") or run.meta.get("user_id") or "unknown",
        program=tags.get("mlflow.source.name") or run.meta.get("source_name") or "unknown",
        project=project.name, workflow=run.experiment, opened_ns=started_ns,
        experiment=run.experiment,
        name=tags.get("mlflow.runName") or run.meta.get("run_name"), tags=tuple(own[:MAX_FACTS]),
        facts=facts,
    )  # fmt: skip


class _Writing:
    """The records of one run, as one rank would have written them."""

    def __init__(self, run: MlflowRun) -> None:
        self._run = run
        self.signatures: list[Signature] = []
        self.records: list[Record] = []
        self.started_ns = self._time("start_time")
        self.killed_ns: int | None = None
        """When it ended, if it was killed."""
        whole = self._signature()
        self.records.append(Started(1, 0, ROOT, whole, self.started_ns))
        self._params()
        series = {name: self._signature(generated=(name,)) for name in run.metrics}
        self._points(series)
        self._artifacts()
        self._summaries(series)
        self._end()

    def _time(self, name: str) -> int:
        text = self._run.meta.get(name, "")
        try:
            return _whole(text) * 1_000_000
        except ValueError:
            where = self._run.folder / "meta.yaml"
            raise ImportRefusedError(f"{where}: {name} is no time: {text[:50]!r}") from None

    def _signature(self, used: tuple[str, ...] = (), generated: tuple[str, ...] = ()) -> int:
        number = len(self.signatures)
        self.signatures.append(Signature(number, "run", self._run.experiment, used, generated))
        return number

    @property
    def _seq(self) -> int:
        return len(self.records) + 1

    def _params(self) -> None:
        items = list(self._run.params.items())
        for start in range(0, len(items), VALUES_A_RECORD):
            part = items[start : start + VALUES_A_RECORD]
            signature = self._signature(used=tuple(f"hp:{name}" for name, _ in part))
            values = encode_list([_typed(text) for _, text in part])
            self.records.append(Used(self._seq, 0, signature, values))

    def _points(self, series: dict[str, int]) -> None:
        for name, points in self._run.metrics.items():
            for at, value, step in points:
                self.records.append(Metric(self._seq, 0, series[name], step, at * 1_000_000, value))

    def _artifacts(self) -> None:
        root = self._run.folder / "artifacts"
        models = {path.parent for path in self._run.artifacts if path.name == "MLmodel"}
        items = [
            (
                path.relative_to(root).as_posix(),
                Model(path) if path.parent in models else File(path),
            )
            for path in self._run.artifacts
        ]
        for start in range(0, len(items), VALUES_A_RECORD):
            part = items[start : start + VALUES_A_RECORD]
            signature = self._signature(generated=tuple(name for name, _ in part))
            values = encode_list([file for _, file in part])
            self.records.append(Generated(self._seq, 0, signature, values, self.started_ns))

    def _summaries(self, series: dict[str, int]) -> None:
        for name, points in self._run.metrics.items():
            values = [value for _, value, _ in points]
            finite = [value for value in values if abs(value) < float("inf")]
            if values:
                self.records.append(
                    Summary(
                        self._seq, series[name], len(values), len(values) - len(finite),
                        values[0], values[-1], min(finite, default=None),
                        max(finite, default=None), sum(finite),
                    )
                )  # fmt: skip

    def _end(self) -> None:
        status = self._run.meta.get("status", "")
        if status not in _DONE or not self._run.meta.get("end_time"):
            return
        ended_ns = self._time("end_time")
        if status in _KILLED:
            self.killed_ns = ended_ns
            return
        self.records.append(Ended(self._seq, 0, ended_ns, "FAILED" if status in _FAILED else None))
        self.records.append(Closed(self._seq, self._seq, {}, ended_ns))

    def outcome(self, log_id: str) -> list[Record]:
        """Return what is to follow the records of a run that was killed: it did not say its end."""
        if self.killed_ns is None:
            return []
        seq = self._seq
        return [
            Outcome(seq, log_id, "killed", self.killed_ns),
            Closed(seq + 1, seq + 1, {}, self.killed_ns),
        ]


def _typed(text: str) -> Any:
    """Return a parameter as the number or truth value that it was, if its text is just that."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text:
            return value
    return text
