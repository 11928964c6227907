"""Texts that a regular expression matches, made at random: secrets that nobody ever had."""

from __future__ import annotations

import random
import string
from typing import Any

try:
    from re import _constants as sre  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_constants as sre
    import sre_parse as parser

MOST = 40
"""Repetitions beyond the least number."""
UNUSUAL = str.maketrans("", "", "\\\r\n\t\v\f")
LETTERS = string.ascii_letters + string.digits
CATEGORIES = {
    sre.CATEGORY_DIGIT: string.digits,
    sre.CATEGORY_WORD: LETTERS + "_",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: LETTERS,
    sre.CATEGORY_NOT_WORD: " ",
    sre.CATEGORY_NOT_DIGIT: string.ascii_letters,
}


def made(regex: str) -> str:
    """Return the same text for an expression each time."""
    return sample(regex, random.Random(regex))


def sample(regex: str, choose: random.Random, flags: int = 0) -> str:
    """Return a text for a regular expression; what looks around is not looked at."""
    return _all(parser.parse(regex, flags), choose)


def _all(tree: Any, choose: random.Random) -> str:
    return "".join(_one(operation, argument, choose) for operation, argument in tree)


def _one(operation: Any, argument: Any, choose: random.Random) -> str:
    if operation is sre.LITERAL:
        return chr(argument)
    if operation is sre.ANY:
        return "."  # rules mean one where they forget to escape it
    if operation is sre.NOT_LITERAL:
        return choose.choice(LETTERS)
    if operation is sre.IN:
        return choose.choice(_letters(argument))
    if operation is sre.BRANCH:
        return _all(choose.choice(argument[1]), choose)
    if operation is sre.SUBPATTERN:
        return _all(argument[-1], choose)
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        least, most, body = argument
        n = least if operation is sre.MIN_REPEAT else choose.randint(least, min(most, least + MOST))
        if _all(body, choose).isspace():
            n = min(n, max(least, 1))
        return "".join(_all(body, choose) for _ in range(n))
    if operation in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return ""
    raise ValueError(f"{operation} is not known")


def _letters(items: Any) -> str:
    if items[0][0] is sre.NEGATE:
        excluded = _letters(items[1:])
        return "".join(letter for letter in LETTERS + " " if letter not in excluded)
    found = []
    for operation, argument in items:
        if operation is sre.LITERAL:
            found.append(chr(argument))
        elif operation is sre.RANGE:
            found += map(chr, range(argument[0], argument[1] + 1))
        else:
            found.append(CATEGORIES[argument])
    return "".join(found).translate(UNUSUAL) or " "


KEY = "[A-Za-z0-9]"
BY_PLUGIN = {
    "Artifactory Credentials": f'artifactory:"{made(f"AKCp{KEY}{{69}}")}"',
    "AWS Access Key": made("AKIA[A-Z2-7]{16}"),
    "AWS Access Key (secret)": f"aws_secret_access_key = '{made(f'{KEY}{{40}}')}'",
    "Azure Storage Account access key": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey="
    + made(f"{KEY}{{86}}=="),
    "Basic Auth Credentials": f"https://ada:{made(f'{KEY}{{12}}')}@host/path",
    "Cloudant Credentials": f"cloudant_password = '{made('[0-9a-f]{64}')}'",
    "Cloudant Credentials (URL)": f"https://ada:{made('[0-9a-f]{64}')}@ada.cloudant.com",
    "Discord Bot Token": made(f"MT{KEY}{{22}}[.]{KEY}{{6}}[.]{KEY}{{27}}"),
    "GitHub Token": made(f"ghp_{KEY}{{36}}"),
    "GitLab Token": made(f"glpat-{KEY}{{20}}"),
    "Base64 High Entropy String": f"x = '{made(f'{KEY}{{48}}')}'",
    "Hex High Entropy String": f"x = '{made('[0-9a-f]{64}')}'",
    "IBM Cloud IAM Key": f"ibm_cloud_iam_api_key = '{made(f'{KEY}{{44}}')}'",
    "IBM COS HMAC Credentials": f"cos_hmac_secret_access_key = '{made('[0-9a-f]{48}')}'",
    "Public IP (ipv4)": "host = 133.133.133.133",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0."
    + made(f"{KEY}{{43}}"),
    "Secret Keyword": f"password = '{made(f'{KEY}{{12}}')}'",
    "Mailchimp Access Key": made("[0-9a-f]{32}-us12"),
    "NPM tokens": f"//registry.npmjs.org/:_authToken={made(f'npm_{KEY}{{36}}')}",
    "OpenAI Token": made(f"sk-{KEY}{{20}}T3BlbkFJ{KEY}{{20}}"),
    "Private Key": f"-----BEGIN PRIVATE KEY-----\n{made(KEY + '{64}')}\n-----END PRIVATE KEY-----",
    "PyPI Token": made(f"pypi-AgEIcHlwaS5vcmc{KEY}{{70}}"),
    "SendGrid API Key": made(f"SG[.]{KEY}{{22}}[.]{KEY}{{43}}"),
    "Slack Token": made(f"xoxb-[0-9]{{11}}-[0-9]{{11}}-{KEY}{{24}}"),
    "Slack Token (webhook)": "https://hooks.slack.com/services/"
    + made(f"T{KEY}{{8}}/B{KEY}{{8}}/{KEY}{{24}}"),
    "SoftLayer Credentials": f"softlayer_api_key = '{made('[a-z0-9]{64}')}'",
    "Square OAuth Secret": made(f"sq0csp-{KEY}{{43}}"),
    "Stripe Access Key": made(f"sk_live_{KEY}{{24}}"),
    "Telegram Bot Token": made(f"[0-9]{{9}}:AA{KEY}{{33}}"),
    "Twilio API Key": made("SK[0-9a-f]{32}"),
}
"""One text or two for each plugin of detect-secrets, by the type that it tells."""
