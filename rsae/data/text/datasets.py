"""Text of one's own: a dataset of the hub, or local files, shared out by a hash of each document."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rsae.data.hub import client
from rsae.data.text.copies import distinct, words
from rsae.data.text.documents import Document, name_hash, split_of
from rsae.data.text.json_rows import json_rows
from rsae.runtime.caller import word

LOADERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".txt": "text", ".md": "text"}
UNITS = {"line": "line", "paragraph": "paragraph", "file": "document"}  # ours to the text loader's


def shared_out(
    documents: Iterable[Document], shares: Mapping[str, float], splits: Sequence[str]
) -> dict[str, list[Document]]:
    """Every document in the split that a hash of its text says, in the order of that hash.

    Of documents that say what others said before (:mod:`rsae.data.text.copies`) the first alone is taken, so that no
    two splits share one.
    """
    result: dict[str, list[Document]] = {s: [] for s in splits}
    copies = 0
    for document, first in distinct((d, words(d.text)) for d in documents):
        copies += not first
        if first and (split := split_of(document.text, shares)) in result:
            result[split].append(document)
    if copies:
        print(f"{copies} documents say what others said before; left out")
    for members in result.values():
        members.sort(key=lambda d: name_hash(d.text))
    return result


def documents_of(source: str, options: Mapping[str, Any]) -> Iterator[Document]:
    """Of local ``files`` or of ``datasets`` of a hub; ``options`` as the configuration has them, but for the shares."""
    if source == "files":
        return from_files(**{**options, "path": Path(options["path"])})
    return from_hub(**options)


def from_files(
    path: Path,
    column: str,
    per: str,
    documents: int | None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
) -> Iterator[Document]:
    """Documents of a Parquet, JSON-lines or text file, or of all such files below a folder.

    ``documents``: the first so many, or an equal share of it for each of ``classes``, which are values of ``label``.

    Raises:
        ValueError: nothing is there, files of several or unknown kinds, no such column.
    """
    from datasets import load_dataset
    from pyarrow import ArrowException

    inside = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    files = sorted(p for p in inside if p.is_file()) if path.is_dir() else [path] * path.is_file()
    if not files:
        raise ValueError(f"text {path} does not exist or is empty; {word('say the text')}")
    # of a folder nobody knows what else lies in it; a file was meant
    kinds = {LOADERS.get(p.suffix, None if path.is_dir() else "text") for p in files}
    if len(kinds) > 1 or None in kinds:
        found = ", ".join(sorted({p.suffix or p.name for p in files}))
        raise ValueError(f"text {path} holds {found}; it must be of one kind out of {', '.join(LOADERS)}")
    kind = str(kinds.pop())
    options: dict[str, Any] = {"sample_by": UNITS[per]} if kind == "text" else {}
    try:
        if kind == "json":
            rows = (entry for file in files for entry in json_rows(file))
        else:
            loaded = load_dataset(kind, data_files=[str(p) for p in files], split="train", streaming=True, **options)
            rows = ((f"row {i}", row) for i, row in enumerate(loaded))
        column = "text" if kind == "text" else column
        found = _documents(rows, column, label, path.name, f"text {path}", whole=classes is None)
        yield from _first(documents, classes, found, f"text {path}")
    except (OSError, ArrowException, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:160]
        raise ValueError(f"text {path} cannot be read ({said}); put the file there again") from error


def from_hub(
    name: str,
    subset: str | None,
    revision: str,
    split: str,
    column: str,
    documents: int | None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    parts: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Document]:
    """The first ``documents`` documents of a dataset, or an equal share of it for each of ``classes``, streamed.

    ``parts``: {class: subset and column} instead, an equal share of each.

    Raises:
        ValueError: no such dataset, subset, split or column; no network; a licence to accept.
    """
    from datasets import load_dataset

    if parts is not None:
        for i, (of, part) in enumerate(parts.items()):
            share = None if documents is None else (documents + i) // len(parts)
            for d in from_hub(name, part["subset"], revision, split, part["column"], share):
                yield Document(f"{part['subset']}/{part['column']}/{d.name}", d.text, of)
        return
    what = f"dataset {name}" if subset is None else f"dataset {name}, {subset}"

    def first() -> list[Document]:
        try:
            local = client.snapshot(name, revision, "dataset") if client.offline() else None
            place, at = (name, revision) if local is None else (str(local), None)
            loaded = load_dataset(place, subset, revision=at, split=split, streaming=True)
            rows = ((f"row {i}", row) for i, row in enumerate(loaded))
            found = _documents(rows, column, label, name, what, whole=classes is None)
            return list(_first(documents, classes, found, what))
        except ImportError as error:  # a compression that the lock file does not cover
            raise ValueError(f"{what} needs a package that is not installed: {error}") from error
        except FileNotFoundError as error:
            raise ValueError(f"{what} at {revision}: {' '.join(str(error).split())[:200]}") from error
        except ValueError as error:
            if not str(error).startswith("BuilderConfig "):  # datasets' word for a subset, of no dataset in particular
                raise
            raise ValueError(f"{what}: there is no such subset; {' '.join(str(error).split())[:200]}") from error

    yield from client.patiently(first, name, revision, None)


def _first(
    limit: int | None, classes: Sequence[str] | None, documents: Iterable[Document], what: str
) -> Iterator[Document]:
    if classes is None:
        yield from islice(documents, limit)
        return
    # as many of each, for a dataset may be sorted by class
    wanted = {c: sys.maxsize if limit is None else (limit + i) // len(classes) for i, c in enumerate(classes)}
    left = dict(wanted)
    for document in documents:
        if left.get(document.label, 0):
            left[document.label] -= 1
            yield document
        if not any(left.values()):
            return
    if missing := [c for c in classes if 0 < wanted[c] == left[c]]:
        raise ValueError(f"{what} has no document of class {', '.join(missing)}; correct `classes`")


def _documents(
    rows: Iterable[tuple[str, Any]], column: str, label: str | None, name: str, what: str, whole: bool = True
) -> Iterator[Document]:
    """``rows`` are (where it stands, the row). ``whole``: every row must have a label; else those without are left out.

    Empty rows, and rows whose text is empty or null, are passed over, and counted in the log.
    """
    outer, *inner = column.split(".")
    empty = 0
    for index, (where, row) in enumerate(rows):
        if row in (None, "", [], {}):
            empty += 1
            continue
        if not isinstance(row, Mapping | str):
            raise ValueError(f"{what}: {where} is a {type(row).__name__} and no object with the key {column!r}")
        row = {column: row} if isinstance(row, str) else dict(row)  # an array of texts has no keys
        # a dot leads into a column of fields, unless it is part of the column's own name
        if column not in row and inner and isinstance(fields := row.get(outer), Mapping):
            row |= {f"{outer}.{field}": value for field, value in fields.items()}
        for key, wanted in (("column", column), ("label", label)):
            if wanted is not None and wanted not in row:
                remedy = word("say the column").format(key=key)
                raise ValueError(f"{what} has no column {wanted!r}; it has {', '.join(row)}; {remedy}")
        # NaN alone differs from itself
        if label is not None and (row[label] in (None, "") or row[label] != row[label]):
            if not whole:
                continue
            raise ValueError(f"{what}: {where} has no value in the column {label!r}; remove the row")
        text = row[column]
        text = text.removeprefix("\ufeff") if isinstance(text, str) else text  # a byte-order mark
        if text is None or (isinstance(text, str) and not text.strip()):
            empty += 1
            continue
        if not isinstance(text, str):
            raise ValueError(f"{what}: {where}, column {column!r}, is no text but {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{what}: {where} holds a lone surrogate, half a character, at {error.start}; remove it"
            ) from None
        yield Document(f"{name}:{index}", text, "" if label is None else str(row[label]))
    if empty:
        print(f"{what}: {empty} entries without text are passed over")
