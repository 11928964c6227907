"""For how many rules of a scanner redaction finds what they find, and what it takes besides.

Each rule is a regular expression of a kind of secret.  Of each, secrets are made at random that it
matches, and redacted.  Rules that go by a vendor's name beside the value get names as gitleaks
gives them in its own tests: ``VENDOR_api_token = "..."`` and ``VENDORToken=...``.

    python -m benchmarks.recall --gitleaks gitleaks.toml      # of its repository, config/
    python -m benchmarks.recall --detect-secrets FOLDER       # pip install --target FOLDER
    python -m benchmarks.recall --plain FOLDER...             # texts without secrets
"""

from __future__ import annotations

import argparse
import ast
import importlib
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pllib.redaction import redact

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from samples import BY_PLUGIN, sample

N_SAMPLES = 10
PLAIN = {
    ".cfg",
    ".ini",
    ".json",
    ".md",
    ".py",
    ".rst",
    ".sbatch",
    ".sh",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
KEYED = re.compile(
    r"(?:\(\?i\))?\[\\w\.-\]\{0,50\}\?.*?\(\?(?:i|-i)?:(?P<names>[\w.|\[\]?-]+)\).*?"
    r"\[\\x60'\"\\s=\]\{0,5\}\((?P<secret>.*?)\)\(\?:\[\\x60'\"\\s;\]"
)
TEMPLATES = ('{i}_api_token = "{s}"', "{i}Token={s}", '{{"{i}_token": "{s}"}}', "{I}_TOKEN: {s}")


class Rule(NamedTuple):
    """What a scanner looks for."""

    name: str
    regex: str
    vendor: str = ""
    """Beside whose name it looks, if it does; the expression is then the secret's own."""


class Outcome(NamedTuple):
    """What became of a rule's samples."""

    rule: Rule
    n_samples: int
    n_left: int


def gitleaks(path: Path) -> Iterator[Rule]:
    """Yield the rules of a configuration of gitleaks, written for Python's `re`."""
    import tomllib

    for rule in tomllib.loads(path.read_text())["rules"]:
        if regex := rule.get("regex"):
            keyed = KEYED.match(regex)
            if keyed:
                vendor = re.sub(r"\W+", "_", keyed["names"].split("|")[0]) or rule["id"]
                yield Rule(rule["id"], as_python(keyed["secret"]), vendor.lower())
            else:
                yield Rule(rule["id"], as_python(regex))


def as_python(regex: str) -> str:
    """Return an RE2 expression for `re`: flags in the middle hold for the rest of their group."""
    regex = regex.replace("[[:alnum:]]", "[A-Za-z0-9]").replace(r"\z", r"\Z")
    while (at := regex.find("(?i)", 1)) > 0:
        depth, end, in_class = 0, at + 4, False
        while end < len(regex) and depth >= 0:
            letter = regex[end]
            if letter == "\\":
                end += 1
            elif in_class or letter == "[":
                in_class = letter != "]"
            else:
                depth += (letter == "(") - (letter == ")")
            end += depth >= 0
        regex = f"{regex[:at]}(?i:{regex[at + 4 : end]}){regex[end:]}"
    return regex


def detect_secrets(packages: Path) -> None:
    """Print how many plugins of detect-secrets find a secret that is left in our samples."""
    sys.path.insert(0, str(packages))
    scan = importlib.import_module("detect_secrets.core.scan")
    settings = importlib.import_module("detect_secrets.settings")
    kinds = importlib.import_module("detect_secrets.core.plugins.util")
    types = {kind.secret_type for kind in kinds.get_mapping_from_secret_type_to_class().values()}
    with settings.default_settings():
        for name, text in BY_PLUGIN.items():
            told = {each.type for line in text.splitlines() for each in scan.scan_line(line)}
            missing = name.partition(" (")[0] not in {*told, *map(_short, told)}
            left = redact(text) == text
            print(f"{name}: {'left' if left else 'redacted'}{', unseen by it' * missing}")
    lacking = sorted(types - {name.partition(" (")[0] for name in BY_PLUGIN} - {*BY_PLUGIN})
    print(f"no sample for: {', '.join(lacking) or 'none'}")


def _short(name: str) -> str:
    return name.partition(" (")[0]


def plain(folders: list[Path]) -> None:
    """Print how many lines of texts without secrets change: docstrings, programs, other files."""
    lines: dict[str, list[str]] = {"docstrings": [], "programs": [], "other files": []}
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix in PLAIN and path.is_file():
            text = path.read_text(errors="replace")
            lines["programs" if path.suffix == ".py" else "other files"] += text.splitlines()
            if path.suffix == ".py":
                lines["docstrings"] += _docstrings(text)
    for kind, texts in lines.items():
        changed = [redact(text) for text in texts if redact(text) != text]
        print(f"{kind}: {len(changed)} of {len(texts):,} lines changed")
        print("".join(f"    {text.strip()[:110]}\n" for text in dict.fromkeys(changed)), end="")


def _docstrings(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield from (ast.get_docstring(node) or "").splitlines()


def samples(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield texts with a secret, and the secret, which is what a rule's groups match."""
    regex = re.compile(rule.regex)
    for nth in range(N_SAMPLES):
        text = sample(rule.regex, random.Random(nth))
        found = regex.search(text)
        if found is None:
            continue
        if rule.vendor:
            for template in TEMPLATES:
                yield template.format(i=rule.vendor, I=rule.vendor.upper(), s=text), text
        else:
            yield text, next((group for group in found.groups() if group), found[0])


def tried(rule: Rule) -> Outcome:
    outcomes = [secret in redact(text) for text, secret in samples(rule)]
    return Outcome(rule, len(outcomes), sum(outcomes))


def tell(scanner: str, rules: list[Rule]) -> None:
    """Print how many rules have no sample left, and which have."""
    outcomes = [tried(rule) for rule in rules]
    for kind, chosen in (
        ("by the secret's form", [each for each in outcomes if not each.rule.vendor]),
        ("by a vendor's name beside it", [each for each in outcomes if each.rule.vendor]),
    ):
        made = [each for each in chosen if each.n_samples]
        whole = [each for each in made if not each.n_left]
        print(f"{scanner}, rules that go {kind}: {len(whole)} of {len(made)} redacted")
        for each in made:
            if each.n_left:
                print(f"    {each.rule.name}: {each.n_left} of {each.n_samples} left")
        unmade = [each.rule.name for each in chosen if not each.n_samples]
        if unmade:
            print(f"    no sample made: {', '.join(unmade)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gitleaks", type=Path, metavar="FILE")
    parser.add_argument("--detect-secrets", type=Path, metavar="FOLDER")
    parser.add_argument("--plain", type=Path, nargs="+", metavar="FOLDER")
    options = parser.parse_args()
    if options.plain:
        plain(options.plain)
    if options.gitleaks:
        tell("gitleaks", list(gitleaks(options.gitleaks)))
    if options.detect_secrets:
        detect_secrets(options.detect_secrets)
