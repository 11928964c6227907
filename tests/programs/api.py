"""Every call that training loops need, once or more; what they say is known to the tests."""

import math
import os
from pathlib import Path

import pllib

Path("raw").mkdir()
for nth in range(3):
    Path("raw", f"{nth}.csv").write_text("1,2\n" * 500)
pllib.declare(
    {
        "study": "digits",
        "experiment": "mlp",
        "schemas": [{"name": "table", "fields": {"x": "double"}}],
        "workflow": "mlp",
        "stages": [
            {
                "kind": "training",
                "name": "fit",
                "hyperparameters": {"lr": {"type": "double", "required": True}},
                "generated": {"checkpoint": {"type": "model", "schema": "table"}},
            }
        ],
    }
)
config = {"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "seed": 7}
resume = os.environ.get("RESUME")
with pllib.open(study="digits", experiment="mlp", config=config, resume_from=resume) as session:
    data = pllib.Dataset(
        "digits", version="1", split="train", files=["raw/0.csv", "raw/1.csv"], n=9
    )
    pixels = pllib.FeatureSet("pixels", ["p0", "p1"], version="1")
    with session.transformation("prepare", used={"raw": pllib.Directory("raw")}) as prepare:
        prepare.generated(data=data, pixels=pixels)
    with session.stage(
        "training",
        "fit",
        hyperparameters={"lr": 0.1},
        model_hyperparameters={"layers": 2},
        used={"data": data, "row": pllib.Ref("db:runs", 4242)},
        task="classification",
        algorithm="SGD",
    ) as training:
        for epoch in training.sections("epoch", 4):
            rate = 0.1 if epoch.index < 2 else 0.01
            epoch.hyperparameter("lr", rate)
            for batch in range(5):
                loss = math.nan if (epoch.index, batch) == (1, 1) else 1 / (1 + epoch.index + batch)
                epoch.metric("loss", loss, step=5 * epoch.index + batch)
            session.metric("epoch time", 0.5 + epoch.index, unit="s")
            Path("model.pt").write_text(f"{epoch.index}" * 2000)
            score = {"accuracy": 0.5 + 0.1 * epoch.index, "f1": 0.25}
            epoch.checkpoint("model.pt", metric=score, best=epoch.index == 2)
    with session.trial("a", {"lr": 0.5}) as trial, trial.stage("training", "short"):
        pllib.current().metric("loss", 3.0)
    with session.trial("b", {"lr": 0.25}):
        pass
