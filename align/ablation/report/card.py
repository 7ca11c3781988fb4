"""The model card of a grid: what was compared, on what, and every table; no network is asked."""

from __future__ import annotations

from align.ablation.grid import AFTER_SFT
from align.ablation.report import tables
from align.ablation.report.outcome import Outcome
from align.ablation.report.words import VIEWS, headline
from align.ablation.result import BEST


def grid_card(outcome: Outcome) -> str:
    """Markdown with the metadata that the Hub reads."""
    from huggingface_hub import ModelCard, ModelCardData

    objectives = dict.fromkeys(method.removeprefix(AFTER_SFT) for method in outcome.methods)
    data = ModelCardData(
        language=["en"],
        library_name="transformers",
        tags=["preference-optimisation", "toxicity", "ablation", *objectives],
        model_name=outcome.name,
    )
    methods, sizes, seeds = len(outcome.methods), len(outcome.sizes), len(outcome.seeds)
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {outcome.name}",
        f"{methods} methods x {sizes} data sizes x {seeds} seeds on {outcome.model},"
        f" data {outcome.data.name} (`{outcome.data.fingerprint[:8]}`); {outcome.mixture}.",
        "## Labelled completions for a 90 % cut in toxicity",
        "\n".join(f"- {line}" for line in headline(outcome)),
        f"View: {VIEWS[BEST]}.",
        tables.markdown(tables.needed(outcome)),
        "## At the largest size",
        tables.markdown(tables.everything(outcome)),
        "KL to base: KL(model || base) on the model's own completions, nats per token, whole vocabulary, ± standard error.",
        "\n".join(f"- {line}" for line in [*outcome.warnings, outcome.belief.judge.line]),
        "## Primary contrasts",
        tables.markdown(tables.contrasts(outcome)),
        "## Under three views",
        tables.markdown(tables.views(outcome)),
        "## Learning rates",
        tables.markdown(tables.rates(outcome)),
        "## Limits",
        f"One base model; {seeds} seeds; {outcome.prompts:,} prompts in {outcome.clusters:,} clusters. The judge is a"
        " classifier with the error rates above. What is not toxic to it may still be harmful.",
    ]
    content: str = ModelCard("\n\n".join(parts) + "\n", ignore_metadata_errors=False).content
    return content
