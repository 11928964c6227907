"""Answers about learning, in one training and over several, from the diaries."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from .asked import Asked, Rows, answers
from .domain import trained
from .study import Between, Study, lasted

SETTINGS = ("dropout", "epochs", "filter", "layers", "lr", "seed")
NOT_A_NUMBER = "NaN"


def loss_of(epoch: int, rank: int) -> float:
    return 1 / (epoch + 1) + rank / 8


def spans(run: dict[str, Any], kind: str) -> Rows:
    return [span for span in run["spans"] if span["kind"] == kind]


def configuration(run: dict[str, Any], **changed: Any) -> str:
    """Return what a run was set to, as the queries print it."""
    said = {**run, "layers": "[64,10]", **changed}
    return ", ".join(f"{name}={said[name]}" for name in SETTINGS if name in said)


def last_loss(run: dict[str, Any], epoch: int) -> Any:
    return NOT_A_NUMBER if [epoch, run["rank"]] == run["nan_in"] else loss_of(epoch, run["rank"])


@answers("epochs")
def epochs(study: Study) -> Iterator[Asked]:
    first, second = study.of("adapted")
    rows = []
    for one, other in zip(spans(first, "epoch"), spans(second, "epoch"), strict=True):
        index = one["index"]
        starts, ends = (one["start"], other["start"]), (one["end"], other["end"])
        took = Between(
            max(end[0] for end in ends) - min(start[1] for start in starts),
            max(end[1] for end in ends) - min(start[0] for start in starts),
        )
        mean = (loss_of(index, 0) + loss_of(index, 1)) / 2
        rows.append({"index": index, "seconds": took, "value": pytest.approx(mean), "ranks": 2,
                     "points": 4, "most": 9.0, "least": loss_of(index, 0)})  # fmt: skip
    yield Asked({"run": "adapted"}, rows)
    means = [pytest.approx((loss_of(n, 0) + loss_of(n, 1)) / 2) for n in range(3)]
    means[1] = NOT_A_NUMBER
    told = [{"training": "fit", "index": n, "value": mean} for n, mean in enumerate(means)]
    yield Asked({"run": "plain", "metric": "loss"}, told)
    requeued = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 3)]
    yield Asked({"run": "requeued"}, [{"restart": r, "index": i} for r, i in requeued])


@answers("epoch-value")
def epoch_value(study: Study) -> Iterator[Asked]:
    for index in (0, 1):
        rows = [{"rank": run["rank"], "value": last_loss(run, index)} for run in study.of("plain")]
        yield Asked({"run": "plain", "index": index}, rows)


@answers("layers")
def layers(study: Study) -> Iterator[Asked]:
    said = {"said_by": "hyperparameter", "plan": "fit", "name": "layers", "value": "[64,10]"}
    yield Asked({"run": "plain"}, [said])


@answers("hyperparameters")
def hyperparameters(study: Study) -> Iterator[Asked]:
    run = study.one("adapted")
    began = [("fit", name, run[name]) for name in ("lr", "dropout", "filter")]
    began += [("fit", "layers", "[64,10]"), ("mlp", "seed", 1), ("mlp", "epochs", 6)]
    rows = [{"plan": p, "name": n, "value": str(v), "adapted": False} for p, n, v in began]
    rows += [
        {"plan": "epoch", "name": "lr", "value": str(value), "adapted": True}
        for value in run["adapt"].values()
    ]
    yield Asked({"run": "adapted"}, rows)
    yield Asked(
        {"run": "sweep"},
        [
            {"trial": told["trial"], "name": name, "value": value}
            for told in study.one("sweep")["trials"]
            for name, value in (("lr", told["lr"]), ("momentum", 0.9))
        ],
    )


@answers("adaptations")
def adaptations(study: Study) -> Iterator[Asked]:
    rows = [
        {"name": "lr", "step": int(step), "value": value, "by": "epoch", "ranks": 2}
        for step, value in study.one("adapted")["adapt"].items()
    ]
    yield Asked({"run": "adapted"}, rows)
    yield Asked({"run": "adapted", "hyperparameter": "momentum"}, [])
    yield Asked({"run": "plain"}, [])


@answers("checkpoints")
def checkpoints(study: Study) -> Iterator[Asked]:
    rows = [
        {"training": "fit", "restart": run["restart"], **_checkpoint(made)}
        for run in study.of("requeued")
        for made in run.get("checkpoints", [])
    ]
    yield Asked({"run": "requeued"}, rows)


def _checkpoint(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in ("path", "size", "step", "best", "score")}


@answers("best-checkpoint")
def best_checkpoint(study: Study) -> Iterator[Asked]:
    for name, now in (("adapted", "same"), ("plain", "gone"), ("seed2", "changed")):
        run = study.one(name)
        best = next(made for made in run["checkpoints"] if made["best"])
        told = {key: best[key] for key in ("path", "size", "step", "score")}
        yield Asked({"run": name}, [{**told, "run": run["run"], "now": now}])


@answers("deletable-checkpoints")
def deletable_checkpoints(study: Study) -> Iterator[Asked]:
    run = study.one("adapted")
    last = max(made["step"] for made in run["checkpoints"])
    free = [m for m in run["checkpoints"] if not m["best"] and m["step"] != last]
    yield Asked({"run": "adapted"}, [{"path": made["path"], "now": "same"} for made in free])
    kept = study.path("models/failed/epoch-0.pt")  # the other was best, last and resumed from
    yield Asked({"run": "failed"}, [{"path": kept}])


@answers("checkpoint-settings")
def checkpoint_settings(study: Study) -> Iterator[Asked]:
    run = study.one("adapted")
    rate, rows = run["lr"], []
    for made in run["checkpoints"]:
        rate = run["adapt"].get(str(made["step"]), rate)
        rows.append({"path": made["path"], "step": made["step"], "score": made["score"],
                     "configuration": configuration(run, lr=rate)})  # fmt: skip
    yield Asked({"run": "adapted"}, rows)


@answers("first-nan")
def first_nan(study: Study) -> Iterator[Asked]:
    yield Asked(
        {"run": "plain"},
        [
            {"name": "loss", "rank": 1, "step": 1, "plan": "epoch"},
            {"name": "precision", "rank": 0, "plan": "test"},
        ],
    )
    yield Asked({"run": "sweep"}, [])


@answers("early-stopping")
def early_stopping(study: Study) -> Iterator[Asked]:
    run = study.one("adapted")
    done = len(spans(run, "epoch"))
    yield Asked(
        {"run": "adapted"},
        [{"training": "fit", "planned": run["epochs"], "done": done, "last": done - 1}],
    )
    yield Asked({"run": "plain"}, [])
    yield Asked({"run": "failed"}, [])


@answers("resumes")
def resumes(study: Study) -> Iterator[Asked]:
    link = {
        "run": study.iri("continued"), "plan": "fit", "from_run": study.iri("failed"),
        "from_path": study.path("models/failed/epoch-1.pt"), "from_step": 1,
    }  # fmt: skip
    yield Asked({"run": "continued"}, [link])
    yield Asked({"run": "failed"}, [link])
    yield Asked({"run": "plain"}, [])


@answers("stage-attempts")
def stage_attempts(study: Study) -> Iterator[Asked]:
    yield Asked(
        {"run": "requeued"},
        [
            {"stage": "fit", "restart": 0, "ranks": 2, "state": "failed", "first": 0, "last": 2,
             "resumed_from": None},
            {"stage": "fit", "restart": 1, "ranks": 2, "state": "completed", "first": 2, "last": 3,
             "resumed_from": study.path("models/requeued/epoch-1.pt")},
        ],
    )  # fmt: skip


@answers("parameter-use")
def parameter_use(study: Study) -> Iterator[Asked]:
    n_files = len(study.one("curate")["cleaned"])
    used = {"plan": "clean", "name": "threshold", "direction": "in", "value": 0.5}
    yield Asked({"run": "curate"}, [{**used, "executions": n_files, "ranks": 1}])


def scored(study: Study) -> Rows:
    """Return what was compared in the study `digits`, best first."""
    runs = [
        {"run": run["run"], "trial": "", "score": run["accuracy"], "of": run}
        for run in trained(study)
        if spans(run, "evaluation")
    ]
    return sorted(runs, key=lambda row: -row["score"])


def told(rows: Rows, *names: str) -> Rows:
    return [{name: row[name] for name in names} for row in rows]


@answers("best-runs")
def best_runs(study: Study) -> Iterator[Asked]:
    rows = [
        {**row, "place": nth, "configuration": configuration(row["of"])}
        for nth, row in enumerate(scored(study), 1)
    ]
    names = ("place", "run", "score", "configuration")
    yield Asked({"study": "digits"}, told(rows[:3], *names))
    yield Asked({"study": "digits", "k": 1}, told(rows[:1], *names))
    worst = {**rows[-1], "place": 1}
    yield Asked({"study": "digits", "k": 1, "best": "lowest"}, told([worst], *names))
    yield Asked({"measure": "precision"}, [])  # NaN is never best
    trials = [
        {"run": study.one("sweep")["run"], "trial": trial["trial"], "score": 0.5}
        for trial in study.one("sweep")["trials"]
    ]
    yield Asked({"measure": "loss", "best": "lowest", "study": "sweep"}, trials)


@answers("result-by-configuration")
def result_by_configuration(study: Study) -> Iterator[Asked]:
    rows = [{**row, "configuration": configuration(row["of"])} for row in scored(study)]
    yield Asked({"study": "digits"}, told(rows, "configuration", "score", "run"))


def _scores_by(study: Study, key: Any) -> dict[Any, list[float]]:
    groups: dict[Any, list[float]] = defaultdict(list)
    for row in scored(study):
        groups[key(row["of"])].append(row["score"])
    return groups


@answers("best-value")
def best_value(study: Study) -> Iterator[Asked]:
    rows = [
        {"value": str(value), "runs": len(scores), "best": max(scores),
         "mean": pytest.approx(statistics.mean(scores))}
        for value, scores in _scores_by(study, lambda run: run["lr"]).items()
    ]  # fmt: skip
    yield Asked({"study": "digits"}, rows)


@answers("best-configuration")
def best_configuration(study: Study) -> Iterator[Asked]:
    def but_for_seed(run: dict[str, Any]) -> str:
        return configuration({name: run[name] for name in run if name != "seed"})

    rows = [
        {"configuration": said, "runs": len(scores), "mean": pytest.approx(statistics.mean(scores)),
         "deviation": pytest.approx(statistics.stdev(scores)) if len(scores) > 1 else None}
        for said, scores in _scores_by(study, but_for_seed).items()
    ]  # fmt: skip
    yield Asked({"study": "digits"}, rows)


@answers("same-configuration")
def same_configuration(study: Study) -> Iterator[Asked]:
    groups = _scores_by(study, configuration)
    rows = [
        {"run": row["run"], "score": row["score"], "configuration": configuration(row["of"])}
        for row in scored(study)
        if len(set(groups[configuration(row["of"])])) > 1
    ]
    assert {row["score"] for row in rows} == {0.8, 0.78}
    yield Asked({"study": "digits"}, rows)


@answers("settings-when")
def settings_when(study: Study) -> Iterator[Asked]:
    rows = [
        {"value": row["of"]["filter"], "run": row["run"], "score": row["score"]}
        for row in scored(study)
        if row["of"]["dropout"] == 0.4
    ]
    asked = {"hyperparameter": "filter", "where": "dropout"}
    yield Asked({**asked, "equals": "0.40"}, rows)
    yield Asked({**asked, "equals": "0.5"}, [])


@answers("initial-value")
def initial_value(study: Study) -> Iterator[Asked]:
    best = scored(study)[0]
    yield Asked({}, [{"run": best["run"], "score": best["score"], "value": str(best["of"]["lr"])}])


@answers("adaptations-of-best")
def adaptations_of_best(study: Study) -> Iterator[Asked]:
    best = scored(study)[0]
    rows = [
        {"run": best["run"], "score": best["score"], "step": int(step), "value": value,
         "by": "epoch"}
        for step, value in best["of"]["adapt"].items()
    ]  # fmt: skip
    yield Asked({}, rows)
    yield Asked({"best": "lowest"}, [])


@answers("best-and-worst")
def best_and_worst(study: Study) -> Iterator[Asked]:
    rows = [
        {"which": which, "run": row["run"], "score": row["score"], "value": row["of"]["filter"],
         "sections": len(spans(row["of"], "epoch"))}
        for which, row in (("best", scored(study)[0]), ("worst", scored(study)[-1]))
    ]  # fmt: skip
    yield Asked({"hyperparameter": "filter"}, rows)


@answers("trials")
def trials(study: Study) -> Iterator[Asked]:
    run = study.one("sweep")
    took = {span["plan"]: span for span in spans(run, "trial")}
    rows = [
        {"trial": each["trial"], "score": each["accuracy"],
         "seconds": lasted(took[each["trial"]]),
         "state": "failed" if each["accuracy"] is None else "completed",
         "configuration": f"lr={each['lr']}, momentum=0.9"}
        for each in run["trials"]
    ]  # fmt: skip
    yield Asked({"run": "sweep"}, rows)
    by_loss = [{"trial": row["trial"], "score": 0.5} for row in rows]
    yield Asked({"run": "sweep", "measure": "loss", "best": "lowest"}, by_loss)


@answers("run-differences")
def run_differences(study: Study) -> Iterator[Asked]:
    one, other = study.one("again"), study.one("seed2")
    rows = [
        {"what": "setting", "name": "mlp.seed", "run_has": "1", "other_has": "2"},
        {"what": "result", "name": "test.accuracy", "run_has": str(one["accuracy"]),
         "other_has": str(other["accuracy"])},
    ]  # fmt: skip
    yield Asked({"run": "again", "other": "seed2"}, rows)


@answers("measures")
def measures(study: Study) -> Iterator[Asked]:
    yield Asked({"study": "no such study"}, [])
    rows = [
        {"measure": "accuracy", "kind": "generated"},
        {"measure": "loss", "kind": "series"},
    ]
    yield Asked({"study": "sweep"}, rows)
