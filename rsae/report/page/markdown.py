"""The Markdown tables of a suite, taken apart: what the page shows is what the tables say."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

WORDS = ("win", "tie", "loss", "paid", "win*", "not run", "yes", "no")  # verdicts, as a cell begins with them
NUMBER = re.compile(r"[<\s]*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


class Heading(NamedTuple):
    """One of a document's titles; ``level`` 1 is the document's own."""

    level: int
    text: str


class Prose(NamedTuple):
    """A paragraph or a list, as HTML."""

    html: str


class TableCell(NamedTuple):
    """Text of a cell, what it is sorted by, and the verdict that it begins with."""

    text: str
    key: float | str
    word: str


class Table(NamedTuple):
    """``under`` is the heading that it stands under."""

    under: str
    header: list[str]
    rows: list[list[TableCell]]


Block = Heading | Prose | Table
PARSER = MarkdownIt("commonmark").enable("table")


def read(path: Path) -> list[Block]:
    """Headings, prose and tables in their order."""
    return list(_blocks(path.read_text(encoding="utf-8")))


def _blocks(text: str) -> Iterator[Block]:
    tokens, under, i = PARSER.parse(text), "", 0
    while i < len(tokens):
        token = tokens[i]
        if token.type == "heading_open":
            under = tokens[i + 1].content
            yield Heading(int(token.tag[1]), under)
            i += 3
        elif token.type == "table_open":
            stop = next(j for j in range(i, len(tokens)) if tokens[j].type == "table_close")
            yield _table(tokens[i:stop], under)
            i = stop + 1
        else:
            # everything up to where this block is closed again
            stop = i + 1
            while stop < len(tokens) and tokens[stop].level > token.level:
                stop += 1
            stop += token.nesting == 1
            yield Prose(PARSER.renderer.render(tokens[i:stop], PARSER.options, {}))
            i = stop


def _table(tokens: list, under: str) -> Table:
    rows: list[list[str]] = []
    for token, content in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(content.content)
    return Table(under, rows[0], [[cell(text) for text in row] for row in rows[1:]])


def cell(text: str) -> TableCell:
    """A cell as it is read and as it is sorted: by its first number where it begins with one."""
    number = NUMBER.match(text)
    word = next((w for w in sorted(WORDS, key=len, reverse=True) if re.match(re.escape(w) + r"(?![\w*])", text)), "")
    return TableCell(text, float(number[1]) if number else text.lower(), word)
