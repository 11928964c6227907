"""Record NaN and infinities wherever a number may stand, and a file; the run fails."""

import math
from pathlib import Path

import pllib

NUMBERS = {"nan": math.nan, "most": math.inf, "least": -math.inf}


def main() -> None:
    out = Path("out.txt")
    out.write_text("made")
    with pllib.open(study="numbers", experiment="not finite", config=NUMBERS) as session:
        with session.stage("training", "fit", hyperparameters=NUMBERS) as training:
            for epoch in training.sections("epoch", 3):
                epoch.metric("loss", [1.0, math.nan, math.inf][epoch.index])
                epoch.generated(accuracy=math.nan, gain=-math.inf)
            training.generated(model=pllib.Model("out.txt", **NUMBERS))
        with session.stage("evaluation", "test", used={"model": pllib.Model("out.txt")}) as test:
            test.generated(NUMBERS)


if __name__ == "__main__":
    main()
