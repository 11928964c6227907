"""What the redactor takes out, what it leaves, and that it does nothing else."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllib.data import Ref
from pllib.errors import SettingsError
from pllib.frame import frame_of, record_bodies
from pllib.launch import process
from pllib.log import Owner, unpack_frame
from pllib.patterns import compiled
from pllib.records import (
    EXT_FILE,
    Accounted,
    Context,
    Declared,
    Digested,
    Ended,
    Facts,
    FileVersion,
    Generated,
    Outcome,
    Signature,
    Started,
    Transformation,
    Used,
    decode,
    decode_values,
    encode,
)
from pllib.redaction import Redactor, load, marks_in, redact
from pllib.secret_names import NOTHING, TEXTS
from pllib.shape import Shapes
from pllib.spool import Chunk, Spool
from pllib.sweeping import Sweeper
from pllib.values import encode_list, extend
from pllib.writer import Writer

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
    f"x --pass {SECRET}": "pass",
    f"x --pw {SECRET}": "pw",
    f"x --pin {SECRET}": "pin",
    f"x --credential={SECRET}": "credential",
    f"curl -u ada:{SECRET} https://host": "password",
    f"curl --user=ada:{SECRET}": "password",
    f"http --auth 'ada:{SECRET}' host": "password",
    f"curl --cookie sid={SECRET}": "cookie",
    f"Cookie: sid={SECRET}; csrf={SECRET}": "cookie",
    f"curl -H 'X-Api-Key: {SECRET}'": "x_api_key",
    f"sbatch --export=ALL,WANDB_API_KEY={SECRET} job": "wandb_api_key",
    f"singularity run --env=DB_PASSWORD={SECRET} x": "db_password",
    f"Server=db;Uid=ada;Pwd={SECRET}": "pwd",
    f"AccountName=a;AccountKey={SECRET}==": "accountkey",
    f"pass={SECRET}": "pass",
    f"smtp_pass: {SECRET}": "smtp_pass",
    f"{{'dbPass': '{SECRET}'}}": "dbpass",
    f"password => '{SECRET}'": "password",
    f"passwords=['{SECRET}']": "passwords",
    f"MAPBOX_TOKEN={SECRET}{SECRET}": "mapbox_token",
    f"kaggle_key: {SECRET}{SECRET}": "kaggle_key",
    f"api_keys={SECRET}": "api_keys",
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
    "n_pass=3", "pass=3", "token=5", "pin_memory=True", "use_auth_token: True", "token: null",
    "pad_token: '[PAD]'", '"mask_token": "<mask>"', "cls_token=CLS", "next_token: the",
    "token='<|endoftext|>'", "bos_token_id=50256", "mapbox_token=here", "num_tokens=1e6",
    "PWD=/home/ada OLDPWD=/tmp", "first pass: loss 0.3", "--low-pass 50", "forward_pass=train",
    "docker run -u 1000:1000 x", "rsync -u host:/data .", "python -u train.py", "--user ada",
    "ssh -p 22 -u http://x/y", "cache_key=abcdef0123456789abcdef0123456789", "gpio_pin=high",
    "ssl_key=/etc/ssl/host.pem", "bypass=yes", "monkey=banana123456789012", "cookies=True",
    "--use-auth-token --lr 0.1", "spin=up", "tokens: [the, cat]", "author=ada:x",
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


@pytest.mark.parametrize(
    "words",
    [
        ["x", "--password", SECRET], ["x", "--pass", SECRET], ["x", "--pw", SECRET],
        ["x", "--pin", "1234"], ["curl", "-u", f"ada:{SECRET}"], ["x", f"--auth=ada:{SECRET}"],
        ["x", "--cookie", f"sid={SECRET}"], ["x", 0.1, "--secret", [SECRET]],
    ],
)  # fmt: skip
def test_an_option_and_its_value_may_be_items_of_a_list(words: list[Any]) -> None:
    payload = _payload(
        Signature(0, "run", "w", ("argv",)), Used(0, 0, 0, encode_list([{"argv": words}]))
    )
    swept = Sweeper(Redactor()).sweep(payload)
    assert SECRET.encode() not in swept and b"1234" not in swept
    (found,) = decode_values(_records(swept)[1].values)
    assert len(found["argv"]) == len(words)
    assert found["argv"][0] == words[0]


def test_words_that_are_no_secrets_stay_in_a_list() -> None:
    words = ["-u", "1000:1000", "--token", 5, "--pad-token", "[PAD]", "--use-auth-token", "--lr"]
    values = encode_list([words, {"key": "lr", "value": "x"}])
    payload = _payload(Signature(0, "run", "w", ("a", "b")), Used(0, 0, 0, values))
    assert Sweeper(Redactor()).sweep(payload) == payload


PREFIXES = ["", "hp:", "mhp:", "hp:hub.", "db."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["token", "pass", "pwd", "pw", "pin", "credential", "cookie"])
def test_a_name_is_a_secrets_wherever_it_stands(prefix: str, name: str) -> None:
    """Alone, as a hyperparameter's, at the end of a dotted one, in a mapping, as a name's value."""
    values = [SECRET, {name: SECRET}, [{"name": name, "value": SECRET}], {"x": [{name: [SECRET]}]}]
    for value in values:
        named = (prefix + name if value is SECRET else "x",)
        payload = _payload(Signature(0, "run", "w", named), Used(0, 0, 0, encode_list([value])))
        assert SECRET.encode() not in Sweeper(Redactor()).sweep(payload), (named, value)


@pytest.mark.parametrize("number", [7, 1234, 123456789, -5.5, 2**80])
@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_number_is_a_secret_under_a_name_that_means_nothing_else(number: Any, room: int) -> None:
    plain = ("token", "pass", "n_pins", "pin_memory", "secret", "max_tokens", "seed")
    names = ("password", "pin", "x", *plain)
    values = [number, number, {"passcode": number}, *[number] * len(plain)]
    payload = _payload(Signature(0, "run", "w", names), Used(0, 0, 0, encode_list(values)))
    swept = Sweeper(Redactor()).sweep(payload, room)
    found = decode_values(_records(swept)[1].values)
    assert found[3:] == values[3:]
    assert len(swept) <= max(len(payload), room)
    assert not {number} & {found[0], found[1], found[2]["passcode"]}


@given(st.text())
def test_any_text_is_redacted_once_and_for_all(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


ODD = [
    "-password 0",
    "-u a",
    "name",
    "value",
    " ",
    "=",
    ":",
    "'",
    '"',
    "@",
    "://",
    "\n",
    "--",
    "token",
]
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


@pytest.mark.parametrize(
    "regex",
    [
        "(", "(a+)+", "([a-z]*)*x", "a*", "(?:x{2,})+", "(a|aa)+$", r"(\w|\d)+!", "(?:a|aa){1,99}!",
        r"(?:\w{1,9}-){2,}", r"\w+\d+!", "(?=(?:ab|a)+)x", "(?:(?:a|ab)c?){9}",
    ],
)  # fmt: skip
def test_a_pattern_that_will_not_do_is_refused(regex: str) -> None:
    with pytest.raises(SettingsError, match="pattern 'own'"):
        compiled("own", regex)


@pytest.mark.parametrize(
    "regex", ["B-[0-9]{6}", r"id=\w+", "(?:a|b)c+", "(?:[0-9]{3}-){2}x", "x(y)?z"]
)
def test_a_pattern_that_takes_no_time_is_not(regex: str) -> None:
    assert compiled("own", regex).pattern == regex


ADVERSARIAL = (
    "a", "1", "a=", "a:", "- ", "--a ", "a='", 'a="', "://", "a://b:", "http://", "https://a1@",
    "eyJ", "eyJ.", "eyJaaaaaaaa.", "-----BEGIN ", "-----BEGIN A", "-----BEGIN PRIVATE KEY-----",
    "AKIA", "ghp_", "github_pat_", "glpat-", "hf_", "xoxb-", "https://hooks.slack.com/services/",
    "MTaaaaaaaaaaaaaaaaaaaaaa.", "-u a1:b ", "Cookie: a=", "x_token=a1", "a=a,", "ey", "SKa", "pw=",
    "sk-", "_sk-", ".sk-a-", "sk-aa-", "AIza", "pypi-AgE", "Bearer ", "Bearer a", "Authorization: ",
    "Authorization: Basic ", "?sig=", "?signature=[", "password=,", "token", "key", "pass",
    "[redacted:",
)  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_no_text_takes_for_ever(piece: str) -> None:
    """A pattern that is cubic takes minutes for one of these, one that is quadratic a second."""
    for end in ("", "!", "\n", " =", "\0"):
        text = (piece * (16384 // len(piece)))[:16384] + end
        for _ in range(3):
            redact(text)
        Sweeper(Redactor()).sweep(_payload(Ended(0, 0, 1, f"password={SECRET} {text}")))


def test_a_frame_full_of_bytes_that_are_secrets_stays_in_its_chunk(tmp_path: Path) -> None:
    mine = process()
    owner = Owner("host", mine.boot_id, mine.pid, mine.started)
    spool = Spool(tmp_path / "s", owner, 4096, 1 << 22)
    spool.sweep = Sweeper(Redactor()).sweep
    shape = Shapes().find("run", "w", ["password"], [])
    retired: list[Chunk] = []
    context = encode(Context("ab" * 16, 0, 0, 1, "h", 1, "u", "p.py", "p", "w", 1))
    writer = Writer(spool, context, {}, retired.append)
    values = encode_list([b"\xff" * 12])
    for n in range(3000):
        assert writer.write(shape, lambda signature, n=n: encode(Used(n, 0, signature, values)))
    retired.append(writer.retire())
    for chunk in retired:
        spool.seal(chunk)
    frames = [unpack_frame(spool.frame(chunk)) for chunk in retired]
    records = [each for frame in frames for each in frame.records() if isinstance(each, Used)]
    assert [record.seq for record in records] == [*range(3000)]
    assert spool.n_unswept == 0
    assert not any(b"\xff" * 2 in frame.payload for frame in frames)
    retired.clear()
    del chunk, writer
    spool.close(keep=False)


def test_what_a_sweep_makes_too_long_is_dropped_and_counted(tmp_path: Path) -> None:
    mine = process()
    spool = Spool(
        tmp_path / "s", Owner("host", mine.boot_id, mine.pid, mine.started), 4096, 1 << 20
    )
    retired: list[Chunk] = []
    writer = Writer(spool, encode(Facts(0, {})), {}, retired.append)
    shape = Shapes().find("run", "w", [], [])
    assert all(writer.write(shape, lambda _, n=n: encode(Facts(n, {}))) for n in range(9))
    chunk, behind = writer.retire(), spool.lease()
    assert chunk is not None and behind is not None
    spool.sweep = lambda payload, _: (
        frame_of(b"1" * 16, 0, [encode(Facts(1, {"a": "x" * 900}))] * 9).payload
    )
    before = bytes(spool._extents[0][0])
    assert spool.seal(chunk) == 9 - 5
    after = bytes(spool._extents[0][0])
    assert spool.n_unswept == 5
    assert after[: chunk.base] == before[: chunk.base]
    assert after[chunk.base + 4096 :] == before[chunk.base + 4096 :]
    assert len(list(unpack_frame(spool.frame(chunk)).records())) == 4
    del chunk, behind, writer
    spool.close(keep=False)


def test_a_name_may_have_any_letters() -> None:
    redactor = Redactor(names=("пароль", "Schlüssel wort", "Maß"))
    assert redactor.names == {"пароль", "schlüssel_wort", "mass"}
    assert redactor.text("maß=abc") == "maß=[redacted:maß]"
    assert redactor.text("Пароль=abc") == "Пароль=[redacted:пароль]"
    assert redactor.secrecy("SCHLÜSSEL-WORT") == TEXTS
    assert redactor.secrecy("wort") == NOTHING
    names = ("мой_пароль", "пароль_password", "x")
    values = [b"\xffabc", b"\xffdef", {"ПАРОЛЬ": "ghi", "schlu\u0308ssel wort": "jkl"}]
    payload = _payload(Signature(0, "run", "w", names), Used(0, 0, 0, encode_list(values)))
    swept = Sweeper(redactor).sweep(payload)
    assert not any(each in swept for each in (b"abc", b"def", b"ghi", b"jkl"))
    found = decode_values(_records(swept)[1].values)
    assert found[0].decode() == "[redacted:мой_пароль]"
    assert Sweeper(redactor).sweep(swept) == swept


@pytest.mark.parametrize("name", ["", "--", "_", "¿?"])
def test_a_name_without_letters_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="has no letter or digit"):
        Redactor(names=(name,))


SECRET_NAMES = st.text(max_size=9).map(lambda start: f"{start}_password") | st.text(max_size=20)


@settings(max_examples=150)
@given(SECRET_NAMES, VALUES | st.dictionaries(SECRET_NAMES, LEAVES, max_size=3), st.booleans())
def test_a_sweep_raises_for_no_name_and_no_value(name: str, value: Any, cut: bool) -> None:
    name = name.encode(errors="replace").decode()
    payload = _payload(Signature(0, "run", "w", (name,)), Used(0, 0, 0, encode_list([value])))
    for redactor in (Redactor(), Redactor(names=("пароль", "a b"))):
        swept = Sweeper(redactor).sweep(payload, room=0 if cut else 1 << 30)
        assert len(_records(swept)) == 2
        assert not cut or len(swept) <= len(payload)


def test_what_things_are_known_by_stays() -> None:
    redactor = Redactor(
        {"hex": compiled("hex", r"\b[0-9a-f]{32,64}\b"), "n": compiled("n", "[0-9]{4}")}
    )
    one, two = "ab" * 16, "sha256:" + "cd" * 32
    job = {"job_id": "4242", "cluster": "c1234", "note": f"see {one}"}
    context = Context(
        one, 0, 0, 1, "n1234", 1, "u", f"{one}.py", "p", "w", 1, scope=one, launch="4242.0",
        facts=job, session=one,
    )  # fmt: skip
    file = FileVersion("/x/1234", f"{one}:1234", 1, 1, version=two)
    records = [
        Digested(0, "s", "/x/1234", 1, 1, two, two, 1),
        Outcome(1, one, "failed", 1, node="n1234"),
        Accounted(2, "c1234", "4242", "1234", 0, "sacct", "FAILED", 1, texts={"comment": one}),
        Signature(0, "run", "w", ("f", "t")),
        Used(3, 0, 0, encode_list([extend(EXT_FILE, file), one])),
        Started(4, 0, -1, 0, 1, f"run:{one}::1234/epoch:epoch:1234:0"),
    ]
    payload = frame_of(b"1" * 16, 0, [encode(context), *map(encode, records)]).payload
    found = [decode(body) for body in record_bodies(Sweeper(redactor).sweep(payload))]
    assert found[0] == msgspec.structs.replace(
        context, program="[redacted:hex].py", facts={**job, "note": "see [redacted:hex]"}
    )
    assert found[1].version == found[1].digest == two
    assert found[2] == records[1]
    assert found[3] == msgspec.structs.replace(records[2], texts={"comment": "[redacted:hex]"})
    stated, text = decode_values(found[5].values)
    assert (stated.version, stated.store, stated.path) == (two, file.store, "/x/[redacted:n]")
    assert text == "[redacted:hex]"
    assert found[6].path == "run:[redacted%3Ahex]::1234/epoch:epoch:1234:0"
    assert Sweeper(redactor).context(context).facts["job_id"] == "4242"


@pytest.mark.parametrize("key", ["api key", "secret/key", "auth: token", "db pwd", "my seat code"])
def test_the_look_at_bytes_finds_names_with_spaces(key: str) -> None:
    payload = _payload(Signature(0, "run", "w", ("v",)), Used(0, 0, 0, encode_list([{key: "abc"}])))
    assert b"abc" not in Sweeper(Redactor(names=("seat_code",))).sweep(payload)


def test_a_mapping_with_keys_of_any_kind_hides_nothing() -> None:
    for odd in (b"\x81\x91\x81\x01\x02\x03", b"\x81\x81\x01\x02\x03", b"\x81\xa1\xff\x03"):
        value = msgspec.Raw(b"\x83\xa8password\xa3abc\xa1n\xcd\x12\x34\xa1o" + odd)
        values = encode([value, "password=def"])
        payload = _payload(Signature(0, "run", "w", ("v", "w")), Used(0, 0, 0, values))
        swept = Sweeper(Redactor()).sweep(payload)
        assert b"abc" not in swept and b"def" not in swept
        assert odd in swept and b"\xa1n\xcd\x12\x34" in swept
    payload = _payload(
        Signature(0, "run", "w", ("password",)), Used(0, 0, 0, encode([msgspec.Raw(b"\xa3\xffbc")]))
    )
    assert b"bc" not in Sweeper(Redactor()).sweep(payload).replace(b"[redacted:password]", b"")


@pytest.mark.parametrize("before", [0, 4090, 4095, 3070, 3075, 9000])
def test_a_sites_pattern_finds_what_is_anywhere_in_a_long_text(before: int) -> None:
    redactor = Redactor({"badge": compiled("badge", r"\bB-[0-9]{6,900}")})
    text = "x " * (before // 2) + "{}" + " x" * 5000
    assert redactor.text(text.format("B-" + "7" * 800)) == text.format("[redacted:badge]")
