"""Curate the raw table of cells: drop what was not measured and what is out of range.

    python curate.py breast_cancer.csv clean.csv

The raw file is the Wisconsin diagnostic data as scikit-learn has it: one line about the rest, then
a line for each tumour, with 30 measurements of its cells and a diagnosis (0 malignant, 1 benign).
"""

import argparse
import csv

import pllib

MEASURES = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
    "concave points", "symmetry", "fractal dimension",
)  # fmt: skip
COLUMNS = [f"{kind} {measure}" for kind in ("mean", "error", "worst") for measure in MEASURES]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("raw")
    parser.add_argument("clean")
    parser.add_argument("--most-area", type=float, default=2000.0, help="of a mean cell")
    parser.add_argument("--least-concavity", type=float, default=1e-6, help="0: not measured")
    return parser.parse_args()


def main(config: argparse.Namespace) -> None:
    area, concavity = COLUMNS.index("mean area"), COLUMNS.index("mean concavity")
    settings = {"most_area": config.most_area, "least_concavity": config.least_concavity}
    with (
        pllib.open(study="cells", experiment="malignancy", workflow="curation") as session,
        session.transformation("clean", used={"raw": pllib.File(config.raw), **settings}) as clean,
    ):
        with open(config.raw, newline="") as file:
            rows = list(csv.reader(file))[1:]
        kept = [
            row
            for row in rows
            if float(row[area]) <= config.most_area
            and float(row[concavity]) >= config.least_concavity
        ]
        with open(config.clean, "w", newline="") as file:
            csv.writer(file).writerows([[*COLUMNS, "benign"], *kept])
        clean.generated(
            clean=pllib.File(config.clean), n_kept=len(kept), n_dropped=len(rows) - len(kept)
        )


if __name__ == "__main__":
    main(arguments())
