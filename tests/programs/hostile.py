"""Names and values that are easy to get wrong in text: quotes, line breaks, NaN, other scripts."""

from pathlib import Path

import pllib

NAMES = [
    'a "quoted" one',
    "line\nbreak",
    "tab\tand\\slash",
    "> . <x:y> <x:z> .",
    "ünï©ödé 名前",
    "a:b",
]
VALUES = [
    'say "hi"',
    "two\nlines\r\n",
    "nul\x00 and bell\x07",
    "> . <x:y> <x:z> .",
    "\U0001d518nicode \uffff",
    float("nan"),
    float("-inf"),
    1e300,
    0.1,
    True,
    None,
    2**70,
    -5,
    {"a": [1, {"b": None}]},
    [],
    "%s {0} %% xsd:string",
    "'''",
    '"""',
    "x" * 3000,
]
path = Path("a name; with 'everything' & ünï.csv")
path.write_text("1\n" * 600)
with pllib.open(study='st"udy\n', experiment="<exp>", name="na'me", tags=("t=1", "]]>")) as session:
    for name in NAMES:
        with session.transformation(name, used={name: pllib.File(path)}) as step:
            step.generated({f"{name} {nth}": value for nth, value in enumerate(VALUES)})
    with session.stage(
        "training", NAMES[0], hyperparameters=dict(zip(NAMES, VALUES[:6], strict=True))
    ) as stage:
        stage.metric(NAMES[1], float("nan"))
