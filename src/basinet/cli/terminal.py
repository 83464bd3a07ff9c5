"""What stands between a console script and its reader: characters that a terminal lacks, pipes that are closed."""

from __future__ import annotations

import codecs
import io
import os
import sys
import textwrap
import unicodedata
from typing import TextIO

_PLAIN = {
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "…": "...",
    "→": "->",
    "←": "<-",
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "·": "*",
    "‖": "||",
    "∞": "inf",
    "±": "+-",
    "“": '"',
    "”": '"',
    "’": "'",
    "∂": "d",
    "∇": "grad",
    "√": "sqrt",
    "Σ": "sum",
    "θ": "theta",
    "λ": "lambda",
    "σ": "sigma",
    "η": "eta",
    "β": "beta",
    "δ": "delta",
    "ε": "epsilon",
    "ø": "o",
}
_ERRORS = "basinet.plain"


def plain(text: str) -> str:
    """A text in ASCII.

    >>> plain("‖θ‖ ≤ ½, é")
    '||theta|| <= 1/2, e'
    """
    return "".join(map(_plain_character, text))


def _plain_character(character: str) -> str:
    if character.isascii() or character in _PLAIN:
        return _PLAIN.get(character, character)
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFKD", character).replace("\u2044", "/")
    return parts.encode("ascii", "ignore").decode() or "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def print_plainly() -> None:
    """Let characters that the terminal does not have be printed as others that say the same."""
    codecs.register_error(_ERRORS, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def columns(stream: TextIO | None) -> int | None:
    """How many characters a line of the terminal has that `stream` writes to; None if it is no terminal."""
    if stream is None:  # closed from the start
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # a file or a pipe, or nothing that the system knows
        return None


def folded(text: str, indent: int, width: int | None) -> str:
    """A line of words, broken between them where a terminal is too narrow; a file or a pipe gets it whole.

    Args:
        indent: how far the lines below the first one are moved to the right.
        width: that of the terminal, None where there is none.

    >>> print(folded("note: all that there is to say of it", 6, 24))
    note: all that there is
          to say of it
    """
    if width is None or len(text) <= width:
        return text
    room = max(width, 2 * indent, 1)  # what is narrower than that cannot be read either way
    return textwrap.fill(text, room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def deliver() -> None:
    """See to it that what was printed has been taken; raises `OSError` if nobody takes it."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:  # which does not say of what: of all that a program writes to, this has no name
        raise OSError(error.errno, error.strerror, "standard output") from error


def give_up_output() -> None:
    """Forget what was printed if nobody takes it: Python would try once more when it ends, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
