"""A file is curated, a model is trained from it, and a check fails."""

import contextlib
from pathlib import Path

import pllib

Path("raw.csv").write_text("1,2\n" * 500)
with pllib.open(study="digits", experiment="lifecycle") as session:
    with session.transformation("curate", used={"raw": pllib.File("raw.csv")}) as curate:
        Path("clean.csv").write_text("1,2\n" * 400)
        curate.generated(clean=pllib.File("clean.csv"), dropped=100)
    with session.stage(
        "training", "fit", hyperparameters={"lr": 0.1}, used={"clean": pllib.File("clean.csv")}
    ) as training:
        for epoch in training.sections("epoch", 2):
            Path("model.pt").write_text(f"{epoch.index}" * 2000)
            epoch.generated(model=pllib.Model("model.pt", epoch=epoch.index))
    with contextlib.suppress(ValueError), session.transformation("check"):
        raise ValueError("accuracy is too low")
