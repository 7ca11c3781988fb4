"""ROC-AUC of the lexicon beside the other built-in labelers, on rows that none of them saw.

    python scripts/measure_lexicon.py --data ../shared/data

The lexicon is fitted to nothing. `head` and `ngram` were trained on other parts of the same sets, so this table flatters them;
`make bench-labels` leaves whole sets out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
from training_data import load

from curate.core.contracts import TextLabeler
from curate.labelers import Head, Lexicon, Ngram

LABELERS: dict[str, TextLabeler] = {"lexicon": Lexicon(), "ngram": Ngram(), "head": Head()}


def main() -> None:
    """Print a line per set: rows, share of toxic rows, then ROC-AUC (or the share flagged where all rows are harmless)."""
    from sklearn.metrics import roc_auc_score

    parser = argparse.ArgumentParser(description="ROC-AUC of the built-in labelers by set.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    test = load(parser.parse_args().data).filter(pl.col("part") == "test")
    spent = dict.fromkeys(LABELERS, 0.0)
    print(f"{'set':26}{'rows':>6}{'toxic':>7}" + "".join(f"{name:>10}" for name in LABELERS))  # noqa: T201
    for (name,), rows in sorted(test.group_by("set")):
        toxic = rows["toxic"].to_numpy()
        cells = []
        for word, labeler in LABELERS.items():
            started = process_time()
            scores = np.nan_to_num(labeler.score(rows["text"].to_list()))
            spent[word] += process_time() - started
            both = 0 < toxic.sum() < len(toxic)
            cells.append(f"{roc_auc_score(toxic, scores):10.3f}" if both else f"{np.mean(scores >= labeler.threshold):>9.1%}!")
        print(f"{name!s:26}{len(toxic):6,}{toxic.mean():7.0%}{''.join(cells)}")  # noqa: T201
    rates = "".join(f"{test.height / seconds:>10,.0f}" for seconds in spent.values())
    print(f"{'texts/CPU-s, loading included':39}{rates}\n! all harmless: share above the threshold")  # noqa: T201


if __name__ == "__main__":
    main()
