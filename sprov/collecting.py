"""Every node's spools, by one job step a component of the job."""

from __future__ import annotations

import os
import subprocess
import time

from pllib import launch
from pllib.errors import Error
from pllib.project import Project
from slurm import commands, nodes, placement, steps
from slurm.collect import Collected, parse

TIMEOUT_S = 30.0
"""For all nodes; a node that is down is noticed by srun after MessageTimeout, 10 s by default."""
LOOK_UP_S = 5.0


class Collecting:
    """`sprov slurm collect` on the job's nodes but this one, from now until `finish`."""

    def __init__(self, project: Project, *, offline: bool) -> None:
        """Start.

        Args:
            offline: No tracker answers.
        """
        self.found: list[Collected] = []
        self.trouble: list[str] = []
        self._project = project
        self._program = [launch.console_script(), "slurm", "collect"]
        if offline:
            self._program.append("--offline")
        here = placement.this_node(os.environ)
        groups = placement.components(os.environ)
        self._asked = [[name for name in group if name != here] for group in groups]
        self._is_het = len(groups) > 1
        self._started = [self._start(nth, group) for nth, group in enumerate(self._asked) if group]

    def _start(self, nth: int, group: list[str]) -> subprocess.Popen[str] | None:
        environment = {**os.environ, "SPROV_DIR": str(self._project.root)}
        try:
            return subprocess.Popen(
                steps.command(group, nth if self._is_het else None, self._program),
                env=steps.environment(environment), cwd="/", text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except (Error, OSError) as exc:
            self.trouble.append(str(exc))
            return None

    def finish(self) -> None:
        """Wait for the nodes, some time; those that left the job are not waited for again."""
        deadline = time.monotonic() + TIMEOUT_S
        reasons = self._wait(self._started, deadline)
        if self.silent and not self.found and (left := self._left()):
            again = [self._start(nth, group) for nth, group in enumerate(left) if group]
            reasons += self._wait(again, deadline)
        if silent := self.silent:
            reason = f": {reasons[0]}" if reasons else ""
            self.trouble.append(
                f"{nodes.fold(silent)} did not answer{reason}; what ranks left there is taken by "
                "`sprov ingest` on that node, or by the next job"
            )

    @property
    def silent(self) -> list[str]:
        """Nodes that did not answer."""
        answered = {found.node for found in self.found}
        return [node for group in self._asked for node in group if node not in answered]

    def _wait(self, started: list[subprocess.Popen[str] | None], deadline: float) -> list[str]:
        """Read what the steps print; return why some failed."""
        reasons: list[str] = []
        for process in started:
            if process is None:
                continue
            try:
                said, wrong = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()  # the step itself ends when it is done
                said, wrong = process.communicate()
                reasons.append(f"no answer within {TIMEOUT_S:g} s")
            self.found += parse(said)
            if process.returncode:
                reasons.append(steps.reason(wrong) or f"srun ended with {process.returncode}")
        return reasons

    def _left(self) -> list[list[str]]:
        """Return the nodes that the job still has, if they are fewer: some may have failed."""
        job = placement.job_id(os.environ)
        try:
            said = commands.call("squeue", "-h", "-j", job, "-o", "%N", timeout_s=LOOK_UP_S)
            has = {name for line in said.split() for name in nodes.expand(line)}
        except Error:
            return []
        left = [[node for node in group if node in has] for group in self._asked]
        return left if left != self._asked else []
