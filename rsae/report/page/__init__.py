"""One page that holds everything and opens from disk: no server, no network, nothing beside it."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rsae.report.page.markdown import Block, Heading, Prose, Table, TableCell

HERE = Path(__file__).parent


class Picture(NamedTuple):
    """A figure of the page."""

    svg: Path
    title: str
    caption: str
    address: str = ""  # from the page
    wide: bool = False  # two of them side by side, not three


class Claim(NamedTuple):
    """A row of the overview: verdict words by (host/teacher), each with its metric."""

    title: str
    said: str  # HTML
    words: dict[str, list[tuple[str, str]]]


def render(
    *,
    suite: str,
    documents: Sequence[tuple[str, list[Block]]],
    pictures: Mapping[str, Sequence[Picture]],
    views: Mapping[str, Any],
    run_card: Mapping[str, Any],
    not_run: Mapping[str, str],
    exports: Sequence[str],
) -> str:
    """HTML. ``documents`` are the tables by name, ``pictures`` by section; empty sections say what is missing."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"anchor": anchor, "kind": lambda block: type(block).__name__, "inline": _inline}
    claims = [claim for name, blocks in documents if name == "claims" for claim in overview(blocks)]
    return environment.get_template("page.html").render(
        suite=suite,
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        script=(HERE / "script.js").read_text(encoding="utf-8"),
        claims=claims,
        pairs=list(dict.fromkeys(pair for claim in claims for pair in claim.words)),
        documents=documents,
        pictures=pictures,
        views=_json(views),
        n_views=sum(len(features) for arms in views.values() for features in arms.values()),
        run_card=run_card,
        not_run=not_run,
        exports=exports,
    )


def anchor(text: str) -> str:
    """A heading as the address of its place."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def overview(blocks: Sequence[Block]) -> list[Claim]:
    """Claims with their verdicts: each heading of level 2, the sentence and the table under it."""
    found: list[Claim] = []
    for block in blocks:
        if isinstance(block, Heading):
            if block.level == 2:
                found.append(Claim(block.text, "", {}))
        elif not found:
            continue
        elif isinstance(block, Prose):
            found[-1] = found[-1]._replace(said=found[-1].said or block.html)
        elif {"host", "teacher", "metric", "verdict"} <= set(block.header):
            for row in _records(block):
                pair = f"{row['host'].text}/{row['teacher'].text}"
                found[-1].words.setdefault(pair, []).append((row["metric"].text, row["verdict"].text))
    return found


def _records(table: Table) -> list[dict[str, TableCell]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def _inline(path: Path) -> str:
    """An SVG as the address of itself."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
