"""Record COUNT points of each of two series, `loss` and `gain`, in one stage; `loss` has a NaN.

points.py COUNT [--no-steps]
"""

import math
import sys

import pllib


def main() -> None:
    with (
        pllib.open(study="points", experiment="count") as session,
        session.stage("training", "fit") as stage,
    ):
        for step in range(int(sys.argv[1])):
            told = None if "--no-steps" in sys.argv else step
            stage.metric("loss", math.nan if step == 3 else step / 2, step=told, unit="nats")
            stage.metric("gain", -math.inf if step == 4 else step * step, step=told)


if __name__ == "__main__":
    main()
