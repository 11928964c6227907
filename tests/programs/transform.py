"""One transformation in a run of its own: NAME [--used THING...] [--made THING...]

A THING is a path, `dir:PATH`, or `ref:STORE:KEY[:VERSION]`.
"""

import argparse

import pllib


def thing(text: str) -> object:
    kind, _, rest = text.partition(":")
    if kind == "dir":
        return pllib.Directory(rest)
    if kind == "ref":
        store, key, *version = rest.split(":")
        return pllib.Ref(store, key, version=version[0] if version else None)
    return pllib.File(text)


parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--used", nargs="*", default=[])
parser.add_argument("--made", nargs="*", default=[])
options = parser.parse_args()
with pllib.open(study="files", workflow=options.name) as session:
    used = {f"in{nth}": thing(text) for nth, text in enumerate(options.used)}
    with session.transformation(options.name, used=used) as execution:
        execution.generated({f"out{nth}": thing(text) for nth, text in enumerate(options.made)})
