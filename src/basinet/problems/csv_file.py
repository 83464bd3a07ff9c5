"""CSV files as people have them: whatever stands between their columns, whichever mark is decimal."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from basinet.foundation.errors import ConfigError, require, unknown

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
_DECIMALS = {"point": ".", "comma": ","}
_DECLARED = re.compile(r"(?:sep=(.)\n)?(.*)", re.DOTALL)  # the separator, as Excel writes it in a line of its own
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PACKED = {b"\x1f\x8b": "compressed by gzip", b"PK\x03\x04": "a zip archive or a workbook of Excel"}
UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")
"""What pandas, and this module, calls a column that has no name: after its position, from 0."""


def read_csv(path: Path, separator: str | None, decimal: str | None) -> pd.DataFrame:
    """The table in a CSV file with a header, its columns under the names that stand there, twice if they do.

    A byte-order mark is read over, blanks around names are, and so are columns without a name and a value, and rows
    without a value at the end.

    Args:
        path: the file, in UTF-8, or in UTF-16 with a byte-order mark.
        separator: what stands between columns, a word of `problem.separator` or the character itself; None: what makes
            most columns of the header.
        decimal: the decimal mark, likewise; None: a comma where numbers have one and none has a point, unless it stands
            between columns.

    Raises:
        ConfigError: for a separator or decimal mark that there is not, for text in another encoding, and for a row with
            more fields than the header.
        Exception: whatever pandas makes of a file that is none.
    """
    import pandas as pd

    declared, text = _DECLARED.fullmatch(_text(path)).groups()  # type: ignore[union-attr]
    between = _character(separator, _SEPARATORS, "problem.separator") or declared or _likeliest(text)
    mark = _character(decimal, _DECIMALS, "problem.decimal") or _decimal(text, between)
    text = text.rstrip(f"{between} \n")  # of rows without a value, as a sheet that was once longer leaves them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the header
            frame = pd.read_csv(io.StringIO(text), sep=between, decimal=mark, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        _check_lengths(path, text, between)
        raise
    # pandas calls a column that stands there twice x and x.1; here it keeps its name, to be refused.
    names = [name.strip() for name in next(_rows(text, between))]
    pairs = zip(names, frame.columns, strict=True)
    frame = frame.set_axis([name if name and not UNNAMED.fullmatch(name) else given for name, given in pairs], axis=1)
    empty = [not name and bool(values.isna().all()) for name, (_, values) in zip(names, frame.items(), strict=True)]
    return frame.loc[:, [not is_empty for is_empty in empty]]


def _text(path: Path) -> str:
    content = path.read_bytes()
    packed = next((told for begin, told in _PACKED.items() if content.startswith(begin)), "")
    require(not packed, f"{path}: cannot be read (it is {packed}; save it as a CSV file)")
    try:
        text = content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read ({error}; save it as utf-8)") from error
    zero = f"{path}: cannot be read (it has zero bytes, as UTF-16 without its mark has them; save it as utf-8)"
    require("\0" not in text, zero)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _character(chosen: str | None, words: dict[str, str], key: str) -> str | None:
    if chosen is None:
        return None
    found = words.get(chosen, "\t" if chosen == "\\t" else chosen)
    if found not in words.values():
        raise unknown(key, chosen, words)
    return found


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    """The lines that are not empty, as fields; pandas passes over blanks, too."""
    return (row for row in csv.reader(io.StringIO(text), delimiter=separator) if len(row) > 1 or "".join(row).strip())


def _check_lengths(path: Path, text: str, separator: str) -> None:
    """Raise `ConfigError` for the first row with more fields than the header."""
    rows = _rows(text, separator)
    header = next(rows)
    for number, row in enumerate(rows, 1):
        told = f"row {number} has {len(row)} fields, the header {len(header)}; the first line has to name every column"
        require(len(row) <= len(header), f"{path}: cannot be read ({told})")


def _likeliest(text: str) -> str:
    """The separator that makes most columns of the header, and if there is one, as many of the line below.

    A comma if there is only one column.
    """

    def columns(separator: str) -> tuple[bool, int]:
        header, *below = islice(_rows(text, separator), 2)
        return len(header) > 1 and [len(row) for row in below] == [len(header)], len(header)

    return max(_SEPARATORS.values(), key=columns) if text.strip() else ","


def _decimal(text: str, separator: str) -> str:
    if separator == ",":
        return "."
    cell = rf'(?:^|["{re.escape(separator)}])[ ]*[-+]?\d*{{}}\d+(?:[eE][-+]?\d+)?[ ]*(?=["{re.escape(separator)}]|$)'
    comma, point = (re.search(cell.format(mark), text, re.MULTILINE) is not None for mark in (",", r"\."))
    return "," if comma and not point else "."
