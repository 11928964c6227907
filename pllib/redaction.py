"""Take secrets out of what is recorded: known forms, secret-looking names, and the site's own.

What was a secret reads ``[redacted:NAME]``, where NAME is the form's or the name's; nothing else of
a text changes.  Numbers are touched only under names such as ``password`` and ``pin``; digests,
commits and identities never are.

Guarantee: redaction raises for no text, and of what it made changes nothing.  It is no proof: a
secret that looks like any other word, under a name that says nothing, stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import SettingsError
from .notices import warn
from .patterns import OVERLAP, PIECE, compiled
from .secret_forms import COOKIE, HAS_LONG_WORD, LOGIN, PRIVATE_KEY, STRUCTURES, TOKENS, Form
from .secret_names import ALL, LOGINS, NOTHING, PARTS, SHORT, hides, secrecy, words_of
from .settings import Redaction, Warn, load_section

if TYPE_CHECKING:
    from pathlib import Path

MARK = re.compile(r"\[redacted:([\w.-]+)")
PASSES = 4
"""A replacement may show what the first look did not; none was seen to need a third."""

DEPTH = 3
"""Assignments in each other."""


class Pattern(NamedTuple):
    """A site's own; a secret is what group 1 matches, else all of it."""

    name: str
    regex: re.Pattern[str]


_NAME = r"(?<![\w.-])-{0,2}(?P<name>[^\W\d][\w.-]{0,79})"
_VALUE = (
    r"(?:\"(?P<d>[^\"\n]{1,4000})\"|'(?P<s>[^'\n]{1,4000})'|"
    r"(?P<b>[^\s\"'&|<>]*[^\s\"'&|<>,;)\]}]|[^\s\"'&|<>]+))"
)
# Where one alternative of a value's begins, it matches: what is looked at is never looked at again.
_ASSIGNED = re.compile(
    _NAME
    + r"(?P<q>[\"']?)(?P<is>[ \t]{0,3}(?:[:?]{0,3}=>?|:(?![:/]))[ \t]{0,3}(?:[\[(](?=[\"']))?)"
    + _VALUE
)
_OPTION = re.compile(
    r"(?<!\S)--?(?P<name>[^\W\d_][\w.-]{0,79})(?P<is>[ \t]{1,3})(?![-=:])" + _VALUE
)
_NO_SECRET = re.compile(
    r"\[redacted:|\$[\w{(]|%[sd({]|[{`(=]|<|\*{3}|\.{3}|[\w.]{1,200}[(\[]|\W+$|"
    r"(?:none|null|nil|true|false|yes|no|str|int|self|os|args|config|cfg|settings|environ)"
    r"(?:$|[.\[(`])",
    re.I,
)
"""What a value begins with that is none: a variable, a word of a program, a placeholder."""
_SMALL = re.compile(r"[+-]?(?:\d{1,5}|\d+[.]\d*|[.]\d+|\d[\d.]*e[+-]?\d+)")
"""Numbers that are written in texts."""
_LOGIN = re.compile(r"([\w.@%+\\-]{1,100}:)(?!\d{1,5}$)[^\s/~.:].*", re.DOTALL)


def mark(name: str) -> str:
    return f"[redacted:{name}]"


def marks_in(text: str) -> list[str]:
    """Return the names of the patterns whose marks a text has, each once."""
    return list(dict.fromkeys(MARK.findall(text))) if "[redacted:" in text else []


_HINTS = tuple(
    dict.fromkeys(
        [
            *(hint for form in (PRIVATE_KEY, COOKIE, LOGIN, *STRUCTURES) for hint in form.hints),
            *PARTS,
            *SHORT,
        ]
    )
)
"""Without any of these, in small letters, and without a long word a text has nothing known."""


