"""Seconds and bytes as they are written."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A wall time as it is written.

    >>> duration(0.25), duration(100), duration(7261)
    ('0.25 s', '1 min 40 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def amount(size: float) -> str:
    """Bytes.

    >>> amount(999), amount(1_234_567), amount(73e9)
    ('999 bytes', '1.2 MB', '73 GB')
    """
    if size < 1000:
        return f"{size:.0f} byte{'s' * (size != 1)}"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.1f} {unit}" if size < 9.95 else f"{size:.0f} {unit}"
    return f"{size / 1000:,.1f} TB"
