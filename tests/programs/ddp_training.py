"""A training with DistributedDataParallel as users have it, and the lines that capture it.

    torchrun --standalone --nproc-per-node 2 ddp_training.py FOLDER [--resume] [--die-at EPOCH]

One snapshot is overwritten each epoch, the best one is kept beside it, and the data is loaded by
forked workers.  Each rank writes down what it captured in ``FOLDER/captured-RANK.jsonl``.
"""

import argparse
import json
import os
import signal
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

import pllib

DIE_AFTER_BATCHES = 2


class Waves(Dataset):
    """Points of a sine."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.tensor([index / 10])
        return x, torch.sin(x)


class Trainer:
    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.rank = int(os.environ["RANK"])
        self.snapshot, self.best_model = options.folder / "snapshot.pt", options.folder / "best.pt"
        self.model = DistributedDataParallel(
            torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=options.lr)
        self.sampler = DistributedSampler(Waves(), seed=options.seed)
        self.loader = DataLoader(
            Waves(), 8, sampler=self.sampler, num_workers=2, multiprocessing_context="fork"
        )
        self.next_epoch, self.least_loss = 0, float("inf")

    def load_snapshot(self) -> None:
        snapshot = torch.load(self.snapshot, weights_only=True)
        self.model.module.load_state_dict(snapshot["model"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.next_epoch, self.least_loss = snapshot["next_epoch"], snapshot["least_loss"]

    def save_snapshot(self, epoch: int, loss: float, section: pllib.Stage) -> None:
        better, self.least_loss = loss < self.least_loss, min(loss, self.least_loss)
        state = {
            "model": self.model.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "next_epoch": epoch + 1,
            "least_loss": self.least_loss,
        }
        torch.save(state, self.snapshot)
        section.checkpoint(self.snapshot, step=epoch, metric=-loss)
        if better:
            torch.save(self.model.module.state_dict(), self.best_model)
            section.checkpoint(self.best_model, step=epoch, metric=-loss, best=True)

    def run_epoch(self, epoch: int, section: pllib.Stage) -> float:
        self.sampler.set_epoch(epoch)
        total = torch.zeros(1)
        for batch, (x, y) in enumerate(self.loader):
            if (epoch, batch, self.rank) == (self.options.die_at, DIE_AFTER_BATCHES, 1):
                os.kill(os.getpid(), signal.SIGKILL)
            self.optimizer.zero_grad()
            loss = mse_loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
            step = epoch * len(self.loader) + batch
            section.metric("batch_loss", loss, step=step)
            self.write_down({"step": step, "loss": loss.item()})
        dist.all_reduce(total)
        return total.item() / len(self.loader) / dist.get_world_size()

    def write_down(self, what: dict[str, float]) -> None:
        with open(self.options.folder / f"captured-{self.rank}.jsonl", "a") as file:
            print(json.dumps(what), file=file)

    def train(self, training: pllib.Stage) -> None:
        for epoch in range(self.next_epoch, self.options.epochs):
            with training.section("epoch", epoch) as section:
                loss = self.run_epoch(epoch, section)
                section.metric("loss", loss)
                if self.rank == 0:
                    self.save_snapshot(epoch, loss, section)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--die-at", type=int)
    options = parser.parse_args()
    dist.init_process_group("gloo")
    trainer = Trainer(options)
    with (
        pllib.open(study="waves", experiment="ddp", config=options) as session,
        session.stage("training", "fit", hyperparameters={"lr": options.lr}) as training,
    ):
        if options.resume:
            trainer.load_snapshot()
            training.resumed_from(trainer.snapshot)
        trainer.train(training)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
