"""Train a classifier of tumours, data-parallel: each rank has its share of the data.

    torchrun --standalone --nproc-per-node 2 train.py data/ model/
    torchrun --standalone --nproc-per-node 2 train.py data/ model/ --resume

Each epoch is validated and leaves a checkpoint.  Training stops when `patience` epochs in a row
were no better than the best one; that one is tested at the end.  Rank 0 prints how it went.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import pllib

HYPERPARAMETERS = ("learning_rate", "batch_size", "epochs", "patience", "seed")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--patience", type=int, default=8, help="epochs")
    parser.add_argument("--batch-size", type=int, default=32, help="of each rank")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--n-hidden", type=int, default=16)
    parser.add_argument("--seed", type=int, default=11)
    return parser.parse_args()


class Learner:
    """What a checkpoint holds: model, optimizer, schedule, and how far they are."""

    def __init__(self, config: argparse.Namespace, n_features: int) -> None:
        torch.manual_seed(config.seed)
        self.layers = [n_features, config.n_hidden, 1]
        self.model = DistributedDataParallel(
            nn.Sequential(
                nn.Linear(n_features, config.n_hidden), nn.ReLU(), nn.Linear(config.n_hidden, 1)
            )
        )
        self.loss = nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), config.learning_rate, 0.9)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=5, gamma=0.5)
        self.epoch, self.best_epoch, self.best_accuracy = -1, -1, 0.0

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": (self.epoch, self.best_epoch, self.best_accuracy),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.best_epoch, self.best_accuracy = state["progress"]

    def fit(self, batches: DataLoader) -> float:
        """Go through the data once; return the mean loss of this rank's share."""
        losses = []
        for x, y in batches:
            self.optimizer.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        self.schedule.step()
        return float(np.mean(losses))

    def improved(self, epoch: int, accuracy: float) -> bool:
        """Note how far it is; tell whether it is the best so far."""
        self.epoch = epoch
        if accuracy <= self.best_accuracy:
            return False
        self.best_epoch, self.best_accuracy = epoch, accuracy
        return True

    def accuracy(self, x: torch.Tensor, y: torch.Tensor) -> float:
        with torch.no_grad():
            return float(((self.model.module(x) > 0) == (y > 0.5)).double().mean())


def load(config: argparse.Namespace, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    data = np.load(config.data / f"{split}.npz")
    return torch.from_numpy(data["x"]), torch.from_numpy(data["y"])


def dataset(config: argparse.Namespace, split: str) -> pllib.Dataset:
    return pllib.Dataset("cells", version="1", split=split, files=[config.data / f"{split}.npz"])


def checkpoint_path(config: argparse.Namespace, epoch: int) -> Path:
    return config.folder / f"epoch-{epoch:02d}.pt"


def save(config: argparse.Namespace, learner: Learner) -> Path:
    """Write a checkpoint, whole or not at all."""
    path = checkpoint_path(config, learner.epoch)
    torch.save(learner.state(), path.with_suffix(".part"))
    return path.with_suffix(".part").rename(path)


def resume(config: argparse.Namespace, learner: Learner, training: pllib.Stage) -> None:
    last = max(config.folder.glob("epoch-*.pt"))
    learner.load(torch.load(last, weights_only=True))
    training.resumed_from(last)


def validate(config: argparse.Namespace, learner: Learner, section: pllib.Stage) -> float:
    """Return the accuracy on the validation data, of which each rank has all."""
    used = {"validation": dataset(config, "validation")}
    with section.stage("validation", "check", used=used) as validation:
        accuracy = learner.accuracy(*load(config, "validation"))
        validation.metric("val_accuracy", accuracy)
        validation.generated(val_accuracy=accuracy)
    return accuracy


def train(config: argparse.Namespace, learner: Learner, training: pllib.Stage) -> None:
    """Train until the epochs are over or nothing gets better."""
    data = TensorDataset(*load(config, "train"))
    sampler = DistributedSampler(data, seed=config.seed)
    batches = DataLoader(data, config.batch_size, sampler=sampler)
    for epoch in range(learner.epoch + 1, config.epochs):
        sampler.set_epoch(epoch)
        with training.section("epoch", epoch) as section:
            training.hyperparameter("learning_rate", learner.schedule.get_last_lr()[0])
            section.metric("loss", learner.fit(batches))
            accuracy = validate(config, learner, section)
            better = learner.improved(epoch, accuracy)
            if dist.get_rank() == 0:
                section.checkpoint(save(config, learner), metric=accuracy, best=better)
        if epoch - learner.best_epoch == config.patience:
            training.generated(stopped_early_at=epoch)
            break


def evaluate(config: argparse.Namespace, learner: Learner, session: pllib.Session) -> float:
    """Return the accuracy of the best model on the test data."""
    best = checkpoint_path(config, learner.best_epoch)
    learner.load(torch.load(best, weights_only=True))
    used = {"model": pllib.Model(best, layers=learner.layers), "test": dataset(config, "test")}
    with session.stage("evaluation", "test", used=used, only_rank=0) as evaluation:
        accuracy = learner.accuracy(*load(config, "test"))
        evaluation.generated(accuracy=accuracy)
    return accuracy


def main(config: argparse.Namespace) -> None:
    dist.init_process_group("gloo")
    config.folder.mkdir(exist_ok=True)
    learner = Learner(config, load(config, "train")[0].shape[1])
    with pllib.open(study="cells", experiment="malignancy", workflow="learning") as session:
        with session.stage(
            "training", "fit",
            hyperparameters={name: getattr(config, name) for name in HYPERPARAMETERS},
            model_hyperparameters={"n_hidden": config.n_hidden},
            task="binary classification", algorithm="stochastic gradient descent",
            implementation="torch.optim.SGD",
            used={"train": dataset(config, "train")},
        ) as training:  # fmt: skip
            if config.resume:
                resume(config, learner, training)
            train(config, learner, training)
        if dist.get_rank() == 0:
            report = {
                "run": session.run,
                "epoch": learner.epoch,
                "best_epoch": learner.best_epoch,
                "val_accuracy": learner.best_accuracy,
                "accuracy": evaluate(config, learner, session),
            }
            print(json.dumps(report))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(arguments())
