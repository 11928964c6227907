"""Curate the raw digits: drop scans with too little ink.

python curate.py RAW.csv.gz CLEAN.npz
"""

import sys

import numpy as np

import pllib

LEAST_INK = 200.0


def main(raw: str, clean: str) -> None:
    with (
        pllib.open(study="digits", experiment="curation") as session,
        session.transformation(
            "curate", used={"raw": pllib.File(raw), "least_ink": LEAST_INK}
        ) as curate,
    ):
        table = np.loadtxt(raw, delimiter=",")
        images, labels = table[:, :64], table[:, 64].astype(int)
        keep = images.sum(axis=1) >= LEAST_INK
        np.savez(clean, images=images[keep], labels=labels[keep])
        curate.generated(clean=pllib.File(clean), kept=int(keep.sum()), dropped=int((~keep).sum()))


if __name__ == "__main__":
    main(*sys.argv[1:])
