"""Answers about executions, from the diaries."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Iterator
from typing import Any

from .asked import Asked, Rows, answers
from .learning import loss_of, spans
from .study import FACTS, Between, Study, lasted

HOUR_S = 3600.0


def total(took: list[dict[str, Any]]) -> Between:
    """Return the sum of the times that executions took."""
    each = [lasted(span) for span in took]
    return Between(sum(one.least for one in each), sum(one.most for one in each))


@answers("stage-times")
def stage_times(study: Study) -> Iterator[Asked]:
    runs = study.of("adapted")
    rows: Rows = []
    for kind, plan in (("training", "fit"), ("epoch", "epoch"), ("evaluation", "test")):
        took = [span for run in runs for span in spans(run, kind)]
        rows.append({"kind": kind, "plan": plan, "executions": len(took), "seconds": total(took)})
    rows.append({"kind": "workflow", "plan": "mlp", "executions": 2, "ranks": 2})
    yield Asked({"run": "adapted"}, rows)


@answers("step-times")
def step_times(study: Study) -> Iterator[Asked]:
    took = spans(study.one("curate"), "transformation")
    clean = {"kind": "transformation", "plan": "clean", "executions": len(took)}
    whole = {"kind": "workflow", "plan": "curation", "executions": 1}
    yield Asked({"run": "curate"}, [{**clean, "seconds": total(took)}, whole])


@answers("rank-times")
def rank_times(study: Study) -> Iterator[Asked]:
    rows = [
        {"rank": run["rank"], "host": socket.gethostname(),
         "training_seconds": total(spans(run, "training"))}
        for run in study.of("adapted")
    ]  # fmt: skip
    yield Asked({"run": "adapted"}, rows)


@answers("node-times")
def node_times(study: Study) -> Iterator[Asked]:
    runs = study.of("adapted")
    stages = [s for run in runs for kind in ("training", "evaluation") for s in spans(run, kind)]
    whole = total(stages)
    mean = Between(whole.least / 2, whole.most / 2)
    row = {"host": socket.gethostname(), "ranks": 2, "stage_mean": mean}
    yield Asked({"run": "adapted"}, [row])


@answers("stragglers")
def stragglers(study: Study) -> Iterator[Asked]:
    runs = study.of("adapted")
    slow = next(span for span in spans(runs[1], "epoch") if span["index"] == 1)
    other = next(span for span in spans(runs[0], "epoch") if span["index"] == 1)
    found = study.ask("stragglers", run="adapted", factor=1.5)
    told = [row for row in found if (row["plan"], row["index"], row["rank"]) == ("epoch", 1, 1)]
    late = lasted(slow).least > 1.5 * lasted(other).most  # unless rank 0 was held up as long
    assert [row["seconds"] for row in told] == [lasted(slow)] * late
    assert all(row["seconds"] > 1.5 * row["median"] for row in found)
    yield Asked({"run": "adapted", "factor": 1e6}, [])


def _facts(names: str) -> list[tuple[str, str]]:
    return [(name, FACTS[name]) for name in names.split()]


def _named(pairs: list[tuple[str, str]]) -> Rows:
    return [{"name": name, "value": value} for name, value in pairs]


def _program(study: Study) -> list[tuple[str, str]]:
    name = "catalog_training.py"
    return [("program", name), ("program_path", str(study.programs / name))]


@answers("containers")
def containers(study: Study) -> Iterator[Asked]:
    found = study.ask("environment-differences", run="plain", other="again")
    same = [row for row in found if row["name"] == "container"]
    assert not same  # the container around the tests is around both
    around = study.ask("containers", run="again")
    yield Asked({"run": "plain"}, _named(_facts("container_image")) + around)


@answers("code")
def code(study: Study) -> Iterator[Asked]:
    program = _program(study)
    yield Asked({"run": "plain"}, _named(_facts("git_commit git_dirty git_diff") + program))


@answers("wrapper-script")
def wrapper_script(study: Study) -> Iterator[Asked]:
    program = _program(study)
    yield Asked({"run": "plain"}, _named(_facts("job_script") + program))


@answers("redacted")
def redacted(study: Study) -> Iterator[Asked]:
    row = {"where": "fact", "what": "registry", "pattern": "url_password", "count": 1}
    yield Asked({"run": "plain"}, [row])
    yield Asked({"run": "seed2"}, [])


@answers("environment-files")
def environment_files(study: Study) -> Iterator[Asked]:
    python = [("python", platform.python_version()), ("python_prefix", sys.prefix)]
    yield Asked({"run": "plain"}, _named(_facts("conda") + python))
    file = [("file", study.path("requirements.txt"))]
    found = {row["name"]: row["value"] for row in study.ask("environment-files", run="curate")}
    around = [(name, found[name]) for name in ("conda", "virtualenv") if name in found]
    yield Asked({"run": "curate"}, _named(python + file + around))


@answers("environment-differences")
def environment_differences(study: Study) -> Iterator[Asked]:
    rows = [{"name": n, "run_has": v} for n, v in FACTS.items() if n not in ("git_commit", "conda")]
    rows += [{"name": name, "run_has": FACTS[name]} for name in ("git_commit", "conda")]
    yield Asked({"run": "plain", "other": "again"}, rows)
    yield Asked({"run": "seed2", "other": "again"}, [])


@answers("resource-peaks")
def resource_peaks(study: Study) -> Iterator[Asked]:
    rows = [
        {"name": name, "unit": "MiB", "rank": rank, "peak": scale * 3 + rank, "requested": asked}
        for name, scale, asked in (
            ("gpu_memory", 100.0, "gpus=2"), ("rss_memory", 10.0, "mem_per_node=4G"),
        )
        for rank in (0, 1)
    ]  # fmt: skip
    yield Asked({"run": "plain"}, rows)


@answers("resources")
def resources(study: Study) -> Iterator[Asked]:
    said = {
        "energy": [5.0 * n for n in range(3)] * 2,
        "gpu_memory": [100.0 * n + rank for n in (1, 2, 3) for rank in (0, 1)],
        "rss_memory": [10.0 * n + rank for n in (1, 2, 3) for rank in (0, 1)],
    }
    rows: Rows = [
        {"name": name, "source": "series", "ranks": 2, "least": min(values), "most": max(values),
         "mean": sum(values) / len(values)}
        for name, values in said.items()
    ]  # fmt: skip
    fact = {"name": "max_rss", "source": "fact", "most": float(FACTS["max_rss"])}
    yield Asked({"run": "plain"}, [*rows, fact])


@answers("failures")
def failures(study: Study) -> Iterator[Asked]:
    rows = []
    for run in study.of("failed"):
        failed = [span for span in run["spans"] if span["error"]]
        rows += [
            {"rank": run["rank"], **{name: span[name] for name in ("plan", "index", "error")}}
            for span in failed
        ]
        rows.append({"rank": run["rank"], "plan": "mlp", "error": run["error"]})
    assert len(rows) == 6
    yield Asked({"run": "failed"}, rows)
    yield Asked({"run": "plain"}, [])
    ended = [{"rank": 0, "plan": "fit", "state": "killed", "error": "killed, signal 9"},
             {"rank": 0, "plan": "cluster", "state": "killed"}]  # fmt: skip
    yield Asked({"run": "lost"}, ended)


@answers("attempts")
def attempts(study: Study) -> Iterator[Asked]:
    rows = [
        {"restart": restart, "ranks": 2, "state": state, "failures": n_failed}
        for restart, state, n_failed in ((0, "failed", 2), (1, "completed", 0))
    ]
    yield Asked({"run": "requeued"}, rows)
    yield Asked({"run": "hung"}, [{"restart": 0, "state": "running", "ended": None}])
    rows = [{"restart": 0, "job": "6000", "state": "killed", "signal": 9, "failures": 1},
            {"restart": 1, "job": "6000", "state": "completed", "signal": None}]  # fmt: skip
    yield Asked({"run": "lost"}, rows)


@answers("lost-time")
def lost_time(study: Study) -> Iterator[Asked]:
    failed = [run for run in study.of("requeued") if run["restart"] == 0]
    kept = max(made["mtime_ns"] for made in failed[0]["checkpoints"]) / 1e9
    ends = [spans(run, "training")[0]["end"] for run in failed]
    lost = Between(max(end[0] for end in ends) - kept, max(end[1] for end in ends) - kept)
    each = [(max(end[0] - kept, 0), max(end[1] - kept, 0)) for end in ends]
    ranks = Between(sum(least for least, _ in each), sum(most for _, most in each))
    row = {"training": "fit", "restart": 0, "ranks": 2, "seconds": lost, "rank_seconds": ranks}
    yield Asked({"run": "requeued"}, [row])
    yield Asked({"run": "plain"}, [])
    yield Asked({"run": "task2"}, [{"training": "fit", "state": "timed_out", "ranks": 1}])


@answers("unfinished")
def unfinished(study: Study) -> Iterator[Asked]:
    rows = [
        {"name": name, "state": state, "run": study.iri(name), "step": 1, "now": "same",
         "path": study.path(f"models/{name}/epoch-1.pt"), "resumed_by": by}
        for name, state, by in (
            ("failed", "failed", study.iri("continued")), ("hung", "running", None),
        )
    ]  # fmt: skip
    rows.append({"name": "task2", "state": "timed_out", "job": "5000_2.0", "path": None})
    yield Asked({}, rows)
    yield Asked({"study": "sweep"}, [])


@answers("cost")
def cost(study: Study) -> Iterator[Asked]:
    runs = {told["run"] for told in study.diaries if told["name"] == "sweep"}
    took = study.took["sweep"] / HOUR_S
    inner = study.one("sweep")["spans"]
    least = (inner[-1]["end"][0] - inner[0]["start"][1]) / HOUR_S
    row = {
        "study": "sweep", "runs": len(runs), "node_hours": Between(least, took), "gpu_hours": 0,
        "energy_joules": None,
    }  # fmt: skip
    yield Asked({"study": "sweep"}, [row])
    trained = [told for told in study.diaries if "lr" in told]
    names = {told["name"] for told in trained} | {"curate"}
    energy = sum(5.0 * len_of(study, told) for told in trained)
    gpus = Between(0, 2 * study.took["plain"] / HOUR_S)
    yield Asked(
        {"study": "digits"},
        [{"study": "digits", "runs": len(names), "energy_joules": energy, "gpu_hours": gpus}],
    )
    accounted = (1 * 100 + 2 * 600 + 1 * 60 + 1 * 30) / HOUR_S
    hours = Between(accounted, accounted + study.took["single"] / HOUR_S)
    yield Asked(
        {"study": "cluster"},
        [{"study": "cluster", "runs": 4, "node_hours": hours, "energy_joules": 3500}],
    )


def len_of(study: Study, told: dict[str, Any]) -> int:
    """Return how far a rank's counter of energy went, in steps of an epoch."""
    return int(spans(told, "epoch")[-1]["index"]) - int(told["first"])


