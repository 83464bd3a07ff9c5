"""Put measured tables into the documentation, between markers."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def replace_section(name: str, lines: list[str]) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->` on the performance page."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
    print(f"wrote the section '{name}' of {PAGE.name}")
