"""Rows of JSON: one value per line, cut at newlines alone, or a file that is one array."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(where it stands, value) of every entry; of lines, those that are not empty.

    Raises:
        ValueError: an entry is no JSON; the message says on which line.
    """
    # utf-8-sig: a byte-order mark is no part of the text
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        if path.suffix == ".json" and (start := file.read(1)) == "[":
            yield from (
                (f"{path.name}, entry {i}", value) for i, value in enumerate(_parsed(start + file.read(), path, 1))
            )
            return
        file.seek(0)
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path.name}, line {number}", _parsed(line, path, number)


def _parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"text {path}, line {line + error.lineno - 1}: no JSON ({error.msg})") from error