class Redactor:
    """Takes secrets out of texts, words of a command and names; has no state but what it knows."""

    def __init__(
        self, patterns: Mapping[str, re.Pattern[str]] | None = None, names: Sequence[str] = ()
    ) -> None:
        self.own = [Pattern(name, regex) for name, regex in (patterns or {}).items()]
        self.names = frozenset(map(_own_name, names))
        self.is_ascii = all(map(str.isascii, names))
        """Its names can be looked for without knowing how letters of theirs are written."""
        pieces = (max(name.split("_"), key=len) for name in self.names)
        self._hints = (*_HINTS, *sorted(pieces))

    def secrecy(self, name: str) -> int:
        """Return what is a secret under a name, as `pllib.secret_names` has it."""
        return secrecy(name, self.names)

    def hides(self, name: str, value: str) -> bool:
        """Tell whether a text is a secret under a name."""
        level = secrecy(name, self.names)
        return level != NOTHING and hides(name, value, level)

    def text(self, text: str) -> str:
        """Return a text without secrets; the same text if it has none."""
        if not self.own and not self._may_have(text) and HAS_LONG_WORD.search(text) is None:
            return text
        for _ in range(PASSES):
            found = self._once(text)
            if found == text:
                return text
            text = found
        return text

    def _may_have(self, text: str) -> bool:
        small = text.lower()
        return not self.is_ascii or any(hint in small for hint in self._hints)

    def document(self, data: bytes) -> bytes:
        """Return a document of many lines, such as a difference or a script, without secrets."""
        text = data.decode("utf-8", "surrogateescape")
        lines = _replace(PRIVATE_KEY, text).splitlines(keepends=True)
        return "".join(map(self.text, lines)).encode("utf-8", "surrogateescape")

    def _once(self, text: str) -> str:
        if self._may_have(text):
            for form in (PRIVATE_KEY, COOKIE, LOGIN):
                text = _replace(form, text)
            text = self._assignments(text)
            text = _OPTION.sub(self._assigned, text)
            for form in STRUCTURES:
                text = _replace(form, text)
        if HAS_LONG_WORD.search(text) is not None:
            for form in TOKENS:
                if any(hint in text for hint in form.hints):
                    text = _replace(form, text)
        for pattern in self.own:
            kept = re.split(r"(\[redacted:[\w.-]+\]?)", text) if "[redacted:" in text else [text]
            text = "".join(
                piece if nth % 2 else _by_pieces(pattern, piece) for nth, piece in enumerate(kept)
            )
        return text

    def _assignments(self, text: str, depth: int = DEPTH) -> str:
        return _ASSIGNED.sub(lambda found: self._assigned(found, depth), text)

    def _assigned(self, found: re.Match[str], depth: int = 0) -> str:
        """Return an assignment or option with its value redacted, if its name is a secret's.

        Args:
            depth: How often a value is taken for one or more assignments, as in
                ``--export=ALL,API_KEY=...``.
        """
        name, whole = found["name"], found[0]
        group = next(each for each in ("d", "s", "b") if found[each] is not None)
        value = found[group]
        start, stop = found.start(group) - found.start(), found.end(group) - found.start()
        if self._is_assigned(found, group, name, value):
            return f"{whole[:start]}{mark(_plain(name))}{whole[stop:]}"
        if depth and group == "b" and ("=" in value or ":" in value):
            return f"{whole[:start]}{self._assignments(value, depth - 1)}{whole[stop:]}"
        return whole

    def _is_assigned(self, found: re.Match[str], group: str, name: str, value: str) -> bool:
        level = self.secrecy(name)
        if level == NOTHING or _NO_SECRET.match(value) or not hides(name, value, level):
            return False
        is_number = level != ALL and _SMALL.fullmatch(value) is not None
        if is_number or _is_variable(name, value, is_quoted=group != "b"):
            return False
        return group != "b" or not _is_prose(found, name, level)

    def words(self, words: Sequence[str]) -> list[str]:
        """Return a command's words without secrets."""
        return [self.word(word, before) for word, before in zip(words, ["", *words], strict=False)]

    def word(self, word: str, before: str = "") -> str:
        """Return a word without secrets: the word after ``--password`` is one, too."""
        option = option_of(before)
        if option and not word.startswith("-"):
            if option in LOGINS and (login := _LOGIN.fullmatch(word)):
                return login[1] + mark("password")
            if self._is_given(option, word):
                return mark(_plain(option))
        name, _, value = word.lstrip("-").partition("=")
        if value and word.startswith("-") and name in LOGINS and (login := _LOGIN.fullmatch(value)):
            return f"{word[: len(word) - len(value)]}{login[1]}{mark('password')}"
        if value and self._is_given(name, value):
            return f"{word[: len(word) - len(value)]}{mark(_plain(name))}"
        return self.text(word)

    def _is_given(self, name: str, value: str) -> bool:
        """Tell whether a word that is given for a name is a secret."""
        level = self.secrecy(name)
        is_number = level != ALL and _SMALL.fullmatch(value) is not None
        return not is_number and not MARK.match(value) and hides(name, value, level)

    def named(self, name: str, text: str) -> str:
        """Return the text that a name stands for: redacted whole if the name is a secret's."""
        if text and not MARK.match(text) and self.hides(name, text):
            return mark(_plain(name))
        return self.text(text)


