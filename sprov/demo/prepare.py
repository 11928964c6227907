"""Prepare the clean digits: scale, shuffle and split.

python prepare.py CLEAN.npz TRAIN.npz TEST.npz
"""

import sys

import numpy as np

import pllib

TEST_FRACTION = 0.2
SEED = 7


def main(clean: str, train: str, test: str) -> None:
    with (
        pllib.open(study="digits", experiment="preparation") as session,
        session.transformation(
            "prepare",
            used={"clean": pllib.File(clean), "test_fraction": TEST_FRACTION, "seed": SEED},
        ) as prepare,
    ):
        data = np.load(clean)
        order = np.random.default_rng(SEED).permutation(len(data["labels"]))
        images, labels = data["images"][order] / 16.0, data["labels"][order]
        n_test = int(len(labels) * TEST_FRACTION)
        np.savez(test, images=images[:n_test], labels=labels[:n_test])
        np.savez(train, images=images[n_test:], labels=labels[n_test:])
        prepare.generated(
            train=pllib.File(train),
            test=pllib.File(test),
            n_train=len(labels) - n_test,
            n_test=n_test,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
