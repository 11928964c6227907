"""Take secrets out of what is recorded: known patterns, secret-looking names, and the site's own.

What was a secret reads ``[redacted:NAME]``, where NAME is the pattern's; nothing else of a text
changes.  Numbers are never touched, nor are digests, commits and identities.

Guarantee: redaction raises for no text, and of what it made changes nothing.  It is no proof: a
secret that looks like any other word, under a name that says nothing, stays.

Source: token formats as GitHub, GitLab, Slack, Hugging Face and AWS ("Understanding unique ID
prefixes") document them; RFC 6750 (bearer), 7468 (PEM), 7519 (JWT), 3986 (userinfo in URLs); AWS
Signature Version 4 and Azure shared access signatures for signed URLs.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import SettingsError
from .notices import warn
from .settings import Redaction, Warn, load_section

if TYPE_CHECKING:
    from pathlib import Path

MARK = re.compile(r"\[redacted:([\w.-]+)")
PIECE = 4096
"""Characters of a text that a site's pattern is shown at a time, holding the interpreter lock."""
OVERLAP = 1024
"""Characters of a piece that are in the next, too: no secret is longer."""
LONG, MOST_WAYS = 256, 1 << 16
"""How much longer a repetition of several characters may be; ways of all repetitions together."""
ONE_CHARACTER = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}
PASSES = 4
"""A replacement may show what the first look did not; none was seen to need a third."""


class Pattern(NamedTuple):
    """A secret is what group 1 matches, else all of it."""

    name: str
    regex: re.Pattern[str]


def _pattern(name: str, regex: str, flags: int = 0) -> Pattern:
    return Pattern(name, re.compile(regex, flags))


KNOWN = (
    _pattern(
        "private_key",
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?!-----END )[\s\S])*(?:-----END [A-Z ]{0,60}-----)?",
    ),
    _pattern("aws_access_key_id", r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _pattern("github_token", r"(?<![A-Za-z0-9])gh[oprsu]_[A-Za-z0-9]{36,255}"),
    _pattern("github_token", r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{22,255}"),
    _pattern("gitlab_token", r"(?<![A-Za-z0-9])gl(?:pat|dt|rt)-[A-Za-z0-9_.-]{20,300}"),
    _pattern("huggingface_token", r"(?<![A-Za-z0-9])hf_[A-Za-z]{34}(?![A-Za-z0-9])"),
    _pattern("slack_token", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _pattern(
        "slack_webhook", r"https://hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,200})"
    ),
    _pattern(
        "api_key",
        r"(?<![A-Za-z0-9-])sk-(?:[a-z]{2,12}\d{0,2}-){0,4}(?=[A-Za-z_-]{0,100}\d)[A-Za-z0-9_-]{20,300}",
    ),
    _pattern("google_api_key", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9])"),
    _pattern("pypi_token", r"(?<![A-Za-z0-9])pypi-AgE[A-Za-z0-9_-]{50,1000}"),
    _pattern(
        "jwt",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,2000}",
    ),
    _pattern("bearer", r"\bBearer\s{1,4}((?=[^\s\d]{0,4000}\d)[A-Za-z0-9._~+/=-]{16,4000})", re.I),
    _pattern(
        "authorization",
        r"\bAuthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:Basic|Token|Digest)\s{1,4}"
        r"([A-Za-z0-9._~+/=-]{6,4000})",
        re.I,
    ),
    _pattern(
        "url_password", r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,20}://[^\s/:@?#\"'<>]{0,200}:"
        r"((?!\[redacted:)[^\s/@\"'<>]{1,400})@", re.I,
    ),
    _pattern(
        "url_password",
        r"(?<![\w+.-])https?://((?=[A-Za-z_.~-]{0,400}\d)[A-Za-z0-9_.~-]{20,400})@", re.I,
    ),
    _pattern(
        "url_signature",
        r"[?&;](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|sig|signature|access_token|"
        r"auth_token|AWSAccessKeyId|GoogleAccessId)=((?!\[redacted:)[^\s&;#\"'<>\[]{4,4000})",
        re.I,
    ),
)  # fmt: skip

