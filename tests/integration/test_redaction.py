"""Secrets, however they come in: nowhere in what is kept, and each counted."""

from __future__ import annotations

import json
import random
import signal
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Site, wait_until

from pllib.log import LogReader

WHERE = (
    "study", "tag", "fact", "fact_name", "setting", "path", "url", "value", "nested", "bearer",
    "error", "aws", "config", "argv", "stage", "model", "adapted", "trial", "pin",
)  # fmt: skip
COUNTED = [
    ("error", "clean", "password", 1),
    ("fact", "api_key", "api_key", 1),
    ("fact", "endpoint", "url_password", 1),
    ("name", "digits token=[redacted:token]", "token", 1),  # the workflow's, by default the study's
    ("name", "study", "token", 1),
    ("name", "tag", "password", 1),
    ("path", "", "token", 1),
    ("value", "api_key", "api_key", 1),
    ("value", "argv", "password", 1),
    ("value", "aws", "aws_access_key_id", 1),
    ("value", "db.password", "password", 1),
    ("value", "hub.token", "token", 1),
    ("value", "nested", "secret", 1),
    ("value", "note", "bearer", 1),
    ("value", "pin", "pin", 1),
    ("value", "token", "token", 3),  # a stage's hyperparameter and its model's are one value now
    ("value", "url", "url_password", 1),
]


def _made(nth: int) -> str:
    letters = string.ascii_letters + string.digits
    return "Zq7" + "".join(random.Random(nth).choices(letters, k=20)) + "9"


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = {name: _made(nth) for nth, name in enumerate(WHERE)}
    found["aws"] = "AKIA" + "".join(random.Random(1).choices("ABCDEFGH234567", k=16))
    found["pin"] = str(random.Random(1).randrange(10**11, 10**12))
    path = tmp_path_factory.mktemp("outside") / "secrets.json"
    path.write_text(json.dumps(found))
    found["file"] = str(path)
    return found


def _texts(site: Site) -> Iterator[tuple[str, bytes]]:
    """Yield all that a project holds, frames unpacked, and all that commands print of it."""
    for path in site.project.root.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    kept = (site.project.spool, site.project.root / "journal")
    for path in [path for folder in kept for path in folder.rglob("*.log")]:
        with LogReader(path) as reader:
            yield f"{path}, unpacked", b"".join(each.frame.payload for each in reader.frames())
    for form in ("prov-json", "prov-n", "turtle", "nquads"):
        yield form, site.sprov("export", "@last", "--format", form).encode()
    everything = ("query", "CONSTRUCT { ?s ?p ?o } { ?s ?p ?o }", "--format", "ntriples")
    commands = [
        everything, ("show", "@last"), ("show", "@last", "--format", "json"), ("runs",),
        ("ask", "redacted"), ("ask", "failures"),
    ]  # fmt: skip
    for command in commands:
        yield " ".join(command), site.sprov(*command).encode()


def _leaks(site: Site, secrets: dict[str, str]) -> list[tuple[str, str]]:
    wanted = {name: text.encode() for name, text in secrets.items() if name != "file"}
    return [
        (where, name) for where, data in _texts(site) for name in wanted if wanted[name] in data
    ]


def _counted(site: Site) -> list[tuple[str, str, str, int]]:
    rows = json.loads(site.sprov("ask", "redacted", "--format", "json"))
    return [(row["where"], row["what"], row["pattern"], int(row["count"])) for row in rows]


def _facts(site: Site) -> dict[str, str]:
    return dict(json.loads(site.sprov("show", "@last", "--format", "json"))["facts"])


def test_offline_nothing_is_kept_and_all_is_counted(site: Site, secrets):
    site.run("secrets_kept.py", secrets["file"])
    assert not _leaks_in_spool(site, secrets)
    site.sprov("ingest")
    assert _leaks(site, secrets) == []
    assert _counted(site) == COUNTED
    assert "redacted   " in site.sprov("show", "@last")
    site.sprov("rebuild")
    assert _counted(site) == COUNTED
    site.verify()


def _leaks_in_spool(site: Site, secrets: dict[str, str]) -> list[str]:
    data = b"".join(path.read_bytes() for path in site.project.spool.iterdir())
    assert b"[redacted:" in data
    return [name for name, text in secrets.items() if text.encode() in data]


def test_online_nothing_is_kept(served: Site, secrets):
    served.run("secrets_kept.py", secrets["file"])
    wait_until(lambda: served.count("?run a provml:LearningExperimentExecution"))
    served.stop()
    assert _leaks(served, secrets) == []
    assert _counted(served) == COUNTED


def test_a_dead_ranks_spool_is_redacted_on_its_way(site: Site, secrets):
    process = site.start("secrets_kept.py", secrets["file"], "--die", SPROV_FLUSH_AGE_S="600")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert any(
        secrets["value"].encode() in path.read_bytes() for path in site.project.spool.iterdir()
    )
    site.sprov("ingest")
    assert _leaks(site, secrets) == []
    assert [row for row in _counted(site) if row[0] == "value"] == [
        row for row in COUNTED if row[0] == "value"
    ]


def test_a_commands_arguments_remotes_and_differences(site: Site, secrets):
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    remote = f"https://bob:{secrets['url']}@host/x.git"
    (site.folder / "settings.py").write_text("password = None\n")
    for words in (
        ("init", "-q"), ("remote", "add", "origin", remote), ("add", "settings.py"),
        ("commit", "-qm", "first"),
    ):  # fmt: skip
        subprocess.run([*git, *words], cwd=site.folder, check=True)
    (site.folder / "settings.py").write_text(f'password = "{secrets["setting"]}"\n')
    (site.folder / "job.sh").write_text("sleep 1\n")
    site.sprov(
        "run", "--", "sh", "job.sh", "--password", secrets["value"], f"--api-key={secrets['aws']}",
        remote, SPROV_MODE="offline", MY_TOKEN=secrets["bearer"],
    )  # fmt: skip
    site.sprov("ingest")
    assert _leaks(site, secrets) == []
    assert _counted(site) == [
        ("fact", "command", pattern, 1) for pattern in ("api_key", "password", "url_password")
    ]
    kept = (site.project.kept / _facts(site)["git_diff"]).read_text()
    assert '+password = "[redacted:password]"' in kept


def test_a_site_has_its_own(site: Site, secrets):
    config = Path(site.project.config)
    config.write_text("[redaction]\nnames = ['loss']\npatterns = {digits = 'plai[n]'}\n")
    site.run("secrets_kept.py", secrets["file"])
    site.sprov("ingest")
    assert ("name", "tag", "digits", 1) in _counted(site)


def test_a_bad_pattern_is_one_clear_line(site: Site):
    Path(site.project.config).write_text("[redaction]\npatterns = {own = '('}\n")
    process = site.start("steps.py", "5")
    _, errors = process.communicate()
    assert process.returncode == 0
    assert errors.count("the pattern 'own' in [redaction] is no regular expression") == 1, errors
    assert not list(site.project.spool.glob("*.log"))  # nothing is recorded that it may redact
    assert "the pattern 'own' in [redaction]" in site.sprov("ingest", status=2).splitlines()[0]
