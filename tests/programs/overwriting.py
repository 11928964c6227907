"""A training that writes its checkpoint to one path in each of three epochs."""

from pathlib import Path

import pllib

with (
    pllib.open(study="files", workflow="overwriting") as session,
    session.stage("training", "fit") as training,
):
    for epoch in training.sections("epoch", 3):
        Path("last.pt").write_text(f"{epoch.index}" * 2000)
        epoch.generated(checkpoint=pllib.Model("last.pt"))
