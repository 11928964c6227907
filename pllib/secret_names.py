"""Tell from a name whether its values are secrets, such as of ``api_key`` or ``WANDB_API_KEY``.

Names are compared by whole words, however they are written: snake, kebab, camel, with dots.  Names
that say nothing certain, as ``mapbox_token``, have a secret if the value looks like one.

Guarantee: ``True``, ``False`` and ``None`` are never secrets; a number is one only under a name
that means nothing else, such as ``password`` and ``pin``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

NOTHING, RANDOM, TEXTS, ALL = range(4)
"""What is a secret under a name: nothing, a text that looks random, each text, numbers too."""

ALWAYS = {"password", "passwd", "passphrase", "passcode", "pincode"}
"""A name that ends in one of these, or is it, is a secret's, also where the value is a number."""
ENDS = {
    "passwords", "passphrases", "passcodes",
    "secret", "secrets", "credential", "credentials", "creds", "cookie", "cookies", "pw",
    "pwd", "passin", "passout", "passkey", "apikey", "apikeys", "apitoken", "authtoken",
    "accesstoken", "secretkey", "privatekey", "accesskey", "accountkey", "authkey", "authorization",
}  # fmt: skip
"""A name that ends in one of these, or is it, has secrets where it has texts."""
JOINED = ("passwd", "passphrase", "password")
JOINED_TEXTS = (
    "accesskey", "accesstoken", "accountkey", "apikey", "authtoken", "privatekey", "pwd", "secret",
    "secretkey",
)  # fmt: skip
"""Ends of a last word that has no sign of where another begins: ``dbpassword``, ``userpwd``."""
NOT_JOINED = {"oldpwd"}
OWNERS = {
    "account", "admin", "api", "auth", "basic", "card", "database", "db", "device", "docker",
    "email", "ftp", "http", "https", "imap", "keystore", "ldap", "login", "mail", "mongo", "mqtt",
    "my", "mysql", "pg", "postgres", "proxy", "rabbitmq", "redis", "registry", "remote", "root",
    "security", "server", "sim", "smtp", "sql", "ssh", "store", "sudo", "svn", "truststore",
    "unlock", "user", "wifi",
}  # fmt: skip
"""What makes a pass or a pin a secret one; others are passes over data and pins of chips."""
KEYS = {
    "access", "account", "admin", "aes", "anthropic", "api", "app", "auth", "client", "consumer",
    "decryption", "deploy", "encryption", "hmac", "license", "master", "openai", "private",
    "secret", "service", "sharedaccess", "signing", "ssh", "subscription", "wandb",
}  # fmt: skip
"""What makes a key a secret one."""
PLAIN_KEYS = {
    "attention", "attn", "batch", "bucket", "cache", "class", "col", "column", "composite",
    "config", "data", "dataset", "dict", "dropout", "entity", "feature", "field", "foreign",
    "group", "hash", "image", "index", "init", "input", "item", "join", "json", "label", "lookup",
    "map", "mask", "merge", "metric", "model", "monitor", "object", "output", "parent",
    "partition", "primary", "prng", "public", "query", "random", "record", "registry", "rng",
    "routing", "row", "run", "sample", "search", "sort", "split", "state", "table", "target",
    "text", "train", "unique", "value",
}  # fmt: skip
"""What makes a key one of a table, a mapping or a generator of random numbers."""
TOKENS = {
    "access", "account", "admin", "api", "app", "auth", "bearer", "ci", "csrf", "deploy", "gh",
    "github", "gitlab", "hf", "hub", "huggingface", "id", "jwt", "login", "npm", "oauth",
    "personal", "pypi", "read", "refresh", "robot", "secret", "security", "service", "session",
    "slack", "vault", "wandb", "write",
}  # fmt: skip
"""What makes a token a secret one."""
PLAIN_TOKENS = {
    "audio", "bad", "begin", "blank", "boi", "bos", "boundary", "by", "class", "classifier", "cls",
    "column", "context", "current", "decoder", "delimiter", "dist", "distillation", "document",
    "draft", "end", "eoi", "eom", "eos", "eot", "fim", "first", "forced", "generated", "header",
    "image", "img", "initializer", "input", "instance", "lang", "language", "last", "line", "mask",
    "max", "min", "n", "new", "newline", "next", "non", "num", "out", "output", "pad", "padding",
    "patch", "per", "placeholder", "predicted", "prefix", "prev", "previous", "prompt", "query",
    "register", "role", "sampled", "sep", "separator", "sep2", "sot", "source", "special",
    "start", "stop", "sub", "suffix", "suppress", "system", "tag", "target", "task", "text",
    "think", "thinking", "time", "timestamp", "tool", "trigger", "turn", "type", "unk", "unknown",
    "video", "vision", "word",
}  # fmt: skip
"""What makes a token a piece of a text, as in the settings of language models."""
SEVERAL = {"access", "api", "auth", "oauth", "private", "refresh", "secret"}
"""What makes tokens and keys secret ones; others are counted or listed all the time."""
PARTS = ("pass", "secret", "token", "key", "credential", "creds", "pwd", "cookie", "authorization")
SHORT = ("pin", "pw")
"""One of these is in every such name; the short ones at its end."""
LOGINS = {"u", "user", "proxy-user", "auth", "basic-auth", "http-auth", "login"}
"""Options whose values are ``USER:PASSWORD``.  Source: curl(1), http(1)."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = re.compile(r"[\W_]+")
_PIECES = re.compile(r"[\w+/=.~-]{16,}", re.ASCII)
_MIXED = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{16,}")
_CODE = re.compile(r"(?=[^\d]{0,400}\d)[^\s<>\[\]{}()]{8,}")
_SPECIAL = re.compile(r"[<\[{(].*[>\])}]|\W*", re.DOTALL)
"""How language models write tokens that are no words: ``</s>``, ``[PAD]``, ``<|endoftext|>``."""
_FOLDER = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\]|\.{1,2}$|~$")
_FILE = re.compile(
    r"[\w./~-]{0,400}\.(?:cer|cfg|crt|env|ini|json|key|p12|pem|pfx|ppk|pub|toml|txt|ya?ml)"
)
NO_VALUES = {"", "auto", "default", "false", "no", "none", "null", "true", "yes"}


@lru_cache(maxsize=65536)
def secrecy(name: str, own: frozenset[str] = frozenset()) -> int:
    """Return what is a secret under a name.

    Args:
        own: The site's names, in small letters.
    """
    small = name.lower()
    if not own and not any(part in small for part in (*PARTS, *SHORT)):
        return NOTHING
    if "[redacted:" in small:  # a name that was redacted says no more than it did before
        return NOTHING
    words = words_of(name[-256:])
    if not words:
        return NOTHING
    joined = "_".join(words)
    if any(joined == each or joined.endswith(f"_{each}") for each in own):
        return TEXTS
    if words[-1].isdigit() and len(words) > 1:  # password_2
        return min(_of_words(words[:-1], is_alone=False), TEXTS)
    is_alone = len(words) == 1 or name.endswith(("." + words[-1], ":" + words[-1]))
    return _of_words(words, is_alone=is_alone)


def _of_words(words: list[str], *, is_alone: bool) -> int:
    """Return what is a secret under a name of these words.

    Args:
        is_alone: The last one is all that a dotted name ends in, as in ``hp:token``.
    """
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in ("pass", "pin"):
        is_secret = is_alone or before in OWNERS
        return NOTHING if not is_secret else ALL if last == "pin" else TEXTS
    if last == "key":
        return TEXTS if before in KEYS else RANDOM if _says_nothing(before, PLAIN_KEYS) else NOTHING
    if last == "token":
        if is_alone or before in TOKENS:
            return TEXTS
        return RANDOM if _says_nothing(before, PLAIN_TOKENS) else NOTHING
    if last in ("tokens", "keys"):
        return TEXTS if before in SEVERAL else NOTHING
    return _of_last(last.rstrip("0123456789"))


def _of_last(last: str) -> int:
    if last in ALWAYS or last.endswith(JOINED):
        return ALL
    is_text = last in ENDS or (last.endswith(JOINED_TEXTS) and last not in NOT_JOINED)
    return TEXTS if is_text else NOTHING


def _says_nothing(before: str, plain: set[str]) -> bool:
    return bool(before) and before not in plain and not before.isdigit()


def words_of(name: str) -> list[str]:
    """Return the words of a name, in small letters, however it is written."""
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return [word for word in _SPLIT.split(_CAMEL.sub("_", plain).casefold()) if word]


def hides(name: str, value: str, level: int) -> bool:
    """Tell whether a text is a secret under a name with this secrecy."""
    if level in (NOTHING, ALL):
        return level == ALL
    if value.lower() in NO_VALUES or _FILE.fullmatch(value):
        return False
    last = words_of(name)[-1]
    if level == RANDOM:
        return _CODE.fullmatch(value) is not None if last == "token" else looks_random(value)
    is_folder = last == "pwd" and _FOLDER.match(value)  # pwd(1) prints one
    return not is_folder and not (last == "token" and _SPECIAL.fullmatch(value))


def looks_random(value: str) -> bool:
    """Tell whether a text is one word with a piece that has letters and digits, of 16 or more."""
    start = value[:256]
    return _PIECES.fullmatch(start) is not None and _MIXED.search(start) is not None