@answers("run-time")
def run_time(study: Study) -> Iterator[Asked]:
    run = study.one("adapted")
    took = Between(lasted(spans(run, "training")[0]).least, study.took["adapted"])
    yield Asked({"run": "adapted"}, [{"restart": 0, "ranks": 2, "seconds": took}])


@answers("outcome")
def outcome(study: Study) -> Iterator[Asked]:
    states = {"plain": ("completed", 2, 0, 0), "failed": ("failed", 2, 2, 6),
              "requeued": ("completed", 2, 0, 6), "hung": ("running", 0, 0, 0),
              "task2": ("timed_out", 1, 1, 0)}  # fmt: skip
    for name, (state, ended, bad, failed) in states.items():
        row = {"state": state, "ended_ranks": ended, "failed_ranks": bad, "failures": failed,
               "lost": 0}  # fmt: skip
        yield Asked({"run": name}, [row])


@answers("io")
def io(study: Study) -> Iterator[Asked]:
    rows: Rows = []
    for each in study.one("curate")["cleaned"]:
        rows.append({"how": "read", "path": each["raw"]["path"], "times": 1,
                     "bytes": each["raw"]["size"]})  # fmt: skip
        rows.append({"how": "wrote", "path": each["clean"]["path"], "times": 1,
                     "bytes": each["clean"]["size"]})  # fmt: skip
    rows += [
        {"how": "read", "path": study.path(name), "times": 1}
        for name in ("curation.toml", "requirements.txt")
    ]
    yield Asked({"run": "curate"}, rows)


