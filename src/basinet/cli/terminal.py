"""What stands between a console script and its reader: characters that a terminal lacks, pipes that are closed."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata

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


def deliver() -> None:
    """See to it that what was printed has been taken; raises `OSError` if nobody takes it."""
    if sys.stdout is not None:
        sys.stdout.flush()


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
