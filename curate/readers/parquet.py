"""Parquet, some rows at a time; page checksums are verified where the file has them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from curate.readers.container import Stream
from curate.readers.hf import class_names, row
from curate.readers.records import Broken, Record

BATCH = 256  # rows held at a time


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row as a record; `raw` is its canonical JSON."""
    count = 0
    try:
        with stream.whole() as path, pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = class_names(file.schema_arrow)
            for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                for fields in batch.to_pylist():
                    count += 1
                    yield row(fields, names, count)
    except (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError, RecursionError) as error:
        yield Broken(b"", f"row {count + 1}", f"the file cannot be read from here on ({type(error).__name__})")