@answers("deviations")
def deviations(study: Study) -> Iterator[Asked]:
    n_files = len(study.one("curate")["cleaned"])
    rows = [
        {"deviation": deviation, "attribute": name, "wanted": wanted, "found": found}
        for deviation, name, wanted, found in (
            ("missing", "unit", "a value", "none"),
            ("type", "dropped", "string", "integer"),
            ("undeclared", "kept", "no output", "a value"),
        )
    ]
    yield Asked(
        {"run": "curate"}, [{"plan": "clean", "executions": n_files, **row} for row in rows]
    )
    yield Asked({"run": "plain"}, [])


@answers("running")
def running(study: Study) -> Iterator[Asked]:
    run = study.one("hung")
    row = {
        "run": run["run"], "name": "hung", "study": "digits", "open_ranks": 2, "stage": "fit",
        "index": run["hang_in"], "planned": run["epochs"],
    }  # fmt: skip
    yield Asked({}, [row])


@answers("last-metrics")
def last_metrics(study: Study) -> Iterator[Asked]:
    last = study.one("hung")["hang_in"]
    rows = [
        {"name": name, "rank": rank, "step": last, "value": value}
        for rank in (0, 1)
        for name, value in {
            "loss": loss_of(last, rank), "gpu_memory": 100.0 * (last + 1) + rank,
            "rss_memory": 10.0 * (last + 1) + rank, "energy": 5.0 * last,
        }.items()
    ]  # fmt: skip
    yield Asked({"run": "hung"}, rows)


@answers("silent-ranks")
def silent_ranks(study: Study) -> Iterator[Asked]:
    yield Asked({"run": "hung", "seconds": 0}, [{"rank": 0}, {"rank": 1}])
    yield Asked({"run": "hung", "seconds": 3600}, [])
    yield Asked({"run": "plain", "seconds": 0}, [])
