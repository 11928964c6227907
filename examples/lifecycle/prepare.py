"""Prepare the clean table for learning: split it, then choose and scale features.

    python prepare.py clean.csv data/

Makes ``data/train.npz``, ``validation.npz`` and ``test.npz``.  Features are chosen and scaled by
the training split alone, so that nothing of the other two leaks into them.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import pllib

SPLITS = ("train", "validation", "test")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("clean", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--held-out", type=float, default=0.2, help="share of each other split")
    parser.add_argument("--n-features", type=int, default=20)
    parser.add_argument("--seed", type=int, default=3)
    return parser.parse_args()


def split(config: argparse.Namespace, paths: dict[str, Path]) -> None:
    """Shuffle the rows, and write those of each split."""
    table = np.loadtxt(config.clean, delimiter=",", skiprows=1)
    order = np.random.default_rng(config.seed).permutation(len(table))
    n_held_out = int(len(table) * config.held_out)
    cuts = [len(table) - 2 * n_held_out, len(table) - n_held_out]
    for path, rows in zip(paths.values(), np.split(table[order], cuts), strict=True):
        np.save(path, rows)


def choose(train: Any, n_features: int) -> Any:
    """Return the indices of the columns that go most with the diagnosis, the last column."""
    correlation = np.corrcoef(train, rowvar=False)[-1, :-1]
    return np.sort(np.argsort(-np.abs(correlation))[:n_features])


def extract(config: argparse.Namespace, paths: dict[str, Path]) -> dict[str, Any]:
    """Write the features of each split; return the feature set and the data sets."""
    tables = {name: np.load(path) for name, path in paths.items()}
    chosen = choose(tables["train"], config.n_features)
    known = tables["train"][:, chosen]
    columns = config.clean.read_text().split("\n", 1)[0].strip().split(",")
    made: dict[str, Any] = {
        "features": pllib.FeatureSet("cell features", [columns[index] for index in chosen])
    }
    for name, table in tables.items():
        path = config.folder / f"{name}.npz"
        x, y = (table[:, chosen] - known.mean(axis=0)) / known.std(axis=0), table[:, -1:]
        np.savez(path, x=x.astype("float32"), y=y.astype("float32"))
        made[name] = pllib.Dataset(
            "cells", version="1", split=name, files=[path],
            n_rows=len(y), n_features=len(chosen), benign_share=float(y.mean()),
        )  # fmt: skip
    return made


def main(config: argparse.Namespace) -> None:
    config.folder.mkdir(exist_ok=True)
    paths = {name: config.folder / f"{name}.npy" for name in SPLITS}
    with pllib.open(study="cells", experiment="malignancy", workflow="preparation") as session:
        settings = {"held_out": config.held_out, "seed": config.seed}
        with session.transformation(
            "split", used={"clean": pllib.File(config.clean), **settings}
        ) as splitting:
            split(config, paths)
            splitting.generated({name: pllib.File(path) for name, path in paths.items()})
        used = {name: pllib.File(path) for name, path in paths.items()}
        with session.stage(
            "feature_extraction", "scale", used={"n_features": config.n_features, **used}
        ) as scaling:
            scaling.generated(extract(config, paths))


if __name__ == "__main__":
    main(arguments())
