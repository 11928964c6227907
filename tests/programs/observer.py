"""Query a project all the time until told to end, by the manager and by snapshots in turn.

    observer.py STOP

Prints what it saw as JSON: how many queries were answered and how many were not (a manager or its
worker may be dead), how many transformations the last one counted, and what must never be seen: a
transformation that has ended without all that its record says, and a count smaller than one before.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pllib.errors import Error
from pllib.project import Endpoint, find, read_endpoint
from query.engine import Engine

COUNT = """
SELECT (COUNT(*) AS ?all) (SUM(IF(?n = 4, 0, 1)) AS ?half) {
  SELECT ?a (COUNT(?value) AS ?n) {
    ?a a provml:DataTransformationExecution ; prov:endedAtTime ?ended .
    { ?a prov:used ?value } UNION { ?value prov:wasGeneratedBy ?a }
  } GROUP BY ?a
}
"""
ALL = """SELECT (COUNT(*) AS ?all) {
  ?a a provml:DataTransformationExecution ; prov:endedAtTime ?ended }"""


def endpoint_of(file: Path) -> Endpoint | None:
    try:
        found = read_endpoint(file)
    except Error:
        return None
    return found if found.manager else None


def main() -> None:
    stop, project = Path(sys.argv[1]), find()
    local = project.endpoints / "local.json"
    seen = {"answered": 0, "unanswered": 0, "half": 0, "shrunk": 0, "last": 0}
    most = {"live": 0, "snapshot": 0}
    while not stop.exists():
        for way, endpoint in (("live", endpoint_of(local)), ("snapshot", None)):
            if way == "live" and endpoint is None:
                continue
            try:
                (whole,) = Engine(project, endpoint).select(COUNT)
                (every,) = Engine(project, endpoint).select(ALL)
            except Error:
                seen["unanswered"] += 1
                continue
            look(seen, most, way, int(whole["all"]), int(whole.get("half", 0)), int(every["all"]))
    print(json.dumps(seen))


def look(
    seen: dict[str, Any], most: dict[str, int], way: str, n: int, half: int, then: int
) -> None:
    """Note what was seen; `then` was counted after `n`, of all, whether whole or not."""
    seen["answered"] += 1
    seen["half"] += half
    seen["shrunk"] += (n < most[way]) + (then < n)
    most[way] = then
    seen["last"] = max(most.values())


if __name__ == "__main__":
    main()
