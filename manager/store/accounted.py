"""How Slurm says that steps and jobs ended, and the words for how anything ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pllib.moments import moment

Select = Callable[[str], list[dict[str, str]]]
"""Answers a SELECT query: a row for each solution, variable to text."""

STATES = (
    "out_of_memory", "node_failure", "preempted", "timed_out", "cancelled", "failed", "killed",
    "unfinished", "running", "completed",
)  # fmt: skip
"""What tells most of a whole first: of its parts' states, the first is its own."""
OPEN = ("unfinished", "running")
CAUSES = STATES[:5]
"""Words of Slurm's that say more than that a rank failed or was killed."""

MOST_APART_S = 31.0
"""Between the ends of a step and of its job, if they have one cause: the KillWait that
slurm.conf(5) has by default, and what is lost to whole seconds."""

_UNITS = """
SELECT ?attempt ?unit ?kind ?whole WHERE {{
  {values} ?attempt provml:isPartOf ?run ; a sprov:Attempt ; provml:isPartOf ?unit .
  VALUES ?kind {{ sprov:Job sprov:JobStep }} ?unit a ?kind .
  OPTIONAL {{ ?unit provml:isPartOf ?whole }}
}}
"""

_ENDS = """
SELECT ?unit ?restart ?outcome ?exit ?signal ?finished WHERE {{
  {values} ?account sprov:accountOf ?unit ; sprov:restart ?restart ; sprov:outcome ?outcome .
  OPTIONAL {{ ?account sprov:exitStatus ?exit }}
  OPTIONAL {{ ?account sprov:signal ?signal }}
  OPTIONAL {{ ?account sprov:finished ?finished }}
}}
"""


@dataclass
class End:
    """How somebody else says that a rank, step or job ended."""

    state: str
    at: str | None = None
    exit_status: int | None = None
    signal: int | None = None


def worst(states: Iterable[str]) -> str:
    """Return the state of a whole by those of its parts; a word that is not known counts most."""
    return min(states, key=lambda state: STATES.index(state) if state in STATES else -1)


def values_of(name: str, iris: Iterable[str] | None) -> str:
    if iris is None:
        return ""
    return f"VALUES ?{name} {{ {' '.join(f'<{iri}>' for iri in iris)} }}"


class Ends:
    """How Slurm says that the steps and jobs of attempts ended."""

    def __init__(self, select: Select, values: str) -> None:
        self._places: dict[str, tuple[str | None, str | None]] = {}
        """Attempt to its step and job."""
        for row in select(_UNITS.format(values=values)):
            in_step = row["kind"].endswith("#JobStep")
            step, job = (row["unit"], row.get("whole")) if in_step else (None, row["unit"])
            self._places[row["attempt"]] = step, job
        units = {unit for place in self._places.values() for unit in place if unit}
        self._ends: dict[tuple[str, int], End] = {}
        if units:
            asked = values_of("unit", units if values else None)
            for row in select(_ENDS.format(values=asked)):
                self._learn(row)

    def _learn(self, row: dict[str, str]) -> None:
        key = row["unit"], int(row["restart"])
        end = End(
            row["outcome"], row.get("finished"), number_in(row, "exit"), number_in(row, "signal")
        )
        known = self._ends.get(key)
        if known is None or worst([end.state, known.state]) == end.state:
            self._ends[key] = end

    def of(self, attempt: str, restart: int) -> End | None:
        """Return how an attempt's step ended, else its job.

        A job is its script: that this ended well tells nothing of a rank that it started.
        """
        step, job = self._places.get(attempt, (None, None))
        own = self._ends.get((step or "", restart))
        whole = self._ends.get((job or "", restart))
        if whole is not None and whole.state == "completed":
            whole = None
        if own is not None and whole is not None and _was_ended_with(own, whole):
            return replace(own, state=whole.state)
        return own or whole

    def over(self, attempt: str, restart: int) -> bool:
        """Tell whether an attempt's step or job has ended, however."""
        place = self._places.get(attempt, ())
        return any((unit or "", restart) in self._ends for unit in place)


def _was_ended_with(step: End, job: End) -> bool:
    """Tell whether the job's state is why a step was ended.

    A step is CANCELLED to Slurm 22.05 whenever it was ended from outside, as measured: with a job
    that is TIMEOUT, NODE_FAIL or CANCELLED, and by ``srun -K`` in one that is then FAILED.
    """
    is_vague = step.state == "cancelled" or (step.state == "killed" and job.state in CAUSES)
    return is_vague and may_end(step.at, job.at)


def may_end(at: str | None, cause_at: str | None) -> bool:
    """Tell whether what ended may have ended by this cause: it did not end long before.

    That it ended may have been seen at any time later.
    """
    try:
        return (moment(cause_at or "") - moment(at or "")).total_seconds() <= MOST_APART_S
    except ValueError:  # not told
        return True


def number_in(row: dict[str, str], name: str) -> int | None:
    return int(row[name]) if name in row else None
