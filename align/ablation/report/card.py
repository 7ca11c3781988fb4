"""The model card of a grid: what was compared, on what, and every table; no network is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from align.ablation.report import tables
from align.ablation.report.words import VIEWS, headline


def grid_card(result: Mapping[str, Any]) -> str:
    """Markdown with the metadata that the Hub reads."""
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        language=["en"],
        library_name="transformers",
        tags=[
            "preference-optimisation",
            "toxicity",
            "ablation",
            *dict.fromkeys(m.replace("sft+", "") for m in result["methods"]),
        ],
        model_name=result["name"],
    )
    methods, sizes, seeds = (len(result[name]) for name in ("methods", "sizes", "seeds"))
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {result['name']}",
        f"{methods} methods x {sizes} data sizes x {seeds} seeds on {result['model']},"
        f" data {result['data']['name']} (`{result['data']['fingerprint'][:8]}`); {result['mixture']}.",
        "## Labelled completions for a 90 % cut in toxicity",
        "\n".join(f"- {line}" for line in headline(result)),
        f"View: {VIEWS['best']}.",
        tables.markdown(tables.needed(result)),
        "## At the largest size",
        tables.markdown(tables.everything(result)),
        "KL to base: KL(model || base) on the model's own completions, nats per token, whole vocabulary, ± standard error.",
        "\n".join(f"- {line}" for line in [*result["warnings"], result["judge"]["line"]]),
        "## Primary contrasts",
        tables.markdown(tables.contrasts(result)),
        "## Under three views",
        tables.markdown(tables.views(result)),
        "## Learning rates",
        tables.markdown(tables.rates(result)),
        "## Limits",
        f"One base model; {seeds} seeds; {result['prompts']:,} prompts in {result['clusters']:,} clusters. The judge is a"
        " classifier with the error rates above. What is not toxic to it may still be harmful.",
    ]
    content: str = ModelCard("\n\n".join(parts) + "\n", ignore_metadata_errors=False).content
    return content
