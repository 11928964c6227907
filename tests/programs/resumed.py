"""A training of one task that a requeue interrupts, or the same as it goes on from its checkpoint.

Steps 6 to 10 are done by both attempts; step 12 is logged twice by the second one.
"""

import os

import pllib

again = os.environ["SLURM_RESTART_COUNT"] == "1"
rank = int(os.environ["SLURM_PROCID"])
with pllib.open(study="requeued") as session, session.stage("training", "fit") as fit:
    for step in range(6, 13) if again else range(11):
        fit.metric("loss", 100 * again + 10 * rank + step, step=step)
    if again:
        fit.metric("loss", 900 + 10 * rank, step=12)
    fit.metric("seconds", 2.0 + again)
