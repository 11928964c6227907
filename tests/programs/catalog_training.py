"""A training and its evaluation, as each rank does them; every figure is an option or made up.

catalog_training.py '{"name": "plain", "lr": 0.1, ...}'
"""

import json
import math
import signal
import sys
import time
from pathlib import Path

from catalog_diary import Diary, file

import pllib

DEFAULTS = {
    "lr": 0.1, "dropout": 0.4, "filter": "gauss", "seed": 1, "epochs": 3, "accuracy": 0.5,
    "best": 1, "first": 0, "stop_after": None, "fail_in": None, "nan_in": None, "slow_in": None,
    "adapt": {}, "resume": None, "restart": 0, "hang_in": None, "facts": {}, "study": "digits",
}  # fmt: skip


def loss_of(epoch: int, rank: int) -> float:
    return 1 / (epoch + 1) + rank / 8


def work(seconds: float) -> None:
    """Be busy for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class Training:
    def __init__(self, options: dict, session: pllib.Session, diary: Diary) -> None:
        self.options, self.session, self.diary = options, session, diary
        self.rank = session.rank
        self.folder = Path("models", options["name"])
        self.folder.mkdir(parents=True, exist_ok=True)

    def data(self, split: str, paths: list[str]) -> pllib.Dataset:
        self.diary.add("data", {"split": split, "files": [file(path) for path in paths]})
        return pllib.Dataset("digits", version="1", split=split, files=paths)

    def fit(self) -> None:
        given = self.options
        stage = self.session.stage(
            "training",
            "fit",
            hyperparameters={name: given[name] for name in ("lr", "dropout", "filter")},
            model_hyperparameters={"layers": [64, 10]},
            used={"data": self.data("train", ["clean/a.npz", "clean/b.npz"])},
        )
        with self.diary.span("training", "fit", stage) as training:
            if given["resume"]:
                training.resumed_from(given["resume"])
            for epoch in range(given["first"], given["epochs"]):
                span = self.diary.span("epoch", "epoch", training.section("epoch", epoch), epoch)
                with span as section:
                    self.epoch(epoch, section)
                if epoch == given["stop_after"]:
                    break

    def epoch(self, epoch: int, section: pllib.Stage) -> None:
        given = self.options
        if str(epoch) in given["adapt"]:
            section.hyperparameter("lr", given["adapt"][str(epoch)])
        work(0.3 if [epoch, self.rank] == given["slow_in"] else 0.01)
        bad = [epoch, self.rank] == given["nan_in"]
        section.metric("loss", 9.0)  # what is said last counts
        section.metric("loss", math.nan if bad else loss_of(epoch, self.rank))
        section.metric("gpu_memory", 100.0 * (epoch + 1) + self.rank, unit="MiB")
        section.metric("rss_memory", 10.0 * (epoch + 1) + self.rank, unit="MiB")
        section.metric("energy", 5.0 * epoch, unit="J")
        if epoch == given["fail_in"]:
            raise RuntimeError(f"rank {self.rank} ran out of luck")
        if self.rank == 0:
            path = self.folder / f"epoch-{epoch}.pt"
            path.write_text(f"{given['name']} {epoch}\n" * 200)
            best = epoch == given["best"]
            section.checkpoint(path, metric=epoch / 8, best=best)
            self.diary.add(
                "checkpoints", {**file(path), "step": epoch, "best": best, "score": epoch / 8}
            )
        if epoch == given["hang_in"]:
            self.diary.write()
            signal.pause()

    def evaluate(self) -> None:
        model = self.folder / f"epoch-{self.options['best']}.pt"
        stage = self.session.stage(
            "evaluation",
            "test",
            only_rank=0,
            used={
                "model": pllib.Model(model),
                "data": self.data("test", ["copies/c.npz", "clean/b.npz", "copies/a.npz"]),
            },
        )
        with self.diary.span("evaluation", "test", stage) as test:
            test.generated(accuracy=self.options["accuracy"], precision=math.nan)


def main() -> None:
    options = {**DEFAULTS, **json.loads(sys.argv[1])}
    config = {"seed": options["seed"], "epochs": options["epochs"]}
    with (
        pllib.open(
            study=options["study"], experiment="mlp", name=options["name"], config=config,
            facts=options["facts"],
        ) as session,
        Diary(session, **options) as diary,
    ):  # fmt: skip
        training = Training(options, session, diary)
        training.fit()
        if session.rank == 0:
            training.evaluate()


if __name__ == "__main__":
    main()
