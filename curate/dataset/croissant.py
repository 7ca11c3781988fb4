"""`croissant.json`: the dataset as Croissant 1.1 with its RAI vocabulary, for catalogues that read no card.

Source: docs.mlcommons.org/croissant (format 1.1, RAI 1.0). Every number and checksum is the manifest's.
"""

from __future__ import annotations

import polars as pl

from curate.compose.outputs import Form, schema_of
from curate.core.manifest import FileEntry, Json, Manifest
from curate.core.policy import load_policy
from curate.core.schema import MESSAGE
from curate.dataset.formats import OUTPUTS
from curate.varieties.spoken import spoken_in

CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
            "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
            "subField transform"
        ).split()
    },
}
WHAT = {
    "paired": "Pairs of completions of one prompt: chosen is non_toxic, rejected toxic.",
    "unpaired": "Single completions; label is true where the completion is desirable, that is non_toxic.",
    "sft": "Desirable completions to imitate.",
}
LICENCES = {"cc0-1.0": "CC0-1.0", "mit": "MIT", "apache-2.0": "Apache-2.0"} | {
    f"cc-{kind}-{version}": f"CC-{kind.upper()}-{version}"
    for kind in ("by", "by-sa", "by-nc", "by-nc-sa", "by-nd")
    for version in ("3.0", "4.0")
}
"""The Hub's names -> SPDX's."""


def croissant(manifest: Manifest) -> Json:
    """The JSON-LD document of a dataset folder.

    Args:
        manifest: with `files` of every Parquet file; `fingerprint` is not needed.
    """
    spoken = spoken_in(manifest)
    paths = sorted(path for output in OUTPUTS for path in manifest.tables(f"{output}/"))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": manifest.name,
        "description": "Preference data for aligning language models on an English variety; holds toxic text on purpose.",
        "version": f"{manifest.format}.0.0",
        "license": _licences(manifest),
        "inLanguage": ["en"] if spoken is None else [spoken.language, spoken.region],
        "keywords": ["preference data", "toxicity", *([spoken.name.title()] if spoken else []), "not-for-all-audiences"],
        "isLiveDataset": False,
        **_responsible(manifest),
        "distribution": [{"@type": "cr:FileObject", **_file(path, manifest.files[path])} for path in paths],
        "recordSet": [_records(path, manifest.form) for path in paths],
    }


def _file(path: str, entry: FileEntry) -> Json:
    return {
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": entry.sha256,
    }


def _records(path: str, form: Form) -> Json:
    """A record set per file, so that a split keeps its name and a reader needs no glob."""
    output, name = path.split("/")[0], path.removesuffix(".parquet")
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": WHAT[output],
        "field": [_field(name, column, kind, path) for column, kind in schema_of(output, form).items()],
    }


def _field(records: str, column: str, kind: pl.DataType | type[pl.DataType], path: str) -> Json:
    source = {"fileObject": {"@id": path}, "extract": {"column": column}}
    field: Json = {"@type": "cr:Field", "@id": f"{records}/{column}", "name": column}
    if kind != pl.List(MESSAGE):
        kinds = {pl.Boolean: "sc:Boolean", pl.Float32: "sc:Float"}
        return field | {"source": source, "dataType": next((word for one, word in kinds.items() if kind == one), "sc:Text")}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"{records}/{column}/{part}",
            "name": part,
            "dataType": "sc:Text",
            "repeated": True,
            "source": source | {"transform": {"jsonPath": f"$[*].{part}"}},
        }
        for part in ("role", "content")
    ]
    return field | {"description": "A list of messages.", "repeated": True, "subField": parts}


def _licences(manifest: Manifest) -> list[str]:
    named = [name for name in manifest.licences if name]
    return [f"https://spdx.org/licenses/{LICENCES[name.lower()]}" if name.lower() in LICENCES else name for name in named] or [
        "not stated"
    ]


def _responsible(manifest: Manifest) -> Json:
    """The RAI vocabulary: what an auditor asks first."""
    counts = manifest.dataset
    read, stages = manifest.records.read, ", ".join(one.stage for one in manifest.stages)
    pii = ", ".join(f"{kind} {size:,}" for kind, size in counts.pii.items()) or "none found"
    evidence = {
        side: ", ".join(f"{kind} {size:,}" for kind, size in counts.labels[side].items()) or "none"
        for side in ("non_toxic", "toxic")
    }
    return {
        "rai:dataCollection": f"Existing raw text: {read:,} records read from {len(manifest.sources):,} files.",
        "rai:dataPreprocessingProtocol": [f"Stages in order: {stages}. Rows dropped by stage and reason are in manifest.json."],
        "rai:dataAnnotationProtocol": f"{load_policy().meaning.strip()} What people said outranks machines.",
        "rai:dataAnnotationAnalysis": [
            f"non_toxic by evidence: {evidence['non_toxic']}; toxic by evidence: {evidence['toxic']}."
        ],
        "rai:personalSensitiveInformation": [f"Replaced by typed pseudonyms: {pii}. Names in running text are not removed."],
        "rai:dataUseCases": ["Training and measuring models that should be less toxic in this variety without losing it."],
        "rai:dataLimitations": ["Not for making toxic text, for judging or naming people, or as a moderation rule by itself."],
        "rai:dataBiases": [
            "Machine labels err more often on text unlike what the labelers learned from, benign text of the variety included.",
            *manifest.warnings,
        ],
        "rai:dataReleaseMaintenancePlan": "A text is removed by its id; a rebuild leaves no trace of it.",
    }
