"""`report.html`: where every record and row went, in one self-contained page; every number is the manifest's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import yaml

from curate.compose.splits import SPLITS
from curate.core.manifest import Manifest
from curate.core.manifest.counts import DatasetCounts
from curate.dataset.figures import Figure
from curate.pages.charts import bars
from curate.pages.html import Html, page, section, table, tag

MOST_SOURCES = 200  # lines of the table of sources; the others are summed, so that the page stays small


def report(manifest: Manifest, drawn: Sequence[Figure] = (), samples: Html | None = None) -> str:
    """The page.

    Args:
        manifest: of the dataset; `files` and `fingerprint` are not needed.
        drawn: its figures.
        samples: what `gallery` made of rows that were thrown away.
    """
    figure = {one.name: one for one in drawn}
    counts = manifest.dataset
    return page(
        f"{manifest.name}: how this dataset was made",
        tag("p", "Every number here is from ", tag("code", "manifest.json"), "; no text of any row is shown.", class_="quiet"),
        _warnings(manifest),
        section("Records", _records(manifest)),
        section("Rows, stage by stage", _flow(manifest), _dropped(manifest)),
        section("What was thrown away", samples) if samples else None,
        section("What other thresholds would have changed", *_starting(figure, "threshold_")) if drawn else None,
        section("Labels", _labels(counts), *_starting(figure, "scores_"), *_starting(figure, "agreement")),
        section("Outputs", _outputs(counts), _purged(counts), _overlaps(counts)),
        section("Pairs", _strategies(counts), *_starting(figure, "lengths")),
        section("What the outputs hold", _contents(counts), *_starting(figure, "language"), *_starting(figure, "map")),
        section("Copies", *_starting(figure, "clusters")) if drawn else None,
        section("Sources", _sources(manifest)),
        section("How it was made", _made(manifest)),
    )


def _starting(figures: Mapping[str, Figure], stem: str) -> Iterator[Html]:
    """Figures whose name begins so, each with its caption and where its numbers lie; long tables are folded."""
    for name, one in figures.items():
        if name.startswith(stem):
            lead = tag("p", tag("b", one.title), " ", one.caption, " ", tag("span", f"figures/{name}.csv", class_="quiet"))
            yield tag("div", lead, one.picture if one.picture is not None else table(one.header, one.rows))


def _warnings(manifest: Manifest) -> Html | None:
    lines = [tag("li", line) for line in manifest.warnings]
    return tag("ul", *lines, class_="warnings") if lines else None


def _records(manifest: Manifest) -> Html:
    records = manifest.records
    skipped = sum(records.skipped.values())
    rows: list[tuple[str, int]] = [("read", records.read), ("mined", records.mined)]
    rows += [(f"skipped: {reason}", size) for reason, size in records.skipped.items()]
    rows += [("quarantined", records.quarantined)]
    lead = (
        f"{records.read:,} records read = {records.mined:,} mined + {skipped:,} skipped + "
        f"{records.quarantined:,} quarantined; the mined ones gave {manifest.steps[0].rows_in:,} rows."
    )
    return tag("div", tag("p", lead), table(("records", "count"), rows))


def _flow(manifest: Manifest) -> Html:
    rows = [(one.stage, (one.kept, sum(one.dropped.values()))) for one in manifest.steps]
    return bars(("kept", "dropped"), rows, "Rows kept and dropped by each stage")


def _dropped(manifest: Manifest) -> Html:
    rows = [(one.stage, reason, size) for one in manifest.steps for reason, size in one.dropped.items()]
    return table(("stage", "reason", "rows dropped"), rows)


def _labels(counts: DatasetCounts) -> Html:
    kinds = sorted({kind for evidence in counts.labels.values() for kind in evidence})
    rows = [(kind, [counts.labels[side].get(kind, 0) for side in ("non_toxic", "toxic")]) for kind in kinds]
    lead = "Rows of the unpaired output by what their label rests on: what people said outranks what a machine thinks."
    return tag("div", tag("p", lead, class_="quiet"), bars(("non_toxic", "toxic"), rows, "Labels by evidence"))


def _outputs(counts: DatasetCounts) -> Html:
    sides = {side: {split: counts.unpaired[split][side] for split in SPLITS} for side in ("desirable", "undesirable")}
    lines = {
        "paired": counts.paired,
        "unpaired, desirable": sides["desirable"],
        "unpaired, undesirable": sides["undesirable"],
        "unpaired, benign among them": counts.benign.unpaired,
        "sft": counts.sft,
        "sft, benign among them": counts.benign.sft,
    }
    return table(("rows", *SPLITS), [(name, *(sizes[split] for split in SPLITS)) for name, sizes in lines.items()])


def _purged(counts: DatasetCounts) -> Html:
    purged = counts.purged
    rows = [(split, why, size) for split, reasons in purged.by_split().items() for why, size in reasons.items()]
    lead = f"Of {purged.held_out:,} held-out rows {purged.share:.2%} were purged, because what they share stands in train:"
    return tag("div", tag("p", lead), table(("split", "what is shared", "rows purged"), rows))


def _overlaps(counts: DatasetCounts) -> Html:
    rows = [(name, one.items, one.rows, one.grams, one.near, one.semantic) for name, one in counts.contamination.items()]
    lead = "Training rows that overlap evaluation sets: runs of 8 words, near copies, neighbours by vector."
    header = ("evaluation set", "items", "training rows", "8-grams", "near", "semantic")
    return tag("div", tag("p", lead), table(header, rows))


def _strategies(counts: DatasetCounts) -> Html:
    rows: list[tuple[str, str, int]] = []
    for name, one in counts.strategies.items():
        rows.append((name, "accepted", one.pairs))
        rows += [(name, f"refused: {reason}", size) for reason, size in one.refused.items()]
    return table(("strategy", "verdict", "candidates"), rows)


def _contents(counts: DatasetCounts) -> Html:
    words = [(side, mean) for side, mean in counts.words.items()]
    variety = [(name, (size,)) for name, size in counts.variety.items()]
    pii = [(name, (size,)) for name, size in counts.pii.items()]
    return tag(
        "div",
        tag("p", "Mean words of a completion; a wide gap between the sides could teach length instead of tone:"),
        table(("side", "mean words"), words),
        tag("p", "Variety of unpaired rows:"),
        bars(("rows",), variety, "Unpaired rows by variety"),
        tag("p", "Personal data replaced, by type, in all rows:"),
        bars(("replacements",), pii, "Replacements by type"),
    )


def _sources(manifest: Manifest) -> Html:
    most = sorted(manifest.sources, key=lambda one: -one.rows)
    rows: list[tuple[str | int, ...]] = [
        (one.source, one.records, one.rows, sum(one.skipped.values()), sum(one.quarantined.values()), one.sha256[:12])
        for one in most[:MOST_SOURCES]
    ]
    if rest := most[MOST_SOURCES:]:
        records, count = sum(one.records for one in rest), sum(one.rows for one in rest)
        skipped, broken = sum(sum(one.skipped.values()) for one in rest), sum(sum(one.quarantined.values()) for one in rest)
        rows.append((f"and {len(rest):,} more", records, count, skipped, broken, ""))
    licences = [(name or "not stated", size) for name, size in manifest.licences.items()]
    return tag(
        "div",
        table(("source", "records", "rows", "skipped", "quarantined", "sha256"), rows),
        table(("licence", "rows"), licences),
        tag("ul", *(tag("li", line) for line in (*manifest.obligations.duties, *manifest.obligations.conflicts))),
    )


def _made(manifest: Manifest) -> Html:
    recipe = yaml.safe_dump(manifest.recipe, sort_keys=False, allow_unicode=True)
    return tag(
        "div",
        tag("p", "What counts as toxic: policy ", tag("code", manifest.policy)),
        table(("package", "version"), list(manifest.versions.items())),
        tag("details", tag("summary", "The recipe, every default written out"), tag("pre", recipe)),
    )
