"""The model card of the built-in labelers, from the metadata in their weights: no number in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fit_labelers import ERASED
from fit_tuned import ASKED, RANK, STRAY
from training_data import HEAD_ONLY, OWN_PARTS, PARTS, SELF_EVIDENT, SETS, TUNED_ONLY, WEAK

NAMES = ("head", "ngram", "tuned")

HEADER = """\
---
license: apache-2.0
language: en
library_name: margins
tags: [toxicity, singlish, text-classification]
---

# Built-in labelers: `head`, `ngram`, `reply` and `tuned`

Four small classifiers that give the probability that a text is toxic, as [`policy.yaml`](../../../core/policy.yaml) defines it.
`head`, one hidden layer over all-MiniLM-L6-v2 vectors beside hashed n-grams, labels data;
`ngram`, a logistic model over hashed words, word pairs and character n-grams, judges what a model trained on that data says;
`reply`, a support-vector machine over the vectors of a completion and its prompt, knows answers that offend who asked or take
up a bias; `tuned`, the encoder itself with low-rank updates in its upper layers, reads the prompt's end, too, and is asked about
rows that the others leave in doubt.
`head`, `reply` and `tuned` learned from rows that share no group (template, context, sentence with its rewrites) with those of
`ngram`.
Written by `make weights`; every number below stands in the weights' metadata, and none is typed by hand.

**Use** them to label and judge short conversational English and Singlish. **Do not use** them to moderate people: they miss
most abuse that carries no marked word (see HateCheck and DiaSafety below), and a text that quotes or opposes abuse may look
like it. What they reach on sets left out of training, by function and by group, stands in `benchmarks/results/labels.txt`, which
`make bench-labels` writes.

## Trained on

Only sets whose licence lets weights be shared. The texts themselves are not in the weights: int8 or float16 numbers by hash
bucket or vector dimension are; `reply` holds vectors of single replies and prompts, in int8.

