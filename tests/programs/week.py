"""Record EXECUTIONS transformations and POINTS points of two series, as fast as it goes.

    week.py EXECUTIONS POINTS

All of it in one session, and in stages of 5,000 transformations.
"""

import sys

import pllib

STAGE = 5_000


def main() -> None:
    executions, points = int(sys.argv[1]), int(sys.argv[2])
    told = 0
    with pllib.open(study="week", experiment="long") as session:
        for first in range(0, executions, STAGE):
            last = min(first + STAGE, executions)
            with session.stage("training", f"part-{first // STAGE}") as stage:
                for n in range(first, last):
                    with session.transformation("step", used={"n": n, "rate": 0.5}) as step:
                        step.generated(loss=1.0 / (n + 1))
                    until = points * (n + 1) // executions
                    for step_n in range(told, until, 2):
                        stage.metric("loss", 1.0 / (step_n + 1), step=step_n)
                        stage.metric("gain", float(step_n), step=step_n)
                    told += (until - told + 1) // 2 * 2
    print(told)


if __name__ == "__main__":
    main()
