"""Answers about data, from the diaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .asked import Asked, Rows, answers
from .study import Study

TRAIN, TEST = ("a", "b"), ("a", "b", "c")
"""Raw files behind the files of the splits."""
SIDE_FILES = ("curation.toml", "requirements.txt")


def raw_of(study: Study, names: tuple[str, ...]) -> list[str]:
    return [study.path(f"raw/{name}.csv") for name in names]


def trained(study: Study) -> list[dict[str, Any]]:
    """Return the diary of rank 0 of each run that trained, its last attempt."""
    return [group[-2] for group in study.trainings()]


@answers("raw-files")
def raw_files(study: Study) -> Iterator[Asked]:
    side = [study.path(name) for name in SIDE_FILES]
    yield Asked(
        {"model": "models/adapted/epoch-2.pt"},
        [{"path": path} for path in raw_of(study, TRAIN) + side],
    )
    copied = [study.path("raw/a.csv"), *side]
    yield Asked({"model": "copies/a.npz"}, [{"path": path} for path in copied])


@answers("settings-of-file")
def settings_of_file(study: Study) -> Iterator[Asked]:
    run = study.one("adapted")
    fit = {name: run[name] for name in ("lr", "dropout", "filter")}
    told = {**fit, "threshold": 0.5, "layers": "[64,10]", "seed": run["seed"], "epochs": 6}
    found = {(name, str(value)) for name, value in told.items()} | {("lr", str(run["adapt"]["2"]))}
    yield Asked(
        {"file": "models/adapted/epoch-2.pt"},
        [{"name": name, "value": value} for name, value in sorted(found)],
    )


def _checkpoints(study: Study) -> Rows:
    return [
        {"what": "model", "name": made["path"], "run": run["run"]}
        for run in study.diaries
        for made in run.get("checkpoints", [])
    ]


@answers("affected-by-file")
def affected_by_file(study: Study) -> Iterator[Asked]:
    curated = [{"what": "file", "name": study.path("clean/a.npz"), "run": study.iri("curate")}]
    done = [run for run in trained(study) if _evaluated(run)]
    evaluations = [
        {"what": "evaluation", "name": name, "value": value, "run": run["run"]}
        for run in done
        for name, value in (("accuracy", str(run["accuracy"])), ("precision", "nan"))
    ]
    yield Asked({"file": "raw/a.csv"}, curated + _checkpoints(study) + evaluations)


def _evaluated(run: dict[str, Any]) -> bool:
    return any(span["kind"] == "evaluation" for span in run["spans"])


@answers("file-access")
def file_access(study: Study) -> Iterator[Asked]:
    yield Asked(
        {"path": "raw/b.csv"},
        [
            {"how": "read", "plan": "clean", "run": study.iri("curate"), "rank": 0},
            {"how": "wrote", "plan": "repair", "run": study.iri("fix"), "rank": 0},
        ],
    )
    epoch = study.path("models/plain/epoch-1.pt")
    wrote = [run for run in study.of("plain") if run["rank"] == 0]
    yield Asked(
        {"path": epoch},
        [
            {"how": how, "plan": plan, "run": wrote[0]["run"], "rank": 0}
            for how, plan in (("wrote", "epoch"), ("read", "test"))
        ],
    )


@answers("file-modifications")
def file_modifications(study: Study) -> Iterator[Asked]:
    fixed = study.one("fix")["fixed"][0]
    cleaned = study.one("curate")["cleaned"][1]
    yield Asked(
        {"path": "raw/b.csv"},
        [
            {"size": cleaned["raw"]["size"], "plan": None, "now": "changed"},
            {"size": fixed["size"], "plan": "repair", "run": study.iri("fix"), "now": "same"},
        ],
    )


@answers("runs-before-fix")
def runs_before_fix(study: Study) -> Iterator[Asked]:
    direct = [{"name": "curate", "used": study.path("raw/b.csv")}]
    indirect = [{"name": run["name"], "used": study.path("clean/b.npz")} for run in trained(study)]
    models = [
        {"name": run["name"], "used": study.path(f"models/{run['name']}/epoch-{run['best']}.pt")}
        for run in trained(study)
        if _evaluated(run)
    ]
    resumed = [
        {"name": run["name"], "used": study.path(run["resume"])}
        for run in trained(study)
        if run["resume"]
    ]
    yield Asked({"path": "raw/b.csv"}, direct + indirect + models + resumed)


@answers("split-overlap")
def split_overlap(study: Study) -> Iterator[Asked]:
    both, copy = study.path("clean/b.npz"), study.path("copies/a.npz")
    yield Asked(
        {"run": "plain"},
        [
            {"one": "test", "other": "train", "by": "file", "path": both, "other_path": both},
            {"by": "content", "path": copy, "other_path": study.path("clean/a.npz")},
        ],
    )
    yield Asked({"run": "hung"}, [])


def _made_of(study: Study, name: str) -> Rows:
    sources = [study.path(f"raw/{name}.csv"), *map(study.path, SIDE_FILES)]
    made = study.path(f"clean/{name}.npz")
    return [{"made": made, "plan": "clean", "source": source} for source in sources]


@answers("lineage-of-file")
def lineage_of_file(study: Study) -> Iterator[Asked]:
    yield Asked({"file": "copies/c.npz"}, _made_of(study, "c"))
    model = study.path("models/seed2/epoch-0.pt")
    data = [
        {"made": model, "plan": "epoch", "source": study.path(f"clean/{name}.npz")}
        for name in TRAIN
    ]
    curated = [row for name in TRAIN for row in _made_of(study, name)]
    yield Asked({"file": "models/seed2/epoch-0.pt"}, data + curated)


@answers("lineage-of-dataset")
def lineage_of_dataset(study: Study) -> Iterator[Asked]:
    rows = [
        {"version": "1", "split": split, **row}
        for split, names in (("train", TRAIN), ("test", TEST))
        for name in names
        for row in _made_of(study, name)
    ]
    yield Asked({"dataset": "digits"}, rows)
    yield Asked({"dataset": "digits", "version": "2"}, [])


@answers("lineage-of-attribute")
def lineage_of_attribute(study: Study) -> Iterator[Asked]:
    read = {
        "model": ["models/plain/epoch-1.pt"],
        "data": ["clean/b.npz", "copies/a.npz", "copies/c.npz"],
    }
    inputs = [(role, study.path(path)) for role, paths in read.items() for path in paths]
    inputs += [("seed", "1"), ("epochs", "3")]
    yield Asked(
        {"attribute": "accuracy", "run": "plain"},
        [{"plan": "test", "value": "0.8", "input": role, "from": path} for role, path in inputs],
    )


@answers("inputs-outputs")
def inputs_outputs(study: Study) -> Iterator[Asked]:
    run = study.one("plain")
    used = [data for told in study.of("plain") for data in told["data"]]
    data = {each["path"] for one in used for each in one["files"]}
    inputs = [{"how": "input", "role": "data", "path": path} for path in sorted(data)]
    outputs = [
        {"how": "output", "role": "checkpoint", "path": made["path"]} for made in run["checkpoints"]
    ]
    yield Asked({"run": "plain"}, inputs + outputs)


@answers("config-files")
def config_files(study: Study) -> Iterator[Asked]:
    path = study.path("curation.toml")
    yield Asked({"run": "curate"}, [{"role": "config", "path": path, "now": "same"}])
    yield Asked({"run": "plain"}, [])


@answers("shared-data")
def shared_data(study: Study) -> Iterator[Asked]:
    trainers = sorted(run["name"] for run in trained(study))
    testers = sorted(run["name"] for run in trained(study) if _evaluated(run))
    rows = [("clean/a.npz", "version", trainers), ("clean/b.npz", "version", trainers)]
    rows += [(f"copies/{name}.npz", "version", testers) for name in ("a", "c")]
    shared = [
        {"path": study.path(path), "how": how, "runs": len(names), "names": ", ".join(names)}
        for path, how, names in rows
    ]
    twins = ", ".join([study.path("clean/a.npz"), study.path("copies/a.npz")])
    content = {"path": twins, "how": "content", "runs": len(trainers)}
    yield Asked({"study": "digits"}, [*shared, content])
