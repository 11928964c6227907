"""Train for a while, tell when the last call returned, and wait to be killed.

hanging.py [EXIT]: leave by `os._exit` with that status instead.
"""

import os
import signal
import sys
import time

import pllib

with (
    pllib.open(study="hanging") as session,
    session.stage("training", "fit") as fit,
    fit.section("epoch", 0) as epoch,
):
    for step in range(20):
        epoch.metric("loss", 1.0 / (step + 1), step=step)
    print(time.time_ns(), flush=True)
    if len(sys.argv) > 1:
        os._exit(int(sys.argv[1]))
    signal.pause()
