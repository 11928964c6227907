"""Capture transformations, stages and metrics until killed or told to end, and tell by a second way
which calls returned.

    counted.py LEDGER FIRST STOP

LEDGER: a file that gets one byte as soon as a call has returned: T for a transformation, whose `n`
counts from FIRST, M for a point of `loss`, whose step counts from FIRST, B and E for the begin and
end of a stage, and C when all is closed.
STOP: end in order once this file exists.

With DIES_AT_UNLINK in the environment it is killed by SIGKILL when all is over but that its spool
is to go.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pllib

STAGE_STEPS = 40


def die_at_unlink(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.remove" and str(arguments[0]).endswith(".spool"):
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    ledger, first, stop = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    n = points = first
    if os.environ.get("DIES_AT_UNLINK"):
        sys.addaudithook(die_at_unlink)
    with pllib.open(study="kills", experiment="counted", name=ledger.stem) as session:
        while not stop.exists():
            stage = session.stage("training", f"fit-{n}")
            stage.__enter__()
            os.write(fd, b"B")
            for _ in range(STAGE_STEPS):
                with session.transformation("step", used={"n": n, "half": n / 2}) as step:
                    step.generated(square=float(n) * n, cube=float(n) ** 3)
                os.write(fd, b"T")
                n += 1
                if n % 4 == 0:
                    stage.metric("loss", 1.0 / n, step=points)
                    os.write(fd, b"M")
                    points += 1
                time.sleep(0.002)  # a loop has other work to do, and this machine other processes
            stage.__exit__(None, None, None)
            os.write(fd, b"E")
    os.write(fd, b"C")


if __name__ == "__main__":
    main()
