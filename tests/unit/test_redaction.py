"""What the redactor takes out, what it leaves, and that it does nothing else."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllib.data import Ref
from pllib.errors import SettingsError
from pllib.frame import frame_of, record_bodies
from pllib.records import (
    Context,
    Declared,
    Ended,
    Generated,
    Signature,
    Started,
    Transformation,
    Used,
    decode,
    decode_values,
    encode,
)
from pllib.redaction import Redactor, compiled, load, marks_in, redact
from pllib.sweeping import Sweeper
from pllib.values import encode_list

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SECRET = "Zq7hunter2Zq7"


def _random(n: int, letters: str = LETTERS) -> str:
    """Return what a secret looks like; made here, so that no scanner takes this file for a leak."""
    return "".join(random.Random(n).choices(letters, k=n))


TOKENS = {
    "aws_access_key_id": "AKIA" + _random(16, "ABCDEFGHIJKLMNOP234567"),
    "github_token": "ghp_" + _random(36),
    "gitlab_token": "glpat-" + _random(20),
    "huggingface_token": "hf_" + _random(34, LETTERS[:52]),
    "slack_token": "xoxb-" + _random(24, "0123456789"),
    "api_key": "sk-proj-" + _random(40),
    "google_api_key": "AIza" + _random(35),
    "pypi_token": "pypi-AgE" + _random(60),
    "jwt": f"eyJ{_random(20)}.eyJ{_random(30)}.{_random(43)}",
    "private_key": f"-----BEGIN RSA PRIVATE KEY-----\n{_random(64)}\n-----END RSA PRIVATE KEY-----",
}
WITH_SECRETS = {
    f"https://bob:{SECRET}@host/x.git": "url_password",
    f"postgresql://bob:{SECRET}@db:5432/x": "url_password",
    f"https://s3/b?X-Amz-Signature={SECRET}&x=1": "url_signature",
    f"https://blob/c?sv=2020&sig={SECRET}": "url_signature",
    f"train.py --password {SECRET} --lr 0.1": "password",
    f"train.py --token={SECRET}": "token",
    f"train.py --db.password='{SECRET}'": "password",
    f"export WANDB_API_KEY={SECRET}": "wandb_api_key",
    f"export AWS_SECRET_ACCESS_KEY={SECRET}\n": "aws_secret_access_key",
    f'{{"api_key": "{SECRET}"}}': "api_key",
    f"{{'clientSecret': '{SECRET}'}}": "clientsecret",
    f"password: {SECRET}": "password",
    f'+password = "{SECRET}"': "password",
    f"-password = '{SECRET}'": "password",
    f"login failed for password={SECRET}, twice": "password",
    f"Authorization: Bearer {SECRET}{SECRET}": "bearer",
    f"authorization: Basic {SECRET}": "authorization",
}
CLEAN = (
    "n_tokens=512", "tokenizer=gpt2", "token_ids: [1, 2]", "eos_token=</s>", "pad_token_id=0",
    "max_tokens = 4096", "key=loss", "primary_key=id", "keys: a, b", "--tokens 5", "--key value",
    "sha256:" + "ab" * 32, "blake2b:" + "0f" * 32, "c0ffee0123456789c0ffee0123456789c0ffee01",
    "123e4567-e89b-12d3-a456-426614174000", "/data/secret/tokens/key.pem", "s3://bucket/key/x",
    "https://host:8080/path@v2?x=1&y=2", "git@github.com:owner/name.git", "ssh://git@host/x.git",
    "unexpected token: word", "password = getpass()", "password=$PASSWORD", "token=${TOKEN}",
    "api_key=<your key>", "password=args.password", "secret: null", "task-based", "disk-usage",
    "monkey", "mask-rcnn-resnet50-fpn-coco-2017x", "", "-", "=", "bearer of news", "passes: 5",
    "torch.nn.functional.scaled_dot_product_attention", "compass=north", "[redacted:password]",
)  # fmt: skip


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("around", ["{}", "see {}, please", '"{}"', "x={}"])
def test_a_token_of_a_known_form_is_taken_out(name: str, around: str) -> None:
    found = redact(around.format(TOKENS[name]))
    assert found == around.format(f"[redacted:{name}]")


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_what_a_text_says_is_a_secret_is_taken_out(text: str) -> None:
    found = redact(text)
    assert SECRET not in found
    assert marks_in(found) == [WITH_SECRETS[text]]
    assert redact(found) == found


@pytest.mark.parametrize("text", CLEAN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_the_word_after_a_secret_option_is_one() -> None:
    words = ["x", "--password", SECRET, "--n-tokens", "5", f"--api-key={SECRET},", "--secret", "-v"]
    assert Redactor().words(words) == [
        "x", "--password", "[redacted:password]", "--n-tokens", "5", "--api-key=[redacted:api_key]",
        "--secret", "-v",
    ]  # fmt: skip


@given(st.text())
def test_any_text_is_redacted_once_and_for_all(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


ODD = [" ", "=", ":", "'", '"', "@", "://", "\n", "--", "token"]
PIECES = st.sampled_from([*TOKENS.values(), *WITH_SECRETS, *CLEAN, *ODD])


@settings(max_examples=100)
@given(st.lists(PIECES, max_size=6).map("".join))
def test_texts_full_of_secrets_are_redacted_once_and_for_all(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def _payload(*records: Any) -> bytes:
    context = Context("ab" * 16, 0, 0, 1, "h", 1, "u", "p.py", "p", "w", 1)
    return frame_of(b"1" * 16, 0, [encode(context), *map(encode, records)]).payload


def _records(payload: bytes) -> list[Any]:
    return [decode(body) for body in record_bodies(payload)][1:]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | PIECES
)
VALUES = st.recursive(
    LEAVES,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=9), one, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_sweeping_is_done_once_and_leaves_clean_payloads_as_they_are(values: list[Any]) -> None:
    names = tuple(f"v{n}" for n in range(len(values)))
    payload = _payload(
        Signature(0, "transformation", "t", names), Used(0, 0, 0, encode_list(values))
    )
    swept = Sweeper(Redactor()).sweep(payload)
    assert Sweeper(Redactor()).sweep(swept) == swept
    assert (swept is payload) == (swept == payload)
    assert swept is payload or swept.count(b"[redacted:") > payload.count(b"[redacted:")


@pytest.mark.parametrize("name", TOKENS)
def test_the_look_at_bytes_finds_each_token(name: str) -> None:
    payload = _payload(
        Signature(0, "run", "w", ("x",)), Used(0, 0, 0, encode_list([f"a {TOKENS[name]}"]))
    )
    used = _records(Sweeper(Redactor()).sweep(payload))[1]
    assert decode_values(used.values) == [f"a [redacted:{name}]"]


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_the_look_at_bytes_finds_each_text(text: str) -> None:
    payload = _payload(Ended(0, 0, 1, text))
    assert SECRET.encode() not in Sweeper(Redactor()).sweep(payload)


def test_values_with_secret_names_are_taken_out_whole() -> None:
    nested = {"db": [{"password": SECRET, "n": 5}], "n_tokens": 7}
    values = [SECRET, nested, 12345, 0.5, ["a", SECRET], b"bytes", Ref("db", "row")]
    names = ("hp:api_key", "config", "secret", "token", "passwords", "user_password", "auth_token")
    payload = _payload(
        Signature(0, "run", "w", names),
        Used(0, 0, 0, encode_list(values)),
        Signature(1, "run", "w", (), ("password",)),
        Generated(1, 0, 1, encode_list([SECRET])),
        Transformation(2, 0, 1, 5, 5, generated=encode_list([SECRET])),
        Declared(3, "attribute", "password", properties=encode({"default": SECRET})),
    )
    swept = Sweeper(Redactor()).sweep(payload)
    assert SECRET.encode() not in swept
    records = _records(swept)
    found = decode_values(records[1].values)
    assert found[:6] == [
        "[redacted:api_key]",
        {"db": [{"password": "[redacted:password]", "n": 5}], "n_tokens": 7},
        12345, 0.5, ["[redacted:passwords]", "[redacted:passwords]"], b"[redacted:user_password]",
    ]  # fmt: skip
    assert found[6].store == "db"
    assert [record.seq for record in records if hasattr(record, "seq")] == [0, 1, 2, 3]


def test_a_path_stays_one() -> None:
    path = "training:fit password%3A " + SECRET + "::0/epoch:epoch:1:0"
    record = Started(0, 0, -1, 0, 1, path)
    found = _records(Sweeper(Redactor()).sweep(_payload(record)))[0].path
    assert SECRET not in found
    assert [len(part.split(":")) for part in found.split("/")] == [4, 4]


def test_marks_are_cut_where_there_is_no_room() -> None:
    values = [{"password": "x"}] * 50
    payload = _payload(Signature(0, "run", "w", ("v",)), Used(0, 0, 0, encode_list([values])))
    swept = Sweeper(Redactor()).sweep(payload, room=len(payload) + 100)
    assert len(swept) <= len(payload) + 100
    assert b"\xa1x" not in swept
    assert len(_records(swept)) == 2


@given(st.binary(max_size=200))
def test_no_payload_is_too_odd(body: bytes) -> None:
    odd = struct.pack("<I", len(body)) + body + bytes(-len(body) % 4) if body else b""
    Sweeper(Redactor()).sweep(odd + _payload(Ended(0, 0, 1, f"password={SECRET}")))


def test_a_site_has_patterns_and_names_of_its_own(tmp_path: Any) -> None:
    site, ours = tmp_path / "site.toml", tmp_path / "config.toml"
    site.write_text("[redaction]\npatterns = {badge = 'B-[0-9]{6}'}\nnames = ['seat_code']\n")
    ours.write_text("[redaction]\npatterns = {badge = 'never'}\nnames = ['pin']\n")
    redactor = load(ours, {"SPROV_SITE_CONFIG": str(site)})
    assert redactor.text("by B-123456 or B-12") == "by [redacted:badge] or B-12"
    assert redactor.text("seatCode=abc pin=def spin=x") == (
        "seatCode=[redacted:seatcode] pin=[redacted:pin] spin=x"
    )
    payload = _payload(
        Signature(0, "run", "w", ("seat_code",)), Used(0, 0, 0, encode_list(["abc"]))
    )
    assert b"abc" not in Sweeper(redactor).sweep(payload)


@pytest.mark.parametrize("regex", ["(", "(a+)+", "([a-z]*)*x", "a*", "(?:x{2,})+"])
def test_a_pattern_that_will_not_do_is_refused(regex: str) -> None:
    with pytest.raises(SettingsError, match="pattern 'own'"):
        compiled("own", regex)
