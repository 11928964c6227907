"""What taking out secrets costs the sender's thread, a record; a frame of 256 KiB at a time.

Records have 10 values: numbers, a path, two words, a small mapping.  While it folds letters, and at
each hit, no other thread of the process runs; while the C library searches, all do.  "Like one" is
a hit in each record that is none, ``n_tokens``; a long word is a hit, too, as it may be a token.
The floor is what sealing the same frame takes: its copy and its checksum.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

from pllib.frame import FRAME_BYTES, frame_of, seal_header
from pllib.records import Context, Signature, Transformation, encode
from pllib.redaction import Redactor, compiled
from pllib.sweeping import FOLD, Sweeper
from pllib.values import encode_list

from . import table

ROOM = (256 << 10) - FRAME_BYTES
NAMES = ("path", "n_tokens", "optimizer", "rate"), ("loss", "score", "n", "extra", "state", "more")


def payload(
    secret: object = None, key: str = "n_words", word: str | None = None
) -> tuple[bytes, int]:
    """Return a frame's payload and its number of records; a value of the first may be a secret.

    Args:
        word: A text that each record has instead of ``ok``, with its number.
    """
    numbers = random.Random(1)
    context = Context("ab" * 16, 0, 0, 1, "host", 1, "user", "train.py", "project", "train", 1)
    bodies = [encode(context), encode(Signature(0, "transformation", "clean", *NAMES))]
    length = sum(map(len, bodies))
    while length < ROOM - 400:
        n = len(bodies)
        used = [f"/data/train/shard-{n:05d}.parquet", n, "adam", numbers.random()]
        text = "ok" if word is None else f"{word}{n:06d}"
        made = [numbers.random(), numbers.random(), n, {key: n}, text, numbers.random()]
        if secret is not None and n == 2:
            made[3] = secret
        values = encode_list(used), encode_list(made)
        bodies.append(encode(Transformation(n, -1, 0, 1_700_000_000 * 10**9 + n, 12_345, *values)))
        length += len(bodies[-1]) + 8
    return frame_of(bytes(16), 0, bodies).payload, len(bodies) - 2


def least_us(call: Callable[[], object], repeats: int) -> float:
    """Return the least CPU time of this thread that a call takes, in microseconds."""
    took = []
    for _ in range(repeats):
        began = time.thread_time_ns()
        call()
        took.append(time.thread_time_ns() - began)
    return min(took) / 1000


def measure(options: argparse.Namespace) -> list[table.Row]:
    clean, n_records = payload()
    frame = frame_of(bytes(16), 0, [])
    sealing = least_us(lambda: seal_header(frame, bytes(bytearray(clean))), options.repeats)
    plain, own = Sweeper(Redactor()), Sweeper(Redactor({"own": compiled("own", "B-[0-9]{6}")}))

    def row(figure: str, took_us: float, at_most: float | None = None) -> table.Row:
        return table.Row(
            figure, "us", took_us / n_records, floor=sealing / n_records, at_most=at_most
        )

    token, named = payload("AKIA" + "A" * 16)[0], payload({"api_key": "abc"})[0]
    alike = payload(key="n_tokens")[0]
    (digests, n_digests), (words, n_long) = (
        payload(word=word) for word in ("c0ffee" * 5, "validation_accuracy_of_fold_")
    )
    few = max(options.repeats // 10, 3)
    return [
        row(
            "redaction, no secret, letters folded",
            least_us(lambda: clean.translate(FOLD), options.repeats),
            0.3,
        ),
        row("redaction, no secret, all", least_us(lambda: plain.sweep(clean), options.repeats)),
        row("redaction, names like one", least_us(lambda: plain.sweep(alike), options.repeats)),
        row(
            "redaction, a digest in each record",
            least_us(lambda: plain.sweep(digests), options.repeats) * n_records / n_digests,
        ),
        row(
            "redaction, another long word in each",
            least_us(lambda: plain.sweep(words), options.repeats) * n_records / n_long,
        ),
        row("redaction, a token in a frame", least_us(lambda: plain.sweep(token), few)),
        row("redaction, a secret name in a frame", least_us(lambda: plain.sweep(named), few)),
        row("redaction, a site's own pattern, no secret", least_us(lambda: own.sweep(clean), few)),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    table.run(measure, parser)
