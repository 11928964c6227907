"""What `import pllib` costs, against importing the two libraries that it stands on.

Fresh interpreters in turn, isolated (``python -I``) and with compiled bytecode in place.  Wall time
is of the whole process less that of ``pass``; so is the number of system calls on files, which
strace counts, else audit events are: of open, listdir and scandir, without the stats that Python
does not tell of.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time

from . import table

OURS, FLOOR, NOTHING = "import pllib", "import msgspec, zmq", "pass"
COUNTER = """
import sys
n = 0
def count(event, arguments):
    global n
    n += event in ("open", "os.listdir", "os.scandir")
sys.addaudithook(count)
{}
print(n)
"""


def wall_ms(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return (time.perf_counter() - start) * 1e3


def file_calls(code: str) -> int:
    """Count system calls that take a file name; on all of the process's threads."""
    python = [sys.executable, "-I", "-c"]
    if shutil.which("strace") is None:
        found = subprocess.run(
            [*python, COUNTER.format(code)], check=True, capture_output=True, text=True
        )
        return int(found.stdout)
    traced = subprocess.run(
        ["strace", "-f", "-c", "-e", "trace=file", *python, code],
        check=True,
        capture_output=True,
        text=True,
    )
    (calls,) = re.findall(r"^100\.00 +\S+ +\S+ +(\d+) .*total$", traced.stderr, re.MULTILINE)
    return int(calls)


def measure(options: argparse.Namespace) -> list[table.Row]:
    taken: dict[str, list[float]] = {OURS: [], FLOOR: [], NOTHING: []}
    for code in taken:
        wall_ms(code)  # compiles bytecode
    for _ in range(options.rounds):
        for code, times in taken.items():
            times.append(wall_ms(code))
    start = {code: statistics.median(times) for code, times in taken.items()}
    calls = {code: file_calls(code) for code in taken}
    how = "by strace" if shutil.which("strace") else "by audit events"
    table.note(f"file calls counted {how}; of the interpreter alone: {calls[NOTHING]}")
    table.note(f"medians of whole processes, ms: {start}; file calls: {calls}")
    return [
        table.compared(figure, unit, of[OURS] - of[NOTHING], of[FLOOR] - of[NOTHING], at_most=1.3)
        for figure, unit, of in (("import, wall time", "ms", start), ("import, files", "", calls))
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    table.run(measure, parser)
