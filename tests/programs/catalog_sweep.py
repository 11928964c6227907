"""A sweep of three trials in one process; the last one fails."""

import contextlib

from catalog_diary import Diary

import pllib

TRIALS = {"small": (0.5, 0.61), "large": (0.25, 0.66), "wild": (100.0, None)}

with (
    pllib.open(study="sweep", experiment="mlp", name="sweep") as session,
    Diary(session, name="sweep") as diary,
):
    for name, (rate, accuracy) in TRIALS.items():
        told = {"trial": name, "lr": rate, "accuracy": accuracy}
        diary.add("trials", told)
        trial = session.trial(name, {"lr": rate, "momentum": 0.9})
        with contextlib.suppress(OverflowError), diary.span("trial", name, trial):
            with session.stage("training", "fit") as training:
                for epoch in training.sections("epoch", 2):
                    epoch.metric("loss", 1 / (epoch.index + 1))
                if accuracy is None:
                    raise OverflowError("the loss is infinite")
            with session.stage("validation", "check") as check:
                check.generated(accuracy=accuracy)
