"""The job script that `sprov slurm submit` hands to `sbatch`: provenance around a script as it is.

It has the script's own directives, starts the tracker, puts an `srun` that records steps first in
PATH, and runs the script, which it holds whole, by the interpreter that the script names.  What is
missing when the job runs, sprov itself or a folder for temporary files, costs provenance and
nothing else.  The tracker is beside the ranks: a script that does not know of it uses all nodes.

Source: sbatch(1) 22.05.8: directives are read up to the first line that is neither a comment nor
empty; the script must begin with ``#!``, may not hold NUL or end lines in CR LF, and is started by
the kernel, which passes all that follows the interpreter's name as one argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from shlex import quote
from string import ascii_letters

import msgspec

from pllib.identity import digest


class Tools(msgspec.Struct, frozen=True):
    """Where things lie that the job needs; absolute paths on the shared file system."""

    python: str
    sprov: str
    guard: str
    """The file of `slurm.guard`."""
    srun_line: str
    """The file of `slurm.srun_line`."""


class Script(msgspec.Struct, frozen=True):
    name: str
    """What `sbatch` calls the job without ``--job-name``: the file's name."""
    text: bytes


def interpreter(text: bytes) -> list[str] | None:
    """Return what a script's first line names, and its one argument; None if it names nothing."""
    first = text.partition(b"\n")[0]
    found = re.fullmatch(rb"#![ \t]*([^ \t]+)[ \t]*(.*?)[ \t]*", first)
    if found is None:
        return None
    return [part.decode("utf-8", "surrogateescape") for part in found.groups() if part]


def is_wrappable(text: bytes) -> bool:
    """Tell whether `sbatch` would take a script, which else says so itself, and a shell keep it."""
    if interpreter(text) is None or b"\0" in text or b"\r\n" in text:
        return False
    return bool(_delimiter(text))


def _delimiter(text: bytes) -> str:
    """Return what ends the here-document that a script is in; empty if nothing can.

    dash 0.5.12 drops a byte that is no ASCII where a line leaves a delimiter that it began like.
    """
    name = digest("script", text)
    lines = text.split(b"\n")
    for beginning in ("SPROV_", *ascii_letters):
        delimiter = f"{beginning}{name}"
        if not any(_is_cut(line, delimiter.encode()) for line in lines):
            return delimiter
    return ""


def _is_cut(line: bytes, delimiter: bytes) -> bool:
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(line, delimiter, strict=False))
    n_alike = sum(1 for _ in alike)
    return n_alike > 0 and line[n_alike : n_alike + 1] > b"\x7f"


def head(text: bytes) -> bytes:
    """Return the lines that `sbatch` looks at for directives, without the first, as they are.

    What is space to `sbatch` and a command to a shell, such as a form feed, comes out empty.
    """
    found = []
    for line in text.split(b"\n")[1:]:
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
        found.append(line if line.lstrip(b" \t").startswith(b"#") else b"")
    return b"".join(line + b"\n" for line in found)


def job_script(script: Script, tools: Tools, variables: Mapping[str, str]) -> bytes:
    """Return the job script; the same for the same arguments.

    Args:
        variables: What is exported before the tracker is started, such as SPROV_DIR.
    """
    command = interpreter(script.text)
    assert command is not None, "see is_wrappable"
    exports = "\n".join(f"export {name}={quote(text)}" for name, text in variables.items())
    end = _delimiter(script.text)
    name = script.name if re.fullmatch(r"[\w.+-]{1,200}", script.name) else "job"
    before = _BEFORE.format(exports=exports, name=name, end=end)
    after = _AFTER.format(
        python=quote(tools.python), sprov=quote(tools.sprov), guard=quote(tools.guard),
        srun_line=quote(tools.srun_line), command=" ".join(map(quote, command)), end=end, name=name,
    )  # fmt: skip
    text = script.text if script.text.endswith(b"\n") else script.text + b"\n"
    return b"".join([b"#!/bin/sh\n", head(script.text), _bytes(before), text, _bytes(after)])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_BEFORE = """\
# Made by `sprov slurm submit`.  The script is below, as it was submitted.
{exports}
export SPROV_SUBMITTED_JOB="$SLURM_JOB_ID"
sprov_write() {{
    cat > "$sprov_job"/{name} << '{end}'
"""

_AFTER = """\
{end}
}}
for sprov_folder in "${{TMPDIR:-/tmp}}" /dev/shm "$PWD"; do
    sprov_job=$sprov_folder/sprov-${{SLURM_JOB_ID:-$$}}
    if ! mkdir -m 700 "$sprov_job" 2> /dev/null; then  # of this job before it was requeued, or not
        [ -O "$sprov_job" ] && [ -d "$sprov_job" ] && [ ! -h "$sprov_job" ] || continue
    fi
    sprov_write && break
done
sprov_script=$sprov_job/{name}
chmod 700 "$sprov_script" || exit

if ! {python} -I -S -c '' 2> /dev/null || ! [ -r {guard} ] || ! [ -x {sprov} ]; then
    echo "sprov can't be run on this node: the job goes on without provenance" >&2
    exec {command} "$sprov_script" "$@"
fi
eval "$({sprov} slurm start --export --shared)"

mkdir -p "$sprov_job/bin" && cat > "$sprov_job/bin/srun" << '{end}'
#!/bin/sh
[ "$*" = --sprov-check ] && exit
exec {python} -I -S {srun_line} {sprov} "${{0%/*}}" "${{0##*/}}" "$@"
{end}
chmod 700 "$sprov_job/bin/srun" && cp -p "$sprov_job/bin/srun" "$sprov_job/bin/sbatch"
if "$sprov_job/bin/srun" --sprov-check; then
    export SPROV_SRUN_SHIM="$sprov_job/bin" PATH="$sprov_job/bin:$PATH"
else
    echo "sprov: $sprov_job can hold no programs: steps run without provenance" >&2
fi
exec {python} -I -S {guard} {sprov} "$sprov_job" \\
    {sprov} run -- {command} "$sprov_script" "$@"
"""
