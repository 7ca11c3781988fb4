"""`align export`: what a phase left, as a folder that `from_pretrained` opens: whole weights, or adapters by themselves."""

from __future__ import annotations

from pathlib import Path

from align.data.dataset import open_dataset
from align.data.run_folder import phase_weights
from align.models.adapters import fold, save_adapters
from align.models.pretrained import Pretrained
from align.models.table import base_model
from curate.core.errors import RecipeError


def export(run: Path, to: Path, *, phase: str | None = None, merge: bool = False) -> list[str]:
    """Write the model that a phase of a finished run left, with its tokenizer and chat template.

    Args:
        run: the run's folder.
        to: folder to make; must be empty or absent.
        phase: which one, by its folder's name ("2-kto_s") or its objective; the last by default.
        merge: fold adapters into the weights; without it they are written as PEFT has them, to be loaded over the base model.

    Returns:
        What was written, one line each.

    Raises:
        DataError: no such run, or its weights are gone.
        RecipeError: no such phase, `to` holds something, or `merge` of a run without adapters.
    """
    recipe, name, weights = phase_weights(run, phase)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RecipeError(f"--to {to}: holds something already", hint="choose an empty or new folder")
    base = base_model(recipe, str(run))
    adapters = isinstance(base, Pretrained) and base.lora is not None
    if merge and not adapters:
        raise RecipeError(f"--merge: {run} trained every weight, so there is nothing to fold in", hint="leave it out")
    from safetensors.torch import load_model

    loaded = base.load(open_dataset(Path(recipe["data"])), run.parent / "cache", recipe["seed"])
    load_model(loaded.model, weights, device=str(loaded.model.device))
    if isinstance(base, Pretrained) and base.lora is not None and not merge:
        save_adapters(loaded.model, to, base=base.path, revision=base.revision)
        how = f"adapters over {loaded.name}; load them with peft's PeftModel.from_pretrained(base, {str(to)!r})"
    else:
        if adapters:
            fold(loaded.model)
        loaded.model.save_pretrained(to)
        how = f"whole weights; load them with AutoModelForCausalLM.from_pretrained({str(to)!r})"
    loaded.tokenizer.save_pretrained(to)
    return [f"{to}: {name} of {run.name}", how]
