"""What a report consists of: headings, paragraphs, tables and figures, before they are HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from matplotlib.figure import Figure

_PIXELS = 115  # of the page, per inch of a figure


@dataclass(frozen=True)
class Text:
    """A paragraph: `lead` for what matters most, `note` for what may be skipped."""

    text: str
    tone: str = "plain"
    form: ClassVar[str] = "text"


@dataclass(frozen=True)
class Items:
    """A list of sentences, each with what it is about before it, if anything; those beyond `shown` are folded away."""

    items: list[tuple[str, str]]
    shown: int
    form: ClassVar[str] = "items"


@dataclass(frozen=True)
class Cell:
    """An entry of a table, and the number it is sorted by if it has one."""

    text: str
    number: float | None = None
    colour: str = ""  # of a mark before it, the same as in figures
    below: str = ""  # in small print


@dataclass(frozen=True)
class Table:
    """Rows of cells; `caption` says what a row is, and `folded` stands for it where the table is folded away."""

    caption: str
    headings: list[str]
    rows: list[list[Cell]]
    folded: str = ""
    form: ClassVar[str] = "table"

    def numeric(self) -> list[bool]:
        """Which columns are of numbers, `[column]`."""
        return [any(cell.number is not None for cell in column) for column in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class Picture:
    """A figure, and what is to be seen in it."""

    name: str
    figure: Figure
    caption: str
    alternative: str = ""  # what it shows in words and numbers; the caption if that says all
    form: ClassVar[str] = "picture"

    @property
    def inches(self) -> float:
        """How wide it is drawn."""
        return round(float(self.figure.get_figwidth()), 2)

    @property
    def width(self) -> int:
        """On the page, in pixels: letters are as large in every figure."""
        return round(_PIXELS * float(self.figure.get_figwidth()))

    @property
    def height(self) -> int:
        """On the page, in pixels."""
        return round(_PIXELS * float(self.figure.get_figheight()))


@dataclass(frozen=True)
class Glance:
    """A figure, and beside it, where there is room, its numbers and what they say."""

    picture: Picture
    blocks: list[Element]
    form: ClassVar[str] = "glance"


@dataclass(frozen=True)
class Points:
    """The final losses of restarts, to be looked at one by one; `data` is for the script of the page."""

    data: dict[str, Any]
    caption: str
    form: ClassVar[str] = "points"


@dataclass(frozen=True)
class Command:
    """Something to type, and what it does."""

    text: str
    caption: str
    form: ClassVar[str] = "command"


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    terms: dict[str, str]
    form: ClassVar[str] = "terms"


@dataclass(frozen=True)
class Part:
    """What is folded away under a heading."""

    heading: str
    blocks: list[Element]
    form: ClassVar[str] = "part"


Element = Text | Items | Table | Picture | Glance | Points | Command | Terms | Part


@dataclass(frozen=True)
class Section:
    """What stands under one heading; `key` is its address within the page."""

    key: str
    heading: str
    blocks: list[Element]


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    sections: list[Section]

    def pictures(self) -> list[Picture]:
        """All figures, in the order of the page."""
        return [picture for section in self.sections for picture in _pictures(section.blocks)]


def _pictures(blocks: list[Element]) -> list[Picture]:
    shown = [block.picture if isinstance(block, Glance) else block for block in blocks]
    own = [block for block in shown if isinstance(block, Picture)]
    return own + [picture for block in blocks if isinstance(block, Part) for picture in _pictures(block.blocks)]
