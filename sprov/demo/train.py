"""Train a digit classifier, data-parallel: each rank has its share of the data.

    mpirun -n 4 python train.py TRAIN.npz TEST.npz MODEL.npz

A perceptron with one hidden layer; gradients are averaged over ranks by Allreduce.
"""

import sys
from typing import Any

import numpy as np
from mpi4py import MPI

import pllib

Weights = dict[str, Any]


def make_weights(n_hidden: int, seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        "w1": rng.normal(0, 0.1, (64, n_hidden)),
        "b1": np.zeros(n_hidden),
        "w2": rng.normal(0, 0.1, (n_hidden, 10)),
        "b2": np.zeros(10),
    }


def forward(weights: Weights, images: Any) -> tuple[Any, Any]:
    hidden = np.maximum(images @ weights["w1"] + weights["b1"], 0)
    scores = hidden @ weights["w2"] + weights["b2"]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def gradients(weights: Weights, images: Any, labels: Any) -> tuple[Weights, float]:
    """Return the gradient of the mean cross-entropy, and its value."""
    hidden, chance = forward(weights, images)
    loss = -float(np.log(chance[np.arange(len(labels)), labels] + 1e-12).mean())
    chance[np.arange(len(labels)), labels] -= 1
    chance /= len(labels)
    back = (chance @ weights["w2"].T) * (hidden > 0)
    made = {
        "w1": images.T @ back, "b1": back.sum(axis=0),
        "w2": hidden.T @ chance, "b2": chance.sum(axis=0),
    }  # fmt: skip
    return made, loss


def accuracy(weights: Weights, images: Any, labels: Any) -> float:
    return float((forward(weights, images)[1].argmax(axis=1) == labels).mean())


def average(comm: Any, values: Weights) -> None:
    """Average over ranks, in place."""
    for value in values.values():
        comm.Allreduce(MPI.IN_PLACE, value)
        value /= comm.Get_size()


def main(train: str, test: str, model: str) -> None:
    comm = MPI.COMM_WORLD
    rank, size = comm.Get_rank(), comm.Get_size()
    settings: dict[str, Any] = {
        "learning_rate": 0.3, "n_hidden": 256, "epochs": 120, "batch": 16, "seed": 11,
    }  # fmt: skip
    data, held_out = np.load(train), np.load(test)
    images, labels = data["images"][rank::size], data["labels"][rank::size]
    with pllib.open(study="digits", experiment="training") as session:
        weights = make_weights(settings["n_hidden"], settings["seed"])
        n_batches = comm.allreduce(len(labels), op=MPI.MIN) // settings["batch"]
        with session.stage(
            "training", "fit", hyperparameters=settings, used={"train": pllib.File(train)}
        ) as training:
            for epoch in training.sections("epoch", settings["epochs"]):
                losses = []
                for nth in range(n_batches):
                    batch = slice(nth * settings["batch"], (nth + 1) * settings["batch"])
                    change, loss = gradients(weights, images[batch], labels[batch])
                    average(comm, change)
                    for name, value in change.items():
                        weights[name] -= settings["learning_rate"] * value
                    losses.append(loss)
                epoch.metric("loss", np.mean(losses))
                if rank == 0:
                    score = accuracy(weights, held_out["images"], held_out["labels"])
                    epoch.metric("accuracy", score)
                    epoch.generated(accuracy=score)
            if rank == 0:
                np.savez(model, **weights)
                training.generated(model=pllib.Model(model, layers=[64, 256, 10]))
        if rank == 0:
            used = {"model": pllib.Model(model), "test": pllib.File(test)}
            with session.stage("evaluation", "test", used=used, only_rank=0) as evaluation:
                evaluation.generated(
                    accuracy=accuracy(weights, held_out["images"], held_out["labels"])
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
