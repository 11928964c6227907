"""Runs that are compared by series and checkpoints, and one that is killed as it measures.

measured.py LOSSES, which is JSON: a list for each run.
"""

import json
import os
import signal
import sys
from pathlib import Path

import pllib

for nth, losses in enumerate(json.loads(sys.argv[1])):
    lr, folder = 0.1 * (nth + 1), Path(f"out-{nth}")
    folder.mkdir()
    with pllib.open(study="measured", name=f"run{nth}", config={"seed": 1}) as session:
        settings = {"lr": lr if nth < 2 else 0.1, "out": str(folder)}
        with session.stage("training", "fit", hyperparameters=settings) as training:
            for epoch in training.sections("epoch", len(losses)):
                epoch.metric("loss", losses[epoch.index])
                path = folder / "model.pt"
                path.write_text(f"{nth} {epoch.index}")
                training.checkpoint(path, step=epoch.index, metric=1 - losses[epoch.index])
with pllib.open(study="swept", name="sweep") as session:
    for rate in (0.1, 0.2):
        with session.trial(f"lr={rate}", {"lr": rate}) as trial:
            for epoch in trial.sections("epoch", 3):
                epoch.metric("loss", rate * (3 - epoch.index))
session = pllib.open(study="killed", name="killed")
training = session.stage("training", "fit").__enter__()
for step, loss in enumerate((3.0, 0.25, 0.75)):
    training.metric("loss", loss, step=step)
os.kill(os.getpid(), signal.SIGKILL)
