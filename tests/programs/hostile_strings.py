"""Say each string of a JSON file as a name, a value, a file's name, a setting, an error and so on.

hostile_strings.py STRINGS
"""

import contextlib
import json
import sys
from pathlib import Path

import pllib

strings = json.loads(Path(sys.argv[1]).read_text())
folder = Path("files")
folder.mkdir()


def file_of(text: str) -> pllib.File:
    """Make a file whose name is as much of the text as a name may have."""
    name = text.replace("/", "_").replace("\0", "_").encode()[:200].decode("utf-8", "ignore")
    path = folder / (name or "_")
    path.write_text(text)
    return pllib.File(path)


with pllib.open(
    study=strings[0], experiment=strings[1], name=strings[2], tags=tuple(strings[3:8]),
    facts={"note": strings[8], strings[9]: "x"}, config={"text": strings[10]},
) as session:  # fmt: skip
    for nth, text in enumerate(strings):
        used = {"file": file_of(text), text: nth}
        with contextlib.suppress(ValueError), session.transformation(text, used=used) as step:
            step.generated({"text": text, f"{text}2": [text, {text: text}]})
            if nth % 10 == 0:
                raise ValueError(text)
    settings = {strings[12]: strings[13]}
    with session.stage("training", strings[11], hyperparameters=settings) as stage:
        for nth in range(3):
            stage.metric(strings[14], nth, step=nth, unit=strings[15])
        model = folder / "model"
        model.write_text("m")
        stage.generated(model=pllib.Model(model, note=strings[16]))
