#!/usr/bin/env python3
"""Fuzz the target that SPROV_FUZZ_TARGET names: ``run_target.py [libFuzzer options] [folders]``.

Executable, and told by the environment, since libFuzzer starts it again when it merges.
"""

import os
import sys

import atheris

with atheris.instrument_imports(
    include=["pllib", "tracker", "manager", "query", "sprov", "prov", "yaml"]
):
    from targets import TARGETS

if __name__ == "__main__":
    atheris.Setup(sys.argv, TARGETS[os.environ["SPROV_FUZZ_TARGET"]])
    atheris.Fuzz()
