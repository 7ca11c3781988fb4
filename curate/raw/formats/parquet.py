"""Parquet, some rows at a time; page checksums are verified where the file has them."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from curate.raw.files.container import Stream
from curate.raw.files.records import Broken, Record
from curate.raw.formats.hf import class_names, record

BATCH = 64  # rows held at a time: few, for a dictionary can make many rows of one giant value


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row as a record; `raw` is its canonical JSON."""
    count = 0
    try:
        with stream.whole() as path, pq.ParquetFile(path, page_checksum_verification=True) as file:
            if _renamed(file):
                yield Broken(b"", "file", "the footer is damaged: it names columns twice, and differently")
                return
            names = class_names(file.schema_arrow)
            for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                for fields in batch.to_pylist():
                    count += 1
                    yield record(fields, names, count)
            if count != file.metadata.num_rows:
                yield Broken(b"", f"row {count + 1}", "the footer is damaged: it counts other rows than there are")
    except (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError, RecursionError) as error:
        yield Broken(b"", f"row {count + 1}", f"the file cannot be read from here on ({type(error).__name__})")


def _renamed(file: pq.ParquetFile) -> bool:
    """Whether columns are not called as Arrow wrote them, twice: a footer has no checksum of its own.

    Column chunks hold their names too, but asking for the metadata of a damaged one ends the whole process.
    """
    twice = (file.metadata.metadata or {}).get(b"ARROW:schema")
    if twice is None:
        return False
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(twice)))
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    present = file.schema_arrow
    return schema.names != present.names or any(pa.types.is_binary(present.field(name).type) for name in texts)