def option_of(word: str) -> str:
    """Return the name of the option that a word is, without a value; empty if it is none."""
    found = re.fullmatch(r"--?([^\W\d_][\w.-]*)", word)
    return found[1] if found else ""


def _own_name(name: str) -> str:
    words = words_of(name)
    if not words:
        raise SettingsError(f"the name {name!r} in [redaction] has no letter or digit")
    return "_".join(words)


def _is_variable(name: str, value: str, *, is_quoted: bool) -> bool:
    """Tell whether a value is a name itself, which says the same: ``token=hf_token``."""
    last = words_of(name)[-1]
    if is_quoted and last not in ("key", "token"):
        return False
    return re.fullmatch(r"[A-Za-z_][A-Za-z_.]*", value) is not None and last in words_of(value)


def _is_prose(found: re.Match[str], name: str, level: int) -> bool:
    """Tell whether a word without quotes is one of a sentence ("unexpected token: this")."""
    value, sign = found["b"], found["is"]
    if ":" in sign and not found["q"]:
        is_word = re.fullmatch(r"[^\W\d_]+", value) is not None
        return is_word and (level != ALL or len(words_of(name)) == 1)
    spaced = sign.strip() == "=" and sign != "="
    return spaced and re.fullmatch(r"[A-Za-z_][A-Za-z_.]*", value) is not None


def _plain(name: str) -> str:
    """Return a name as one of a mark: its last part, in small letters."""
    last = re.split(r"[.:/]", name)[-1] or name
    return re.sub(r"\W+", "_", last.lower())[:40].strip("_") or "secret"


def _replace(pattern: Pattern | Form, text: str) -> str:
    if pattern.regex.search(text) is None:
        return text
    return _without(text, _spans(pattern, text, 0, len(text)), pattern.name)


def _by_pieces(pattern: Pattern, text: str) -> str:
    """Replace what is found in overlapping pieces; what two of them saw of one secret is one."""
    if len(text) <= PIECE:
        return _replace(pattern, text)
    spans: list[tuple[int, int]] = []
    for at in range(0, max(len(text) - OVERLAP, 1), PIECE - OVERLAP):
        spans += _spans(pattern, text, at, at + PIECE)
    return _without(text, spans, pattern.name)


def _spans(pattern: Pattern | Form, text: str, start: int, stop: int) -> list[tuple[int, int]]:
    found, has_group = pattern.regex.finditer(text, start, stop), pattern.regex.groups > 0
    spans = (each.span(1 if has_group and each[1] is not None else 0) for each in found)
    return [(first, last) for first, last in spans if first < last]


def _without(text: str, spans: list[tuple[int, int]], name: str) -> str:
    parts, done = [], 0
    for start, stop in sorted(spans):
        if start >= done:
            parts += [text[done:start], mark(name)]
        done = max(done, stop)
    return "".join([*parts, text[done:]])


def load(config: Path | None, environ: Mapping[str, str], warn: Warn = warn) -> Redactor:
    """Return the redactor of a project: its patterns and names besides those of the site.

    Raises:
        SettingsError: One of them is not usable.
    """
    site = load_section(Redaction, None, environ, warn=warn)
    ours = load_section(Redaction, config, environ, warn=warn)
    texts = {**ours.patterns, **site.patterns}  # a project takes nothing of the site's away
    patterns = {name: compiled(name, regex) for name, regex in texts.items()}
    return Redactor(patterns, (*site.names, *ours.names))


PLAIN = Redactor()
redact: Callable[[str], str] = PLAIN.text
"""By what is known everywhere."""
