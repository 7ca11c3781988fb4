"""Hugging Face datasets saved to disk: Arrow, as a stream or as a file; class labels get their names back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from curate.core.schema import canonical
from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import Broken, Json, Record

BATCH = 256  # rows turned into Python at a time; the file itself is mapped, not read
ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError, RecursionError, OverflowError)
START = b"\xff\xff\xff\xff"  # of a stream: what stands before every message
FILE_START = b"ARROW1"


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row as a record; `raw` is its canonical JSON."""
    count = 0
    try:
        with stream.whole() as path, pa.memory_map(str(path)) as file:
            if stream.trouble is not None:
                yield Broken(b"", "row 1", stream.trouble)
                return
            for batch in _batches(file, stream.start.startswith(FILE_START)):
                names = class_names(batch.schema)
                for start in range(0, batch.num_rows, BATCH):
                    for fields in batch.slice(start, BATCH).to_pylist():
                        count += 1
                        yield record(fields, names, count)
    except ERRORS as error:
        yield Broken(b"", f"row {count + 1}", f"the file cannot be read from here on ({type(error).__name__})")


def record(fields: dict[str, Json], names: Mapping[str, Sequence[str]], number: int) -> Record | Broken:
    """A row of a typed table as a record.

    Args:
        fields: its columns.
        names: see `class_names`; numbers of classes become their names.
        number: of the row, from 1.
    """
    row = fields | {column: _name(fields[column], of) for column, of in names.items()} if names else fields
    raw = canonical(row).encode("utf-8", "backslashreplace")
    if len(raw) > MAX_RECORD:
        return Broken(raw[:KEPT], f"row {number}", f"longer than {MAX_RECORD >> 20} MiB")
    if b"\\u0000" in raw:
        return Broken(raw[:KEPT], f"row {number}", "holds NUL")
    return Record(row, raw, f"row {number}")


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Columns that hold numbers of classes, and what the classes are called, where `datasets` wrote it into the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        of_columns = {column: feature for column, feature in features.items() if column in schema.names}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    names = {}
    for column, feature in of_columns.items():
        while isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List", "LargeList"):
            feature = feature.get("feature")
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
            names[column] = [str(name) for name in feature["names"]]
    return names


def _name(value: Json, names: Sequence[str]) -> Json:
    """The name of a class; -1 is how `datasets` writes that there is none."""
    if isinstance(value, list):
        return [_name(one, names) for one in value]
    if value == -1:
        return None
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _batches(file: pa.MemoryMappedFile, random_access: bool) -> Iterator[pa.RecordBatch]:
    if random_access:
        reader = pa.ipc.open_file(file)
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)
    else:
        yield from pa.ipc.open_stream(file)
