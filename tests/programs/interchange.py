"""A configured run: a file is curated, a model trained in two epochs and tested, a check fails."""

import contextlib
from pathlib import Path

import pllib

Path("raw.csv").write_text("1,2\n" * 500)
Path("config.yaml").write_text("lr: 0.1\n" * 300)
with pllib.open(
    study="digits", experiment="mlp", config={"seed": 7}, facts={"max_rss": "123456"}, tags=("a",)
) as session:
    with session.transformation(
        "curate", used={"raw": pllib.File("raw.csv"), "config": pllib.File("config.yaml")}
    ) as curate:
        Path("clean.csv").write_text("1,2\n" * 400)
        curate.generated(clean=pllib.File("clean.csv"), dropped=100)
    with session.stage(
        "training", "fit", hyperparameters={"lr": 0.1}, used={"clean": pllib.File("clean.csv")}
    ) as training:
        for epoch in training.sections("epoch", 2):
            epoch.metric("loss", 1.0 / (1 + epoch.index))
            epoch.metric("memory", 1.5e9 + epoch.index, unit="B")
            epoch.generated(val_accuracy=0.5 + epoch.index / 10)
        Path("model.pt").write_text("weights" * 500)
        training.generated(model=pllib.Model("model.pt", layers=[64, 10]))
    with session.stage("evaluation", "test", used={"model": pllib.Model("model.pt")}) as test:
        test.generated(accuracy=0.97)
    with contextlib.suppress(ValueError), session.transformation("check"):
        raise ValueError("accuracy is too low")
