"""Raw files are curated after a plan that is not kept; with --fix one of them is written again."""

import shutil
import sys
from pathlib import Path

from catalog_diary import Diary, file

import pllib

PLAN = {
    "study": "digits",
    "workflow": "curation",
    "transformations": [
        {
            "name": "clean",
            "used": {
                "raw": {"type": "file", "required": True},
                "threshold": {"type": "double", "required": True},
                "unit": {"type": "string", "required": True},
            },
            "generated": {"clean": {"type": "file"}, "dropped": {"type": "string"}},
        }
    ],
}
NAMES = ("a", "b", "c")


def sample(session: pllib.Session, nth: int) -> None:
    """Say of the node what is made up for tests/catalog/telemetry.py."""
    for name, unit, values in (
        ("node_cpu", "cores", (1.5, 3.5, 1.0)),
        ("node_memory_used", "MiB", (1000.0, 4000.0, 2500.0)),
        ("node_network_received_bytes", "B", (0.0, 700.0, 4096.0)),
        ("gpu0_power", "W", (60.0, 300.0, 240.0)),
        ("cpu_energy", "J", (0.0, 90.0, 270.0)),
    ):
        session.metric(name, values[nth], unit=unit)


def curate() -> None:
    for folder in ("raw", "clean", "copies"):
        Path(folder).mkdir(exist_ok=True)
    for nth, name in enumerate(NAMES):
        Path("raw", f"{name}.csv").write_text(f"{nth},{name}\n" * 500)
    Path("curation.toml").write_text("threshold = 0.5\n")
    Path("requirements.txt").write_text("numpy\n")
    pllib.declare(PLAN)
    with (
        pllib.open(study="digits", workflow="curation", name="curate") as session,
        Diary(session, name="curate") as diary,
    ):
        session.used(config=pllib.File("curation.toml"), environment=pllib.File("requirements.txt"))
        for nth, name in enumerate(NAMES):
            raw, clean = Path("raw", f"{name}.csv"), Path("clean", f"{name}.npz")
            used = {"raw": pllib.File(raw), "threshold": 0.5}
            span = diary.span("transformation", "clean", session.transformation("clean", used=used))
            with span as execution:
                clean.write_text(f"{name * 8}\n" * 400)
                execution.generated(clean=pllib.File(clean), dropped=nth, kept=500 - nth)
            diary.add("cleaned", {"raw": file(raw), "clean": file(clean), "dropped": nth})
            sample(session, nth)
    for name in ("a", "c"):
        shutil.copy2(Path("clean", f"{name}.npz"), Path("copies", f"{name}.npz"))


def fix() -> None:
    with (
        pllib.open(study="repair", workflow="curation", name="fix") as session,
        Diary(session, name="fix") as diary,
    ):
        span = diary.span("transformation", "repair", session.transformation("repair"))
        with span as execution:
            Path("raw", "b.csv").write_text("1,fixed\n" * 500)
            execution.generated(raw=pllib.File("raw/b.csv"))
        diary.add("fixed", file("raw/b.csv"))


if __name__ == "__main__":
    fix() if "--fix" in sys.argv else curate()
