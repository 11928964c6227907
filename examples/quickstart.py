"""Fit a line to noisy points, and record how."""

import random

import pllib


def main() -> None:
    with pllib.open(study="quickstart", experiment="line") as session:
        with session.transformation("make_points", used={"seed": 3, "n": 50}) as make:
            random.seed(3)
            points = [(x / 10, 2 * x / 10 + random.gauss(0, 0.1)) for x in range(50)]
            made = make.generated(mean_y=sum(y for _, y in points) / len(points))
        with session.stage(
            "training", "fit", hyperparameters={"lr": 0.02}, used={"mean_y": made["mean_y"]}
        ) as training:
            slope = 0.0
            for epoch in training.sections("epoch", 20):
                gradient = sum(2 * x * (slope * x - y) for x, y in points) / len(points)
                slope -= 0.02 * gradient
                epoch.metric("loss", sum((slope * x - y) ** 2 for x, y in points) / len(points))
            training.generated(slope=slope)


if __name__ == "__main__":
    main()
