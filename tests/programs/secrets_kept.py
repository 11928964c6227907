"""Captures secrets wherever a user could let one slip: ``secrets_kept.py SECRETS_FILE [--die]``.

The file maps names to secrets.  With ``--die`` it kills itself with its last frame unsealed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pllib


def capture(secret: dict[str, str]) -> None:
    with pllib.open(
        study=f"digits token={secret['study']}",
        name="leaky",
        tags=(f"password={secret['tag']}", "plain"),
        facts={"endpoint": f"https://bob:{secret['fact']}@host/", "api_key": secret["fact_name"]},
        config={
            "lr": 0.1,
            "db": {"password": secret["setting"]},
            "hub": {"token": secret["config"]},
            "argv": ["--password", secret["argv"]],
            "pin": int(secret["pin"]),
        },
    ) as session:
        with session.stage(
            "training",
            "fit",
            hyperparameters={"token": secret["stage"]},
            model_hyperparameters={"token": secret["model"]},
        ) as fit:
            fit.hyperparameter("token", secret["adapted"])
            with fit.trial("t", {"token": secret["trial"]}):
                pass
            Path(f"token={secret['path']}").write_text("x")
            fit.used(url=f"s3://k:{secret['url']}@bucket/x", api_key=secret["value"], n_tokens=512)
            fit.used(nested={"a": [{"secret": secret["nested"], "n": 1}]}, aws=secret["aws"])
            fit.used(data=pllib.File(f"token={secret['path']}"))
            fit.generated(loss=0.5, note=f"see Bearer {secret['bearer']}")
            with contextlib.suppress(ValueError), session.transformation("clean"):
                raise ValueError(f"no login with password={secret['error']}")
        if "--die" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    capture(json.loads(Path(sys.argv[1]).read_text()))
