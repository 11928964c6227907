"""What one task of a job does: it makes a file and scores; it may wait for SIGUSR1 or its end.

catalog_task.py '{"name": "task1", "scores": [0.5], ...}'
"""

import json
import signal
import sys
from pathlib import Path

from catalog_diary import Diary, file

import pllib

DEFAULTS = {"scores": [], "waits": False, "facts": {}, "study": "cluster", "restart": 0}


def main() -> None:
    options = {**DEFAULTS, **json.loads(sys.argv[1])}
    signal.signal(signal.SIGUSR1, lambda *_: None)
    path = Path("tasks", f"{options['name']}.pt")
    path.parent.mkdir(exist_ok=True)
    known = {"study": options["study"], "name": options["name"], "facts": options["facts"]}
    with pllib.open(**known) as session, Diary(session, **options) as diary:
        diary.told["log_id"] = session.log_id.hex()
        with diary.span("training", "fit", session.stage("training", "fit")) as training:
            path.write_text(options["name"] * 300)
            training.generated(model=pllib.Model(path))
            diary.add("made", file(path))
            training.metric("speed", 2.0, step=7)
            if options["waits"]:
                diary.write()
                signal.pause()
        with session.stage("validation", "check") as check:
            for score in options["scores"]:
                check.generated(score=score)


if __name__ == "__main__":
    main()