WORDS = {
    "password", "passwords", "passwd", "passphrase", "passcode", "secret", "secrets", "apikey",
    "apitoken", "authtoken", "accesstoken", "secretkey", "privatekey", "accesskey", "credentials",
    "pgpassword",
}  # fmt: skip
"""A name that ends in one of these, or is it, is a secret's."""
KEYS = {"access", "api", "auth", "encryption", "private", "secret", "service", "signing", "ssh"}
"""What makes a key a secret one."""
PARTS = ("pass", "secret", "token", "key", "credential", "pwd")
"""One of these is in every such name."""
TOKENS = {
    "access", "account", "admin", "api", "app", "auth", "bearer", "bot", "ci", "csrf", "deploy",
    "gh", "github", "gitlab", "hf", "hub", "huggingface", "id", "jwt", "login", "npm", "oauth",
    "personal", "pypi", "read", "refresh", "robot", "secret", "security", "service", "session",
    "slack", "user", "vault", "wandb", "write",
}  # fmt: skip
"""What makes a token a secret one; others are pieces of a text: eos_token, pad_token."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = re.compile(r"[\W_]+")
_NAME = r"(?<![\w.-])-{0,2}(?P<name>[^\W\d][\w.-]{0,79})"
_VALUE = (
    r"(?:\"(?P<d>[^\"\n]{1,4000})\"|'(?P<s>[^'\n]{1,4000})'|"
    r"(?P<b>[^\s\"'&|<>]*[^\s\"'&|<>,;)\]}]|[^\s\"'&|<>]+))"
)
# Where one alternative of a value's begins, it matches: what is looked at is never looked at again.
_ASSIGNED = re.compile(_NAME + r"(?P<q>[\"']?)(?P<is>[ \t]{0,3}(?:=|:(?![:/]))[ \t]{0,3})" + _VALUE)
_OPTION = re.compile(
    r"(?<!\S)--?(?P<name>[^\W\d_][\w.-]{0,79})(?P<is>[ \t]{1,3})(?![-=:])" + _VALUE
)
_NO_SECRET = re.compile(
    r"\[redacted:|\$[\w{(]|%[sd({]|[{`(]|<|\*{3}|\.{3}|\d{1,5}$|\w+\(|"
    r"(?:none|null|nil|true|false|yes|no|str|int|self|os|args|config|cfg|settings|environ)"
    r"(?:$|[.\[(])",
    re.I,
)
"""What a value begins with that is none: a variable, a word of a program, a placeholder."""


@lru_cache(maxsize=65536)
def is_secret_name(name: str, own: frozenset[str] = frozenset()) -> bool:
    """Tell whether what has this name is a secret, such as ``api_key`` or ``WANDB_API_KEY``.

    Args:
        own: The site's names, in small letters.
    """
    if not own and not any(part in name.lower() for part in PARTS):
        return False
    words = words_of(name[-256:])
    if not words:
        return False
    joined = "_".join(words)
    if any(joined == each or joined.endswith(f"_{each}") for each in own):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "key":
        return before in KEYS
    if last == "token":
        return not before or before in TOKENS
    return last in WORDS or (last in ("pwd", "pass") and before in ("db", "user", "admin"))


def words_of(name: str) -> list[str]:
    """Return the words of a name, in small letters, however it is written."""
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return [word for word in _SPLIT.split(_CAMEL.sub("_", plain).casefold()) if word]


def _own_name(name: str) -> str:
    words = words_of(name)
    if not words:
        raise SettingsError(f"the name {name!r} in [redaction] has no letter or digit")
    return "_".join(words)


def mark(name: str) -> str:
    return f"[redacted:{name}]"


def marks_in(text: str) -> list[str]:
    """Return the names of the patterns whose marks a text has, each once."""
    return list(dict.fromkeys(MARK.findall(text))) if "[redacted:" in text else []


_HINTS = (
    "akia", "asia", "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat", "glpat-", "gldt-",
    "glrt-", "hf_", "xox", "hooks.slack", "sk-", "aiza", "pypi-", "eyj", "bearer", "authorization", "://",
    "sig=", "signature=", "x-amz-", "x-goog-", "accessid=", "accesskeyid=", "-----begin", "pass",
    "secret", "token", "key", "credential", "pwd",
)  # fmt: skip
"""Without any of these, in small letters, a text has nothing that is known."""


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

    def is_secret(self, name: str) -> bool:
        return is_secret_name(name, self.names)

    def text(self, text: str) -> str:
        """Return a text without secrets; the same text if it has none."""
        if not self.own and not self._may_have(text):
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
        lines = _replace(KNOWN[0], text).splitlines(keepends=True)
        return "".join(map(self.text, lines)).encode("utf-8", "surrogateescape")

    def _once(self, text: str) -> str:
        if self._may_have(text):
            text = _ASSIGNED.sub(self._assigned, text)
            text = _OPTION.sub(self._assigned, text)
            for pattern in KNOWN:
                text = _replace(pattern, text)
        for pattern in self.own:
            kept = re.split(r"(\[redacted:[\w.-]+\]?)", text) if "[redacted:" in text else [text]
            text = "".join(
                piece if nth % 2 else _by_pieces(pattern, piece) for nth, piece in enumerate(kept)
            )
        return text

    def _assigned(self, found: re.Match[str]) -> str:
        """Return an assignment or option with its value redacted, if its name is a secret's."""
        name, whole = found["name"], found[0]
        group = next(each for each in ("d", "s", "b") if found[each] is not None)
        value = found[group]
        if not self.is_secret(name) or _NO_SECRET.match(value):
            return whole
        if _is_prose(found, group, name):
            return whole
        start, stop = found.start(group) - found.start(), found.end(group) - found.start()
        return f"{whole[:start]}{mark(_plain(name))}{whole[stop:]}"

    def words(self, words: Sequence[str]) -> list[str]:
        """Return a command's words without secrets: the word after ``--password`` is one, too."""
        found: list[str] = []
        option = ""
        for word in words:
            name, equals, value = word.lstrip("-").partition("=")
            is_named = self.is_secret(name)
            if option and not word.startswith("-") and not MARK.match(word):
                found.append(mark(_plain(option)))
            elif is_named and value and not MARK.match(value):
                found.append(f"{word[: len(word) - len(value)]}{mark(_plain(name))}")
            else:
                found.append(self.text(word))
            option = name if word.startswith("-") and is_named and not equals else ""
        return found

    def named(self, name: str, text: str) -> str:
        """Return the text that a name stands for: redacted whole if the name is a secret's."""
        if self.is_secret(name) and text and not MARK.match(text):
            return mark(_plain(name))
        return self.text(text)


