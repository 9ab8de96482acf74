"""What the text says of itself: labels that a probe can be asked to read off the codes, at no cost.

Of a paragraph of a docstring: its package; whether a module, a class or a function owns it; the
section that it stands in. Of a token, in any text: what kind of token comes next.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rsae.data.text.docstrings import MIN_WORDS, modules
from rsae.data.text.documents import Document

LABELS = ("package", "owner", "section", "next_token")
UNLABELLED = ""
MIN_TOKENS = 8  # a mean over fewer says little
# numpydoc's heading: a line, and a line of its own below it
HEADING = re.compile(r"\s*([A-Z][\w ]{2,30})\n\s*([-=~^])\2{2,}\s*(?:\n|$)")
SPACES = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n", "ĉ": "\t"})  # of byte-level BPE and of SentencePiece


class Examples(NamedTuple):
    """Each is a run of tokens of one document; it has no label where :data:`UNLABELLED` stands."""

    document: np.ndarray  # int [n]
    start: np.ndarray  # int [n], position of the first token,
    stop: np.ndarray  # of the one after the last
    labels: dict[str, np.ndarray]  # str [n] by the names in LABELS


class Paragraph(NamedTuple):
    """Where a paragraph's own words stand in its document, without the heading that would name the section."""

    start: int  # characters
    stop: int
    owner: str
    section: str


def sections(path: Path) -> Iterator[tuple[str, str, str]]:
    """(paragraph, owner, section) of a source file, in the order of :mod:`rsae.data.text.docstrings`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's sources
        tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            owner = {"Module": "module", "ClassDef": "class"}.get(type(node).__name__, "function")
            section = "summary"
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                if heading := HEADING.match(paragraph):
                    section = heading[1].strip().lower()
                if len(paragraph.split()) >= MIN_WORDS:
                    yield paragraph.strip(), owner, section


def paragraphs(document: Document, source: Path) -> Iterator[Paragraph]:
    """The paragraphs of a document made of ``source``; the first owner of a paragraph that stands there twice."""
    known: dict[str, tuple[str, str]] = {}
    for text, owner, section in sections(source):
        known.setdefault(text, (owner, section))
    start = 0
    for text in document.text.split("\n\n"):
        heading = HEADING.match(text)
        owner, section = known.get(text, (UNLABELLED, UNLABELLED))
        yield Paragraph(start + (heading.end() if heading else 0), start + len(text), owner, section)
        start += len(text) + 2


def kind(token: str) -> str:
    """What a vocabulary entry is: word (with the space before it), piece of one, number, punctuation or space."""
    plain = token.translate(SPACES)
    body = plain.strip()
    if not body:
        return "space"
    if body[0].isdigit():
        return "number"
    if body[0].isalpha():
        return "word" if plain[0].isspace() else "piece"
    return "punctuation"


def examples(
    documents: Sequence[Document],
    n_tok: Mapping[int, int],
    tokenizer: Any,
    packages: Sequence[str],
    most: int,
    seed: int,
) -> Examples:
    """At most ``most`` paragraphs and as many tokens, drawn from the first ``n_tok[i]`` tokens of document i.

    ``packages`` are those whose docstrings the documents are; where they are none, only tokens have labels.

    Raises:
        ValueError: the tokenizer cannot say where its tokens stand.
    """
    if not tokenizer.is_fast:
        raise ValueError("probing needs a tokenizer that says where its tokens stand; give the host a tokenizer.json")
    sources = modules(packages) if packages else {}
    whole: list[tuple[int, int, int, str, str, str, str]] = []
    single: list[tuple[int, int, int, str, str, str, str]] = []
    for index, n in n_tok.items():
        document = documents[index]
        coded = tokenizer(document.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        first = np.array([start for start, _ in coded["offset_mapping"]])
        following = [kind(token) for token in tokenizer.convert_ids_to_tokens(coded["input_ids"][1 : n + 1])]
        single += [(index, i, i + 1, UNLABELLED, UNLABELLED, UNLABELLED, following[i]) for i in range(len(following))]
        if document.name in sources:
            package = document.name.split(".")[0]
            for p in paragraphs(document, sources[document.name]):
                start, stop = (min(int(i), n) for i in np.searchsorted(first, [p.start, p.stop]))
                if stop - start >= MIN_TOKENS:
                    whole.append((index, start, stop, package, p.owner, p.section, UNLABELLED))
    rng = np.random.default_rng(seed)
    rows = [found[i] for found in (whole, single) for i in np.sort(rng.permutation(len(found))[:most])]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Examples(*columns[:3], labels=dict(zip(LABELS, columns[3:], strict=True)))
