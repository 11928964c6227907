"""Every named query answers on the lifecycle example, and with what the programs know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from lifecycle import (
    EPOCHS,
    FIRST_EPOCHS,
    LEAST_CONCAVITY,
    MOST_AREA,
    OTHER_RATE,
    OTHER_SEED,
    RANKS,
    SPLITS,
    Lifecycle,
)

from query.answers import ask
from query.engine import Engine, find_engine
from query.named import Named, catalog

GIVEN = {
    "affected-by-file": {"file": "breast_cancer.csv"},
    "epoch-value": {"index": "0"},
    "file-access": {"path": "clean.csv"},
    "file-modifications": {"path": "clean.csv"},
    "lineage-of-attribute": {"attribute": "accuracy"},
    "lineage-of-dataset": {"dataset": "cells"},
    "lineage-of-file": {"file": "data/train.npz"},
    "raw-files": {"model": "other/epoch-00.pt"},
    "runs-before-fix": {"path": "breast_cancer.csv"},
    "settings-of-file": {"file": "data/train.npz"},
    "settings-when": {
        "hyperparameter": "seed",
        "where": "learning_rate",
        "equals": str(OTHER_RATE),
    },
    **{
        name: {"hyperparameter": "learning_rate"}
        for name in ("adaptations-of-best", "best-and-worst", "best-value", "initial-value")
    },
    "job": {"job": "4242"},
    "job-array": {"array": "4242"},
    "files-of-job": {"job": "4242"},
}
"""Parameters beyond the runs, by name of the query."""

Rows = set[tuple[Any, ...]]


class Answer(NamedTuple):
    columns: str
    """Those that are looked at."""
    of: Callable[[Lifecycle], Rows]
    """The rows, as the programs know them."""


def nothing(_: Lifecycle) -> Rows:
    return set()


def resumed_epochs(jobs: Lifecycle) -> range:
    return range(FIRST_EPOCHS, jobs.resumed["epoch"] + 1)


def by_accuracy(jobs: Lifecycle) -> list[dict[str, Any]]:
    return sorted(jobs.reports, key=lambda report: -report["accuracy"])


def path(jobs: Lifecycle, name: str) -> str:
    return str(jobs.site.folder / name)


def run(report: dict[str, Any]) -> str:
    return f"https://w3id.org/sprov/id/run/{report['run']}"


def settings_of_features(_: Lifecycle) -> Rows:
    return {
        ("clean", "most_area", MOST_AREA),
        ("clean", "least_concavity", LEAST_CONCAVITY),
        ("split", "held_out", 0.2),
        ("split", "seed", 3),
        ("scale", "n_features", 20),
    }


def lineage_of_features(jobs: Lifecycle) -> Rows:
    made = [("clean.csv", "clean", "breast_cancer.csv")]
    for split in SPLITS:
        made.append((f"data/{split}.npy", "split", "clean.csv"))
        made.append(("data/train.npz", "scale", f"data/{split}.npy"))
    return {(path(jobs, end), plan, path(jobs, start)) for end, plan, start in made}


def deletable(jobs: Lifecycle) -> Rows:
    keep = {jobs.resumed["best_epoch"], jobs.resumed["epoch"]}
    return {(epoch, "same") for epoch in resumed_epochs(jobs) if epoch not in keep}


def used_and_made(jobs: Lifecycle) -> Rows:
    used = {("input", path(jobs, f"data/{split}.npz")) for split in SPLITS}
    used.add(("input", jobs.checkpoint(jobs.resumed, FIRST_EPOCHS - 1)))
    made = {("output", jobs.checkpoint(jobs.resumed, epoch)) for epoch in resumed_epochs(jobs)}
    return used | made


ANSWERS = {
    # Domain.
    "file-access": Answer("how plan", lambda _: {("wrote", "clean"), ("read", "split")}),
    "file-modifications": Answer("plan now", lambda _: {("clean", "same")}),
    "inputs-outputs": Answer("how path", used_and_made),
    "lineage-of-file": Answer("made plan source", lineage_of_features),
    "raw-files": Answer("path", lambda jobs: {(str(jobs.raw),)}),
    "runs-before-fix": Answer("run", nothing),
    "settings-of-file": Answer("plans name value", settings_of_features),
    "split-overlap": Answer("one other", nothing),
    # Learning, one training: the resumed one.
    "adaptations": Answer(
        "name step value ranks",
        lambda jobs: {
            ("learning_rate", step, rate, RANKS) for step, rate in jobs.rates(jobs.resumed).items()
        },
    ),
    "best-checkpoint": Answer(
        "step score path now",
        lambda jobs: {
            (
                jobs.resumed["best_epoch"],
                jobs.resumed["val_accuracy"],
                jobs.checkpoint(jobs.resumed, jobs.resumed["best_epoch"]),
                "same",
            )
        },
    ),
    "checkpoints": Answer(
        "step path",
        lambda jobs: {(n, jobs.checkpoint(jobs.resumed, n)) for n in resumed_epochs(jobs)},
    ),
    "deletable-checkpoints": Answer("step now", deletable),
    "early-stopping": Answer("planned last", lambda jobs: {(EPOCHS, jobs.resumed["epoch"])}),
    "epochs": Answer(
        "index ranks points", lambda jobs: {(n, RANKS, RANKS) for n in resumed_epochs(jobs)}
    ),
    "first-nan": Answer("name", nothing),
    "layers": Answer("name value", lambda _: {("n_hidden", 16), ("layers", "[20,16,1]")}),
    "resumes": Answer(
        "plan from_step from_run", lambda jobs: {("fit", FIRST_EPOCHS - 1, run(jobs.first))}
    ),
    "stage-attempts": Answer(
        "stage ranks state first last",
        lambda jobs: {("fit", RANKS, "completed", FIRST_EPOCHS, jobs.resumed["epoch"])},
    ),
    # Learning, several trainings.
    "adaptations-of-best": Answer("step value", lambda jobs: set(jobs.rates(jobs.other).items())),
    "best-and-worst": Answer(
        "which run score",
        lambda jobs: {
            (which, run(report), report["accuracy"])
            for which, report in zip(("best", "worst"), by_accuracy(jobs)[::2], strict=True)
        },
    ),
    "best-runs": Answer(
        "place run score",
        lambda jobs: {
            (place, run(report), report["accuracy"])
            for place, report in enumerate(by_accuracy(jobs), 1)
        },
    ),
    "initial-value": Answer("value score", lambda jobs: {(OTHER_RATE, jobs.other["accuracy"])}),
    "same-configuration": Answer("run", nothing),
    "settings-when": Answer("value run", lambda jobs: {(OTHER_SEED, run(jobs.other))}),
    "trials": Answer("run", nothing),
    # Execution.
    "attempts": Answer("restart ranks state", lambda _: {(0, RANKS, "completed")}),
    "deviations": Answer("deviation", nothing),
    "failures": Answer("error", nothing),
    "lost-time": Answer("run", nothing),
    "outcome": Answer(
        "state ranks ended_ranks failed_ranks lost", lambda _: {("completed", RANKS, RANKS, 0, 0)}
    ),
    "rank-times": Answer("rank", lambda _: {(rank,) for rank in range(RANKS)}),
    "run-time": Answer("restart ranks", lambda _: {(0, RANKS)}),
    "stage-times": Answer(
        "kind plan ranks",
        lambda _: {
            ("workflow", "learning", RANKS),
            ("training", "fit", RANKS),
            ("epoch", "epoch", RANKS),
            ("validation", "check", RANKS),
            ("evaluation", "test", 1),
        },
    ),
    "unfinished": Answer("run", nothing),
    # Online.
    "last-metrics": Answer(
        "name rank step",
        lambda jobs: {
            (name, rank, jobs.resumed["epoch"])
            for name in ("loss", "val_accuracy")
            for rank in range(RANKS)
        },
    ),
    "running": Answer("run", nothing),
}


@pytest.fixture(scope="module")
def engine(lifecycle: Lifecycle) -> Engine:
    found = find_engine(lifecycle.site.project)
    found.flush()
    return found


def plain(value: Any) -> Any:
    """Return a number as such, also where a query gives its text."""
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return value


def given(named: Named, jobs: Lifecycle) -> dict[str, str]:
    """Return the parameters: the resumed run, the other run, and what else the query needs."""
    runs = {"run": jobs.resumed["run"], "other": jobs.other["run"]}
    found = {each.name: runs[each.name] for each in named.parameters if each.name in runs}
    return found | GIVEN.get(named.name, {})


@pytest.mark.parametrize("name", list(catalog()))
def test_every_named_query_answers(name: str, lifecycle: Lifecycle, engine: Engine):
    columns, rows = ask(engine, catalog()[name], given(catalog()[name], lifecycle))
    assert len(columns) == len(set(columns)) > 0
    if name in ANSWERS:
        looked_at = ANSWERS[name].columns.split()
        found = {tuple(plain(row[column]) for column in looked_at) for row in rows}
        assert found == {tuple(map(plain, row)) for row in ANSWERS[name].of(lifecycle)}


def test_a_bad_raw_file_would_cost_every_accuracy(lifecycle: Lifecycle, engine: Engine):
    named = catalog()["affected-by-file"]
    _, rows = ask(engine, named, given(named, lifecycle))
    found = {(row["run"], plain(row["value"])) for row in rows if row["name"] == "accuracy"}
    assert found == {(run(report), report["accuracy"]) for report in lifecycle.reports}


def test_what_differs_between_two_trainings_is_what_was_changed(
    lifecycle: Lifecycle, engine: Engine
):
    named = catalog()["run-differences"]
    _, rows = ask(engine, named, given(named, lifecycle))
    found = {row["name"]: (row["run_has"], row["other_has"]) for row in rows}
    assert found["fit.seed"] == ("11", str(OTHER_SEED))
    assert found["test.accuracy"] == (
        str(lifecycle.resumed["accuracy"]),
        str(lifecycle.other["accuracy"]),
    )
    assert not {"fit.batch_size", "fit.n_hidden", "fit.patience"} & found.keys()
