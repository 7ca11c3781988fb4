"""The dataset card (`README.md`): the Hub's YAML and an honest page whose every number is the manifest's."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import polars as pl
import yaml

from curate.compose.outputs import schema_of
from curate.compose.splits import SPLITS
from curate.core.errors import StorageError
from curate.core.manifest import Cell, Json, Manifest, Records, SourceEntry
from curate.core.manifest.counts import DatasetCounts, Tally
from curate.core.policy import load_policy
from curate.core.schema import MESSAGE
from curate.core.shipped import shipped
from curate.dataset.formats import OUTPUTS, data_files
from curate.pages.tables import markdown
from curate.varieties.spoken import spoken_in

HUB_LICENCES = frozenset(
    "apache-2.0 mit cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 "
    "bsd-2-clause bsd-3-clause gpl-3.0 odbl pddl odc-by unlicense".split()
)
"""Licence names that the Hub knows; another one is `other` there and stands in full below."""

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
"""The Hub's size categories: below this many rows, that word."""

MOST_SOURCES = 50  # lines of the table of sources; all of them are in manifest.json


def card(manifest: Manifest) -> str:
    """The card.

    Args:
        manifest: of the dataset; `files` and `fingerprint` are not needed.
    """
    head = yaml.safe_dump(_head(manifest), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{string.Template(_template()).substitute(_fields(manifest))}"


def _head(manifest: Manifest) -> Json:
    files = data_files(manifest.dataset)
    licences = sorted({name.lower() if name.lower() in HUB_LICENCES else "other" for name in manifest.licences if name})
    stated = licences or ["unknown"]
    rows, spoken = manifest.dataset.kept, spoken_in(manifest)
    return {
        "pretty_name": " ".join(manifest.name.split()),  # a line of dashes would end the head
        "license": stated[0] if len(stated) == 1 else stated,
        **({"language": ["en"]} if spoken is None else {"language": [spoken.language], "language_details": spoken.code}),
        "task_categories": ["text-generation"],
        "tags": ["preference-data", "toxicity", *([spoken.name] if spoken else []), "not-for-all-audiences"],
        "size_categories": [next((word for limit, word in SIZES if rows < limit), "n>10M")],
        "dataset_info": [_info(name, manifest) for name in files if name in OUTPUTS],
        "configs": [
            {"config_name": name, "data_files": list(paths)} | ({"default": True} if at == 0 else {})
            for at, (name, paths) in enumerate(files.items())
        ],
    }


def _info(output: str, manifest: Manifest) -> Json:
    """Columns of one output, as the Hub's viewer and `load_dataset` read them; the files hold the same."""
    schema = schema_of(output, manifest.form)
    return {"config_name": output, "features": [_feature(name, kind) for name, kind in schema.items()]}


def _feature(name: str, kind: pl.DataType | type[pl.DataType]) -> Json:
    if kind == pl.List(MESSAGE):
        return {"name": name, "list": [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]}
    words = {pl.Boolean: "bool", pl.Float32: "float32", pl.UInt32: "uint32", pl.Int64: "int64"}
    return {"name": name, "dtype": next((word for one, word in words.items() if kind == one), "string")}


def _fields(manifest: Manifest) -> dict[str, str]:
    counts, options, policy = manifest.dataset, manifest.dataset_options, load_policy()
    labelers = [name for name in manifest.stage_options.get("consensus", {}).get("labelers", ()) if name != "column"]
    words = ", ".join(f"{side} {_number(mean)}" for side, mean in counts.words.items() if mean is not None)
    return {
        "name": _plain(manifest.name),
        "first_config": next(iter(data_files(counts))),
        "outputs": _outputs(counts),
        "benign_asked": f"{options['benign_share']:.0%}",
        "sft_benign_asked": _sft_benign(counts.benign.sft_asked),
        "benign_real": ", ".join(f"{name} {_number(share)}" for name, share in counts.benign.train_shares().items()),
        "prompt_template": _plain(options["prompt_template"]),
        "kto": _kto(counts.kto),
        "meaning": policy.meaning.strip() if policy.hash == manifest.policy else "As the policy of that hash has it.",
        "policy": manifest.policy,
        "labelled": "What people said outranks machines; where people said nothing, these labelers did: "
        f"{', '.join(labelers) or 'none'}.",
        "evidence": _table(
            ("evidence", "non_toxic", "toxic"),
            [
                (kind, *(counts.labels[side].get(kind, 0) for side in ("non_toxic", "toxic")))
                for kind in sorted({kind for evidence in counts.labels.values() for kind in evidence})
            ],
        ),
        "min_margin": _number(options["min_margin"]),
        "strategies": _table(
            ("strategy", "pairs", "refused, by reason"),
            [(name, one.pairs, _reasons(one.refused)) for name, one in counts.strategies.items()],
        ),
        "records": _records(manifest.records),
        "sources": _sources(manifest.sources),
        "licences": _table(("licence", "rows"), [(name or "not stated", size) for name, size in manifest.licences.items()]),
        "funnel": _table(
            ("stage", "rows in", "kept", "dropped, by reason"),
            [(one.stage, one.rows_in, one.kept, _reasons(one.dropped)) for one in manifest.steps],
        ),
        "held_out": _number(counts.purged.held_out),
        "purged": _number(sum(sum(reasons.values()) for reasons in counts.purged.by_split().values())),
        "purged_share": f"{counts.purged.share:.2%}",
        "never_train": _never_train(manifest.never_train),
        "versions": "Made with " + ", ".join(f"{name} {version}" for name, version in manifest.versions.items()) + ".",
        "agreement": _agreement(manifest),
        "duties": "".join(f"- {_plain(line)}\n" for line in manifest.obligations.duties) or "- nothing\n",
        "conflicts": _conflicts(manifest.obligations.conflicts),
        "language": _language(manifest),
        "variety": _table(("variety", "rows"), list(counts.variety.items())),
        "pii": _table(("type", "replacements"), list(counts.pii.items())),
        "words": words or "no rows",
        "warnings": "".join(f"- {_plain(line)}\n" for line in manifest.warnings),
    }


def _language(manifest: Manifest) -> str:
    spoken = spoken_in(manifest)
    if spoken is None:
        return "No variety was looked for."
    return f"{spoken.sentence} Unpaired rows by variety:"


def _outputs(counts: DatasetCounts) -> str:
    rows: list[tuple[str | int, ...]] = [("paired", *(counts.paired[split] for split in SPLITS))]
    for side in ("desirable", "undesirable"):
        rows.append((f"unpaired, {side}", *(counts.unpaired[split][side] for split in SPLITS)))
    rows.append(("sft", *(counts.sft[split] for split in SPLITS)))
    return _table(("rows", *SPLITS), rows)


def _agreement(manifest: Manifest) -> str:
    agreement = manifest.figures.get("agreement")
    return _table(agreement.header, agreement.rows) if agreement is not None else _table((), ())


def _conflicts(lines: Sequence[str]) -> str:
    if not lines:
        return "No conflict between them is known here.\n"
    return "What is open or in conflict, and not settled by this card:\n\n" + "".join(f"- {_plain(line)}\n" for line in lines)


def _sft_benign(most: float) -> str:
    return "sft takes every desirable row" if most >= 1 else f"to {most:.0%} of sft train"


def _kto(weights: Mapping[str, float] | None) -> str:
    if weights is None:
        return ""
    return (
        f"\nKTO's Eq. 8 (Ethayarajh et al., 2024) suggests `desirable_weight` {_number(weights['desirable'])} and "
        f"`undesirable_weight` {_number(weights['undesirable'])} for this train split."
    )


def _records(records: Records) -> str:
    return (
        f"{_number(records.read)} records read = {_number(records.mined)} mined + "
        f"{_number(sum(records.skipped.values()))} skipped ({_reasons(records.skipped)}) + "
        f"{_number(records.quarantined)} quarantined as malformed."
    )


def _sources(sources: Sequence[SourceEntry]) -> str:
    most = sorted(sources, key=lambda one: -one.rows)
    rows: list[tuple[str | int, ...]] = [(one.source, one.records, one.rows) for one in most[:MOST_SOURCES]]
    if rest := most[MOST_SOURCES:]:
        rows.append((f"{len(rest)} more", sum(one.records for one in rest), sum(one.rows for one in rest)))
    return _table(("source", "records", "rows"), rows)


def _never_train(patterns: Sequence[str]) -> str:
    return (
        f" Sources matching {', '.join(f'`{_plain(one)}`' for one in patterns)} are never in train or validation."
        if patterns
        else ""
    )


def _reasons(reasons: Tally) -> str:
    return ", ".join(f"{name} {_number(size)}" for name, size in reasons.items()) or "none"


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    if not rows:
        return "None."
    words = [at for at, cell in enumerate(rows[0]) if at == 0 or isinstance(cell, str)]
    cells = [[_quoted(cell) if isinstance(cell, str) else _number(cell) for cell in row] for row in rows]
    return markdown(header, cells, left=words)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,}"


def _plain(text: str) -> str:
    """Text from a recipe or a file name as it may stand in Markdown: on one line, no markup of its own."""
    return _quoted(text).replace("|", "\\|")


def _quoted(text: str) -> str:
    """The same for a cell of a table, where bars are taken care of."""
    return " ".join(text.replace("<", "&lt;").replace("`", "'").replace("[", "\\[").split())


def _template() -> str:
    path = shipped("data_cards/template.md")
    try:
        return path.read_text("utf-8")
    except OSError:
        raise StorageError(f"{path}: missing from this installation", hint="install the project again") from None
