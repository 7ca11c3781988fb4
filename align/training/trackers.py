"""`log.to`: where metrics go beside metrics.jsonl, under the same names."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any, Literal

from align.processes import ranks
from curate.core.config import config
from curate.core.errors import RecipeError


@config
class Log:
    """Trackers that follow a run.

    Args:
        to: tensorboard writes files into the run's folder; wandb and trackio take their account and project from their own
            settings.
    """

    to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()


@dataclasses.dataclass(frozen=True)
class Trackers:
    """The trackers of one phase.

    Attributes:
        to: as `Log.to`.
        name: what they call the run.
    """

    to: tuple[str, ...] = ()
    name: str | None = None

    def arguments(self) -> dict[str, Any]:
        """What a `TrainingArguments` is told; it would name tensorboard's folder by host and hour, so `follow` sees to that."""
        return {"report_to": [name for name in self.to if name != "tensorboard"] or "none", "run_name": self.name}

    def follow(self, trainer: Any, out: Path) -> None:  # noqa: ANN401 - a transformers Trainer
        """Let tensorboard follow a trainer, into the phase's folder; a resumed phase goes on there."""
        if "tensorboard" in self.to and ranks.is_main():
            from torch.utils.tensorboard import SummaryWriter
            from transformers.integrations import TensorBoardCallback

            trainer.add_callback(TensorBoardCallback(SummaryWriter(str(out / "tensorboard"))))


NO_TRACKERS = Trackers()


def trackers(log: Log, folder: Path) -> Trackers:
    """The trackers of the phase that has this folder: its run's folder and its own give the name."""
    return Trackers(log.to, f"{folder.parent.name}/{folder.name}")


def check(log: Log) -> None:
    """Refuse a tracker whose package is not there.

    Raises:
        RecipeError: with the line that installs it.
    """
    for name in log.to:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(
                f"log.to: {name} is not installed", hint=f"run `pip install {name}` (all: the extra `tracking`), or leave it out"
            )
