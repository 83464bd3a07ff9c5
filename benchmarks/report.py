"""Put measured tables into the documentation, between markers."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def replace_section(name: str, lines: list[str], page: Path = PAGE) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->` on a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    page.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
    print(f"wrote the section '{name}' of {page.name}")
