"""Workbooks: every row below each sheet's header, wherever that stands."""

from __future__ import annotations

import datetime
import itertools
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias
from xml.parsers import expat

from curate.core.errors import require
from curate.core.schema import canonical
from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import Broken, Json, Record
from curate.raw.formats.csv import is_name

START = b"PK\x03\x04"
TOP = 40  # rows among which a header is looked for
MAX_PART = 1 << 30  # bytes of one sheet as XML: a full one of a million rows has about a quarter
MAX_TEXTS = 1 << 28  # bytes of the texts that sheets share, which are held in memory
MAX_PROLOG = 1 << 16  # bytes before an XML part's first element; a declaration and a comment
CHUNK = 1 << 12
MAX_COLUMNS = 16_384  # of a sheet, as the format has it

Cell: TypeAlias = "None | bool | int | float | str | datetime.date | datetime.time | datetime.timedelta"
Cells: TypeAlias = tuple[Cell, ...]


def is_workbook(stream: Stream) -> bool:
    """Whether a zip is a workbook."""
    try:
        with stream.whole() as path, zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row that is not empty, sheet by sheet; `raw` is its canonical JSON.

    What stands above a header, such as a title, is no record and is said so. Formulas are read as the values they last had.
    """
    require("openpyxl", "xlsx", stream.name)
    from openpyxl import load_workbook

    try:
        with stream.whole() as path:
            refused = stream.trouble or _refused(path)
            if refused is not None:
                yield Broken(b"", "workbook", refused)
                return
            with path.open("rb") as file:  # by its name, only some extensions would be opened
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about styles and extensions, which are nothing to us
                    book = load_workbook(file, read_only=True, data_only=True)
                several = len(book.worksheets) > 1
                for number, sheet in enumerate(book.worksheets, 1):
                    sheet.reset_dimensions()  # files say wrong how large their sheets are
                    yield from _sheet(_rows(sheet), f"sheet {number}", sheet.title if several else "")
    except Exception as error:  # noqa: BLE001 - whatever openpyxl says of a damaged workbook, from KeyError to ParseError
        yield Broken(b"", "workbook", f"the workbook cannot be read from here on ({type(error).__name__})")


def _refused(path: Path) -> str | None:
    """Why a workbook is not opened."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                return "encrypted"
            if not info.filename.endswith((".xml", ".rels")):
                continue
            most = MAX_TEXTS if info.filename.endswith("sharedStrings.xml") else MAX_PART
            if info.file_size > most:
                return f"a part of it is longer than {most >> 20} MiB"
            with archive.open(info) as part:
                if _declares(part):
                    return "declares a document type of its own: refused, as entities may expand"
    return None


def _declares(part: IO[bytes]) -> bool:
    """Whether XML has a document type, or anything else than an element, in its first bytes; no workbook needs one."""
    events: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: events.append("type")
    parser.StartElementHandler = lambda *_: events.append("element")
    for _ in range(MAX_PROLOG // CHUNK):
        data = part.read(CHUNK)
        try:
            parser.Parse(data, not data)
        except expat.ExpatError:
            return events[:1] == ["type"]  # what is wrong behind the first element is for the reader to say
        if events:
            return events[0] == "type"
        if not data:
            return False
    return True


def _rows(sheet: Any) -> Iterator[tuple[int, Cells]]:  # noqa: ANN401 - openpyxl's sheet
    """Rows that are not empty, without empty cells at their end, with their numbers."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True, max_col=MAX_COLUMNS), 1):
        row = list(cells)
        while row and (row[-1] is None or (isinstance(row[-1], str) and not row[-1].strip())):
            row.pop()
        if row:
            yield number, tuple(row)


def _sheet(rows: Iterator[tuple[int, Cells]], place: str, table: str) -> Iterator[Record | Broken]:
    top = list(itertools.islice(rows, TOP))
    at = _header(top)
    header = _named(top[at][1]) if at is not None else None
    for number, cells in top[: at or 0]:
        yield Broken(_raw(cells), f"{place} row {number}", "above the header")
    for number, cells in itertools.chain(top[0 if at is None else at + 1 :], rows):
        yield _record(header, cells, f"{place} row {number}", table)


def _header(top: Sequence[tuple[int, Cells]]) -> int | None:
    """Which of the first rows names the columns: the first, as wide as the rows below it, of distinct names only."""
    widths = Counter(len(cells) for _, cells in top)
    for at, (_, cells) in enumerate(top[:-1] or top):
        below = [len(row) for _, row in top[at + 1 :]]
        wide = sorted(below)[(len(below) - 1) // 2] if below else max(widths)
        names = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
        whole = len(names) == sum(cell is not None for cell in cells) >= 0.6 * len(cells)
        if whole and len(set(names)) == len(names) and len(cells) >= 0.8 * wide and all(map(is_name, names)):
            return at
    return None


def _named(cells: Cells) -> list[str]:
    return [str(cell).strip() if cell is not None else f"column_{at + 1}" for at, cell in enumerate(cells)]


def _record(header: list[str] | None, cells: Cells, locator: str, table: str) -> Record | Broken:
    names = list(header or ())
    if header is not None and len(cells) > len(header):
        return Broken(_raw(cells), locator, f"expected {len(header)} cells, found {len(cells)}")
    names += [f"column_{at + 1}" for at in range(len(names), len(cells))]
    values = [_plain(cell) for cell in cells] + [None] * (len(names) - len(cells))
    fields = dict(zip(names, values, strict=True))
    raw = canonical(fields).encode("utf-8", "backslashreplace")
    if len(raw) > MAX_RECORD:
        return Broken(raw[:KEPT], locator, f"longer than {MAX_RECORD >> 20} MiB")
    return Record(fields, raw, locator, table)


def _raw(cells: Cells) -> bytes:
    return canonical([_plain(cell) for cell in cells]).encode("utf-8", "backslashreplace")[:KEPT]


def _plain(cell: Cell) -> Json:
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1 << 53:
        return int(cell)
    return cell
