"""One self-contained HTML file: text, tables and figures, with nothing to load from anywhere."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from affect.reporting.style import Figure, encoded

_HEAVY = 250_000  # bytes of a vector figure; beyond, pixels are smaller


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    lines: Sequence[str]
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """As it is typed; `folded` behind its title."""

    text: str
    folded: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Facts:
    """Name and value, one below the other."""

    rows: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Table:
    """Cells; a wide one scrolls in its own box. Numbers of rows in `muted` are set in grey, those in `strong` bold."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    muted: Sequence[int] = ()
    strong: Sequence[int] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI.

    Args:
        alt: what it shows, for who cannot see it.
        caption: what to look for.
    """

    source: str
    alt: str
    caption: str
    kind: str = "picture"


@dataclass(frozen=True)
class Fragment:
    """HTML made by somebody who escapes what they put into it."""

    html: str
    kind: str = "fragment"


Block: TypeAlias = Text | Code | Facts | Table | Picture | Fragment


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """What is rendered; sections without blocks are left out."""

    title: str
    lead: Sequence[str]
    sections: Sequence[Section] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A figure with a name, drawn to a file once.

    Args:
        name: of its files.
        caption: what it shows and what to look for.
    """

    name: str
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> bytes:
        return encoded(self.figure, "svg")

    @cached_property
    def png(self) -> bytes:
        return encoded(self.figure, "png")

    def save(self, folder: Path) -> None:
        """Leave it as .svg and .png."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.svg").write_bytes(self.svg)
        (folder / f"{self.name}.png").write_bytes(self.png)

    def picture(self) -> Picture:
        """For a page: vectors, unless they are heavier than pixels."""
        form, data = ("svg+xml", self.svg) if len(self.svg) < _HEAVY else ("png", self.png)
        return Picture(f"data:image/{form};base64,{b64encode(data).decode()}", self.name, self.caption)


def render(page: Page) -> str:
    """The HTML. Everything but a Fragment is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=here, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(page=page)
