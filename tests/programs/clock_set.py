"""Two epochs, between which the wall clock is set by so many seconds.

clock_set.py SECONDS: needs tests/faults/shim/clock.c preloaded.
"""

import os
import sys
import time
from pathlib import Path

import pllib

with pllib.open(study="clock") as session, session.stage("training", "fit") as fit:
    for epoch in fit.sections("epoch", 2):
        with epoch.transformation("step") as step:
            epoch.metric("loss", float(epoch.index), step=epoch.index)
            if epoch.index == 0:
                before = time.time()
                Path(os.environ["SHIM_CLOCK"]).write_text(sys.argv[1])
                assert abs(time.time() - before - float(sys.argv[1])) < 60
            step.generated(done=True)
