"""`log.to`: where metrics go beside metrics.jsonl, under the same names."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from align.processes import ranks
from curate.core.config import config
from curate.core.errors import RecipeError

if TYPE_CHECKING:
    from transformers import TrainerCallback


@config
class Tracking:
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
        to: as `Tracking.to`.
        name: what they call the run.
    """

    to: tuple[str, ...] = ()
    name: str | None = None

    @property
    def report_to(self) -> list[str]:
        """What transformers itself reports to; it would name tensorboard's folder by host and hour, so that is a callback."""
        return [name for name in self.to if name != "tensorboard"] or ["none"]

    def callbacks(self, folder: Path) -> list[TrainerCallback]:
        """Those beside transformers' own: tensorboard, into the phase's folder; a resumed phase goes on there."""
        if "tensorboard" not in self.to or not ranks.is_main():
            return []
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback

        return [TensorBoardCallback(SummaryWriter(str(folder / "tensorboard")))]


NO_TRACKERS = Trackers()


def trackers(log: Tracking, folder: Path) -> Trackers:
    """The trackers of the phase that has this folder: its run's folder and its own give the name."""
    return Trackers(log.to, f"{folder.parent.name}/{folder.name}")


def check(log: Tracking) -> None:
    """Refuse a tracker whose package is not there.

    Raises:
        RecipeError: with the line that installs it.
    """
    for name in log.to:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(
                f"log.to: {name} is not installed", hint=f"run `pip install {name}` (all: the extra `tracking`), or leave it out"
            )
