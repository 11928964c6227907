"""A training with two epochs, as each rank of it does it."""

import sys

import pllib

with pllib.open(study="digits", experiment="mlp") as session:
    settings = {"lr": 1e-3, "layers": [64, 10]}
    with session.stage("training", "fit", hyperparameters=settings) as training:
        for epoch in training.sections("epoch", 2):
            epoch.metric("loss", 1.0 / (epoch.index + 1))
            with session.stage("validation", "check") as validation:
                validation.generated(accuracy=0.5 + epoch.index / 10)
    if "--fail" in sys.argv:
        with session.transformation("divide", used={"by": 0}):
            raise ZeroDivisionError("by zero")