| set | licence | rows `head` | rows `ngram` | rows `reply` | rows `tuned` | source |
|---|---|---|---|---|---|---|
"""

METHOD = """
Parts, by hash of the group, per cent: {parts} (of `group_templates` {own}). A text that two sets share stays in
one part. `{head_only}` teach `head` and `tuned` alone, `{tuned_only}` `tuned` alone; `tuned` learns from the part of `head`, from
a share of the large sets. Sentences of `{weak}` carry no label: they are
weak negatives, without those that a first model, trained on the other sets, scores above .6 ({dropped}).
`mild_templates` are insults in small words, and the same words in harmless use; `group_templates` say of every group of people
alike what is contempt, threat or exclusion, and what is praise, denial, quotation or plain fact; `people_templates` add hints,
reports, denials, and swearing at nobody. All were written for this project, those about groups by people who know which functions
HateCheck tests: read its figures so.
`profanity` puts severe terms of a published list into a few words of ours. About half of the training texts, toxic and harmless
alike, are dressed: a particle appended, words clipped as texters do, a letter masked. `head` meets each text plain and dressed
and pays for a difference; {erased} directions along which particles move a vector are projected out. Particles are no n-grams,
and `tuned` does not read those that close a text. Its updates have rank {rank}; the lower layers, the embeddings and the norms
are the encoder's own. In training, {asked:.0%} of replies stand behind their prompt, and {stray:.0%} of other texts behind one
that they do not answer, so that only a prompt that matters counts. `reply` learned from replies that do not show their harm by
themselves (DiaSafety's kinds but "{self_evident}").
Davidson and ParaDetox are capped, because Davidson's offensive class (77 %) marks dialect as well as abuse.

Scores are Platt-scaled on the calibration part, both classes weighted alike: a score of .5 means "as likely as not" where half
of the texts are toxic. The threshold is the least, from .5, at which at most {shares} of the
calibration part's plain English, and of its plain Singlish, is flagged; some of that Singlish is offensive in truth, and nobody
has labelled it.

## Figures

On the test part: {parts_test} % of every set's groups, seen by no labeler, nor by calibration; `tuned` without prompts. TPR and
FPR are at the threshold.

| | `head` | `ngram` | `tuned` |
|---|---|---|---|
"""

SETS_HEADER = """
| set (test part) | rows | toxic | `head` ROC-AUC | TPR | FPR | `ngram` ROC-AUC | TPR | FPR | `tuned` ROC-AUC | TPR | FPR |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""

PLAIN_HEADER = """
Plain text flagged: harmless but for what slipped into it, Singlish beside English.

| plain text | texts | `head` | `ngram` | `tuned` |
|---|---|---|---|---|
"""


def render(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """The card.

    Args:
        facts: metadata of each labeler's weights, by name.

    Returns:
        Markdown, with the metadata block that the Hub reads.
    """
    three = [facts[name] for name in NAMES]
    dropped = ", ".join(f"{one['figures']['weak_rows_dropped']} for `{name}`" for name, one in zip(NAMES, three, strict=True))
    shares = ", ".join(f"{one['plain_share']:.0%} (`{name}`)" for name, one in zip(NAMES, three, strict=True))
    parts = ", ".join(f"{name} {share}" for name, share in PARTS.items())
    own = ", ".join(f"{name} {share}" for name, share in OWN_PARTS.items())
    text = HEADER + "".join(_set_row(name, [facts[one] for one in ("head", "ngram", "reply", "tuned")]) for name in SETS)
    weak, test = ", ".join(WEAK), PARTS["test"]
    text += METHOD.format(
        parts=parts,
        own=own,
        erased=ERASED,
        weak=weak,
        head_only="`, `".join(HEAD_ONLY),
        tuned_only="`, `".join(TUNED_ONLY),
        rank=RANK,
        asked=ASKED,
        stray=STRAY,
        self_evident=SELF_EVIDENT,
        dropped=dropped,
        parts_test=test,
        shares=shares,
    )
    text += "".join(f"| {label} | {' | '.join(_number(_at(one, path)) for one in three)} |\n" for label, path in OVERALL)
    reply = facts["reply"]["figures"]
    kinds = ", ".join(f"{kind} {one['roc_auc']} of {one['rows']} rows" for kind, one in reply["kinds"].items())
    text += f"\n`reply`, on DiaSafety's replies behind their prompts: ROC-AUC {reply['roc_auc']} of {reply['rows']} rows"
    text += f" ({kinds}).\n"
    text += SETS_HEADER
    text += "".join(_figure_row(name, three) for name in sorted(three[-1]["figures"]["sets"]))
    text += PLAIN_HEADER
    for name, one in sorted(three[0]["figures"]["plain_flagged"].items()):
        flagged = " | ".join(f"{fact['figures']['plain_flagged'][name]['flagged']:.2%}" for fact in three)
        text += f"| {name} | {one['texts']} | {flagged} |\n"
    text += (
        f"\nPolicy {three[0]['policy']}. Test rows of small sets are few: at 100 rows a ROC-AUC moves by about .05 by chance.\n"
    )
    return text


OVERALL = (
    ("threshold", "threshold"),
    ("ROC-AUC, all sets together", "figures.roc_auc"),
    ("TPR", "figures.true_positives"),
    ("FPR", "figures.false_positives"),
    ("expected calibration error", "figures.calibration_error"),
    ("decisions that an appended particle flips", "figures.particle_flips"),
)


def _set_row(name: str, four: list[Mapping[str, Any]]) -> str:
    counts = " | ".join(f"{one['rows'].get(name, 0):,}" for one in four)
    return f"| {name} | {SETS[name].licence} | {counts} | {SETS[name].attribution} |\n"


def _figure_row(name: str, three: list[Mapping[str, Any]]) -> str:
    rows = [one["figures"]["sets"].get(name, {}) for one in three]
    numbers = " | ".join(_number(row.get(key)) for row in rows for key in ("roc_auc", "true_positives", "false_positives"))
    return f"| {name} | {rows[-1]['rows']} | {rows[-1]['toxic']} | {numbers} |\n"


def _at(tree: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a JSON value
    value: Any = tree
    for step in path.split("."):
        value = value[step]
    return value


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
