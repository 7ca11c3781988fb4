"""One checkpoint measured by every suite, kept when done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.dataset import Dataset
from align.evaluation.judges import panel
from align.evaluation.settings import Evaluation
from align.evaluation.suites import SUITES, Subject
from align.models.loaded import Loaded
from curate.core.config import chosen_name, file_word
from curate.core.store import write_json, write_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MEASURED = "measured.json"


def measured_before(folder: Path) -> dict[str, Any] | None:
    """The figures that an earlier call left; None where there are none."""
    if not (folder / MEASURED).is_file():
        return None
    figures: dict[str, Any] = json.loads((folder / MEASURED).read_bytes())
    return figures


def measure(
    evaluation: Evaluation,
    loaded: Loaded,
    dataset: Dataset,
    folder: Path,
    label: str,
    *,
    base: PreTrainedModel | None,
    seed: int,
) -> dict[str, Any]:
    """Figures of one checkpoint by every suite, kept beside their items.

    Args:
        evaluation: suites, judges and sampling.
        loaded: the checkpoint.
        dataset: where prompts and texts come from.
        folder: `measured.json` and each suite's items go here.
        label: what tables call the checkpoint.
        base: what distances are measured from; None where nothing is compared.
        seed: of the sampled completions.
    """
    judges = panel(evaluation.judge, evaluation.truth, evaluation.others)
    subject = Subject(loaded.model, loaded.tokenizer, dataset, judges, evaluation.sampling, seed, base=base, folder=folder)
    figures: dict[str, Any] = {"name": label}
    for suite in evaluation.suites:
        name = chosen_name(SUITES, suite)
        measured = suite(subject)
        write_text(
            folder / f"{file_word(name)}.jsonl", "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in measured.items)
        )
        figures[name] = measured.values
    write_json(folder / MEASURED, figures)
    return figures
