"""Rows of JSON: one value per line, cut at newlines alone, or a file that is one array, or one object."""

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
        if path.suffix == ".json" and not _is_whole(next((line for line in file if line.strip()), "0")):
            file.seek(0)
            found = _parsed(file.read(), path)
            entries = found if isinstance(found, list) else [found]
            yield from ((f"{path.name}, entry {i}", value) for i, value in enumerate(entries))
            return
        file.seek(0)
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path.name}, line {number}", _parsed(line.rstrip("\r\n"), path, number)


def _is_whole(line: str) -> bool:
    """Whether a file's first line is an entry by itself, and not an array or the beginning of something longer."""
    try:
        return not isinstance(json.loads(line), list)
    except ValueError:
        return False


def _parsed(text: str, path: Path, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"text {path}, line {line + error.lineno - 1}: no JSON ({error.msg})") from error
