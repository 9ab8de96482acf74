"""Technical English that every installation has: the docstrings of pinned dependencies.

A document is one module. Documents are assigned to splits by a hash of the module's name, so
the assignment needs no parsing and adding a package moves no other module. Paragraphs are
deduplicated *across* splits in the order of :data:`SPLITS`: a paragraph belongs to the first
split in which it stands, so building ``test`` .. ``finetune`` never has to parse the (much
larger) modules that trained the host and the teachers.
"""

import ast
import hashlib
import importlib.util
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rsae.data.text.documents import SPLITS, Document, name_hash, split_of

SHINGLE = 6  # words; long enough that "if None, the default is" is no evidence of copying
MAX_SEEN = 0.05  # share of a paragraph's shingles that may have been seen before
MIN_WORDS = 6  # shorter paragraphs are headings, signatures and separators


def modules(packages: Sequence[str]) -> dict[str, Path]:
    """Every source file of the installed ``packages`` as {dotted module name: path}, sorted.

    Raises:
        ValueError: a package is not installed, or has no Python source.
    """
    found = {}
    for package in packages:
        spec = importlib.util.find_spec(package)  # finds, does not import, a top-level package
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"text package {package!r} is not installed; install requirements.lock or remove it"
                " from `text.packages`"
            )
        root = Path(spec.submodule_search_locations[0])
        for path in root.rglob("*.py"):
            found[".".join((package, *path.relative_to(root).with_suffix("").parts))] = path
    return dict(sorted(found.items()))


def paragraphs(path: Path) -> Iterator[str]:
    """The paragraphs of all docstrings in one source file, in order of appearance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's sources
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # templates and deliberately broken fixtures that packages ship
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                if len(paragraph.split()) >= MIN_WORDS:
                    yield paragraph.strip()


def shingles(paragraph: str) -> set[int]:
    """Hashes of all runs of :data:`SHINGLE` words, blind to case, digits and punctuation."""
    words = re.sub(r"[\W\d_]+", " ", paragraph.lower()).split()
    runs = (words[i : i + SHINGLE] for i in range(max(1, len(words) - SHINGLE + 1)))
    return {int.from_bytes(hashlib.blake2b(" ".join(r).encode(), digest_size=8).digest()) for r in runs}


def documents(
    packages: Sequence[str], shares: Mapping[str, float], splits: Sequence[str], min_chars: int = 200
) -> dict[str, list[Document]]:
    """The documents of ``splits``, which must be a prefix of those shared out in :data:`SPLITS`.

    A paragraph is dropped when more than :data:`MAX_SEEN` of its shingles stand in a paragraph
    already kept, in this split or an earlier one; that covers exact and near copies alike.
    Documents come in the order of a hash of their names, so that the first n tokens of a split
    are a sample of all packages.

    Raises:
        ValueError: ``splits`` is not a prefix, so a later split could repeat an unseen earlier one.
    """
    ordered = [s for s in SPLITS if s in shares]
    if list(splits) != ordered[: len(splits)]:
        raise ValueError(f"splits must be a prefix of {ordered}, got {list(splits)}")
    by_split: dict[str, list[tuple[str, Path]]] = {s: [] for s in splits}
    for name, path in modules(packages).items():
        if (split := split_of(name, shares)) in by_split:
            by_split[split].append((name, path))

    seen: set[int] = set()
    result: dict[str, list[Document]] = {}
    for split, members in by_split.items():
        result[split] = []
        for name, path in members:
            kept = []
            for paragraph in paragraphs(path):
                marks = shingles(paragraph)
                if len(marks & seen) <= MAX_SEEN * len(marks):
                    seen |= marks
                    kept.append(paragraph)
            text = "\n\n".join(kept)
            if len(text) >= min_chars:
                result[split].append(Document(name, text))
        result[split].sort(key=lambda d: name_hash(d.name))
    return result