def _is_prose(found: re.Match[str], group: str, name: str) -> bool:
    """Tell whether a word with a colon is one of a sentence ("unexpected token: this")."""
    if group != "b":
        return False
    value, sign = found["b"], found["is"]
    if ":" in sign and not found["q"]:
        return name.lower() in ("token", "secret", "password") and value.isalpha()
    spaced = sign.strip() == "=" and sign != "="
    return spaced and re.fullmatch(r"[A-Za-z_][A-Za-z_.]*", value) is not None


def _plain(name: str) -> str:
    """Return a name as one of a mark: its last part, in small letters."""
    last = re.split(r"[.:/]", name)[-1] or name
    return re.sub(r"\W+", "_", last.lower())[:40].strip("_") or "secret"


def _replace(pattern: Pattern, text: str) -> str:
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


def _spans(pattern: Pattern, text: str, start: int, stop: int) -> list[tuple[int, int]]:
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


def _endless(tree: Any) -> str:
    """Return why matching a parsed regular expression may take for ever; empty if it does not."""
    n_ways = 1
    for _, least, most, body in _repeats(tree):
        is_simple = len(body) == 1 and str(body[0][0]) in ONE_CHARACTER
        if most > 1 and not is_simple and (most - least > LONG or _may_differ(body)):
            return "repeats a repetition or a choice"
        n_ways *= min(most - least, PIECE) + 1
    return "has too many repetitions without a bound" if n_ways > MOST_WAYS else ""


def _repeats(tree: Any) -> Iterator[tuple[str, int, int, Any]]:
    for operation, argument in tree:
        if str(operation).endswith("_REPEAT"):
            yield str(operation), *argument
        for part in _parts(argument):
            yield from _repeats(part)


def _may_differ(tree: Any) -> bool:
    """Tell whether one text can be matched in several ways."""
    return any(least != most for _, least, most, _ in _repeats(tree)) or any(
        str(operation) == "BRANCH" or any(map(_may_differ, _parts(argument)))
        for operation, argument in tree
    )


def _parts(argument: Any) -> Iterator[Any]:
    if type(argument).__name__ == "SubPattern":
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _parts(each)


def _parse(regex: str) -> Any:
    """Return the tree of a regular expression, by the parser that `re` keeps to itself.

    Raises:
        ImportError: This Python has none where 3.10 (`sre_parse`) or 3.11 to 3.14 have it.
    """
    try:
        from re import _parser  # type: ignore[attr-defined]
    except ImportError:
        import sre_parse as _parser
    return _parser.parse(regex)


def compiled(name: str, regex: str) -> re.Pattern[str]:
    """Compile a site's pattern.

    Raises:
        SettingsError: It is none, may take for ever, or matches nothing at all.
    """
    where = f"the pattern {name!r} in [redaction]"
    if not re.fullmatch(r"[\w-]{1,40}", name):
        raise SettingsError(f"{where} has no usable name", "Letters, digits, - and _, at most 40")
    try:
        found = re.compile(regex)
    except (re.error, RecursionError, OverflowError) as exc:
        raise SettingsError(f"{where} is no regular expression: {exc}") from None
    try:
        trouble = _endless(_parse(regex))
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        raise SettingsError(
            f"{where} can't be checked for how long it may take on Python {version}",
            "Use Python 3.10 to 3.14, or put the names of such values under `names`",
        ) from None
    if trouble:
        raise SettingsError(f"{where} {trouble}", "It could take for ever; write it without")
    if found.search("") is not None:
        raise SettingsError(f"{where} matches an empty text")
    return found


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
