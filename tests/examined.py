"""What `sprov slurm doctor` finds, by check."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict

from harness import SCRIPT, TIMEOUT_S, Site

Found = dict[str, list[dict[str, str]]]


def examine(site: Site, *options: str, status: int = 0, **extra: str) -> Found:
    done = subprocess.run(
        [SCRIPT, "slurm", "doctor", "--format", "json", *options],
        cwd=site.folder,
        env=site.environment(**extra),
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    found: Found = defaultdict(list)
    for finding in json.loads(done.stdout):
        found[finding["check"]].append(finding)
    return dict(found)


def statuses(found: Found, *checks: str) -> set[str]:
    return {finding["status"] for check in checks for finding in found[check]}
