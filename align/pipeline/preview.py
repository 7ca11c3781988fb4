"""What a recipe would do, without a GPU and without training: `align plan`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from align.data.dataset import Dataset, check_prompts, open_dataset, phase_rows
from align.evaluation.belief import with_own_truth
from align.evaluation.judges import check_judge
from align.evaluation.settings import EvaluationOptions
from align.evaluation.suites.heldout import Heldout, heldout_prompts
from align.pipeline.recipe import Recipe, phase_names
from align.training.plan import make_plan
from curate.core.errors import DataError
from curate.pages.tables import table_lines

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from align.data.rows import Rows
    from align.objectives.phase import Phase

ADAM_BYTES = 12  # per trained parameter: gradient and two moments, fp32
ACTIVATION_BYTES = 34  # per token, layer and unit of width with 16-bit activations: Korthikanti et al. (2022), arXiv 2205.05198
LOGIT_COPIES = 3  # fp32 copies of the logits at completion positions: themselves, their softmax, their gradient


def preview(recipe: Recipe, cache: Path, *, show_text: bool = False) -> str:
    """The account, as text.

    Args:
        recipe: what would be done.
        cache: folder that may hold the built-in model's tokenizer; it is made when absent.
        show_text: show the example row's text.

    Raises:
        UserError: what would stop the run before its first step.
    """
    dataset = open_dataset(Path(recipe.data))
    check_questions(recipe.eval, dataset)
    warning = check_judge(recipe.eval.judge, dataset, allowed=recipe.eval.allow_same_judge)
    warnings = [*([warning] if warning else []), *with_own_truth(recipe.eval, dataset)[1]]
    tokenizer = recipe.model.tokenizer(dataset, cache)
    model = recipe.model.skeleton(dataset, cache)
    table, memory, weights, examples = [], [], [], []
    for name, phase in zip(phase_names(recipe), recipe.phases, strict=True):
        rows = phase_rows(dataset, phase.objective.needs, tokenizer)
        plan = make_plan(rows, phase, recipe.seed)
        lengths = sorted(rows.lengths)
        classes = Counter(rows.desirable)
        tokens = sum(rows.lengths[row] for batch in plan.batches for row in batch.rows)
        table.append(
            [
                name,
                f"{classes[True]:,}",
                f"{classes[False]:,}",
                f"{sum(plan.left_out.values()):,}",
                f"{lengths[len(lengths) // 2]} / {lengths[len(lengths) * 95 // 100]} / {lengths[-1]}",
                f"{len(plan.batches):,}",
                f"{tokens:,}",
            ]
        )
        memory.append(f"{name}: about {_memory(model, rows, phase):.2f} GB at most (an estimate by formula)")
        weights += [f"{name}: {line}" for line in class_weights(phase.objective, classes[True], classes[False])]
        examples += [f"{name}: {line}" for line in _example(rows, tokenizer, show_text=show_text)]
        warnings += few_rows(name, phase, plan.rows)
    header = ["phase", "desirable", "undesirable", "left out", "tokens: median / p95 / most", "steps", "tokens seen"]
    lines = [*_about(recipe, dataset, model), "", *table_lines(header, table), "", *memory, *weights, "", *examples]
    return "\n".join([*lines, *(f"warning: {line}" for line in warnings)])


def check_questions(options: EvaluationOptions, dataset: Dataset) -> None:
    """Refuse, before hours are spent, to ask the prompts of a dataset that has none.

    Raises:
        DataError: a suite asks them.
    """
    if any(isinstance(suite, Heldout) for suite in options.suites):
        check_prompts(dataset)


def few_rows(name: str, phase: Phase, rows: int) -> list[str]:
    """That a phase has fewer rows than a batch, where it has: whatever it is set to, it can hardly change a model."""
    if rows >= phase.batch_size:
        return []
    return [f"{name}: {rows:,} row{'s' * (rows != 1)}, fewer than a batch of {phase.batch_size:,}: next to nothing can be learnt"]


def class_weights(objective: object, desirable: int, undesirable: int) -> list[str]:
    """How the two classes weigh against each other, where an objective has weights for them.

    KTO's authors advise lambda_desirable * desirable / (lambda_undesirable * undesirable) in [1, 4/3], and less than 1 where
    preventing the undesirable matters most (Ethayarajh et al. 2024, arXiv 2402.01306, equation 8).
    """
    ours, theirs = getattr(objective, "lambda_desirable", None), getattr(objective, "lambda_undesirable", None)
    if ours is None or theirs is None or not desirable or not undesirable:
        return []
    ratio = ours * desirable / (theirs * undesirable) if theirs else float("inf")
    line = f"lambda_desirable {ours:g}, lambda_undesirable {theirs:g}: desirable rows weigh {ratio:.2f} times the undesirable"
    if 1 <= ratio <= 4 / 3:
        return [f"{line}, within KTO's [1, 1.33]"]
    if desirable >= undesirable:
        cure = f"lambda_undesirable: {ours * desirable / undesirable:.3g}"
    else:
        cure = f"lambda_desirable: {theirs * undesirable / desirable:.3g}"
    return [f"{line}, outside KTO's [1, 1.33] (below 1 puts preventing toxicity first); {cure} makes it 1"]


def _about(recipe: Recipe, dataset: Dataset, model: PreTrainedModel) -> list[str]:
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    try:
        prompts = len(heldout_prompts(dataset))
    except DataError:
        prompts = 0
    name = dataset.manifest.name
    return [
        f"{recipe.name}, seed {recipe.seed}: data {dataset.folder} ({name}, {dataset.fingerprint[:8]}),"
        f" {prompts:,} held-out prompts",
        f"model: {total / 1e6:,.1f} M parameters, {trained / 1e6:,.1f} M trained",
    ]


def _memory(model: PreTrainedModel, rows: Rows, phase: Phase) -> float:
    """GB for weights, optimizer, and the largest pass that could occur."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    batch = sum(sorted(rows.lengths)[-phase.batch_size :])
    tokens = min(batch, max(phase.token_budget, max(rows.lengths)))
    settings = model.config.get_text_config()
    activations = tokens * settings.num_hidden_layers * settings.hidden_size * ACTIVATION_BYTES
    if model.dtype.itemsize == 4:
        activations *= 2
    share = sum(map(len, rows.completions)) / sum(rows.lengths)
    logits = tokens * share * settings.vocab_size * 4 * LOGIT_COPIES
    return float(weights + trained * ADAM_BYTES + activations + logits) / 1e9


def _example(rows: Rows, tokenizer: PreTrainedTokenizerBase, *, show_text: bool) -> list[str]:
    """The first row, and which of its tokens are scored."""
    prompt, completion = rows.prompts[0], rows.completions[0]
    label = "desirable" if rows.desirable[0] else "undesirable"
    counts = f"{len(prompt)} prompt tokens, not scored; {len(completion)} completion tokens, scored"
    lines = [f"example row {rows.ids[0][:12]} ({label}): {counts}"]
    if show_text:
        lines += [f"not scored  {tokenizer.decode(prompt)!r}", f"scored      {tokenizer.decode(completion)!r}"]
    else:
        lines.append(f"mask {'.' * len(prompt)}{'#' * len(completion)}  (# scored; --show-text prints the text)")
    return lines
