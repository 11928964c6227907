"""Fuzz targets, and keep what reaches new code.

    python tests/fuzz/fuzz.py --seconds 3600            # all targets, the time shared among them
    python tests/fuzz/fuzz.py --seconds 600 importers

What is found is merged into ``corpus/TARGET.zip``, small inputs first.  An input that breaks a
target is left in the working folder as ``crash-*``; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from fuzz_seeds import SEEDS, seeds

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
MAX_BYTES = 16 << 10
"""Of an input that is made; seeds may be longer."""
LIMITS = ("-rss_limit_mb=4096", "-timeout=25", f"-max_len={MAX_BYTES}")
ZIP_DATE = (2020, 1, 1, 0, 0, 0)


def kept(target: str) -> list[bytes]:
    """Return the corpus of a target."""
    path = CORPUS / f"{target}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def unpack(target: str, folder: Path) -> None:
    """Write seeds and corpus into a folder, a file each."""
    folder.mkdir(parents=True)
    for nth, data in enumerate([*seeds(target), *kept(target)]):
        (folder / f"{nth:05d}").write_bytes(data)


def run(target: str, *options: str) -> int:
    """Have libFuzzer run on a target; return its exit status."""
    folder = str(Path(sys.executable).parent)
    environ = {
        **os.environ,
        "SPROV_FUZZ_TARGET": target,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    command = [str(HERE / "run_target.py"), *LIMITS, *options]
    return subprocess.run(command, env=environ, check=False).returncode


def try_new(target: str, n_runs: int, work: Path) -> tuple[int, list[bytes]]:
    """Run a target on inputs that its corpus leads to, the same each time.

    Returns:
        The exit status, and the inputs that broke the target.
    """
    found = work / "found"
    unpack(target, found)
    artifacts = f"-artifact_prefix={work}/"
    status = run(target, f"-runs={n_runs}", "-seed=1", "-verbosity=0", artifacts, str(found))
    return status, [path.read_bytes() for path in work.glob("*-*")]


def fuzz(target: str, seconds: int, work: Path) -> bool:
    """Fuzz, then keep what is worth it; False if an input broke the target."""
    found = work / f"{target}.found"
    if not found.exists():
        unpack(target, found)
    artifacts = f"-artifact_prefix={work}/{target}-"
    status = run(target, f"-max_total_time={seconds}", artifacts, str(found))
    merge(target, found, work)
    return status == 0


def merge(target: str, found: Path, work: Path) -> None:
    """Pack the fewest inputs that reach all that was reached."""
    least = work / f"{target}.least"
    least.mkdir(exist_ok=True)
    run(target, "-merge=1", str(least), str(found))
    CORPUS.mkdir(exist_ok=True)
    with zipfile.ZipFile(CORPUS / f"{target}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(least.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
            member = zipfile.ZipInfo(path.name, ZIP_DATE)
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=[*SEEDS], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="of all targets together")
    parser.add_argument("--work", type=Path, help="folder of what is found")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="sprov-fuzz-"))
    each = options.seconds // len(options.targets)
    broken = [target for target in options.targets if not fuzz(target, each, work)]
    for target in broken:
        print(f"{target} broke; the input is in {work}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
