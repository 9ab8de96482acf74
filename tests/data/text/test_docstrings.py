from collections.abc import Sequence
from itertools import pairwise

import pytest

from rsae.config.sources import Docstrings
from rsae.data.text.docstrings import documents, modules, shingles
from rsae.data.text.documents import SPLITS, split_of
from rsae.plan import TEXT_SPLITS, load_text

TEXT = load_text("docstrings")
assert isinstance(TEXT, Docstrings)
SHARES = TEXT.shares


def overlap(texts: Sequence[str], others: Sequence[str], width: int = 60) -> float:
    """Share of the characters of ``texts`` that stand verbatim, in a run of ``width``, in ``others``.

    White space is normalised first, so re-wrapping a copied sentence does not hide it.
    """

    def flat(text: str) -> str:
        return " ".join(text.split())

    windows = {o[i : i + width] for o in map(flat, others) for i in range(len(o) - width + 1)}
    covered = total = 0
    for text in map(flat, texts):
        total += len(text)
        starts = [i for i in range(len(text) - width + 1) if text[i : i + width] in windows]
        if starts:
            covered += sum(min(width, b - a) for a, b in pairwise(starts)) + width
    return covered / total if total else 0.0


def test_the_split_of_a_module_depends_on_its_name_alone():
    names = [f"package.module{i}" for i in range(4000)]
    found = {s: sum(split_of(n, SHARES) == s for n in names) / len(names) for s in SPLITS}
    for split, share in SHARES.items():
        assert found[split] == pytest.approx(share, abs=0.03)
    assert [split_of(n, SHARES) for n in reversed(names)] == [split_of(n, SHARES) for n in names][::-1]


def test_near_copies_share_shingles():
    a = "Return the number of nodes in the graph G as an integer value."
    assert shingles(a) == shingles("return the NUMBER of nodes\n  in the graph G, as an integer value")
    assert not shingles(a) & shingles("Compute the eigenvalues of a symmetric band matrix in place now.")


def test_overlap_by_hand():
    text = "x" * 50 + "0123456789" * 10
    assert overlap([text], ["0123456789" * 10], width=60) == pytest.approx(100 / 150)
    assert overlap([text], ["nothing alike"], width=60) == 0


def test_only_a_prefix_of_the_splits_may_be_built():
    with pytest.raises(ValueError, match="prefix"):
        documents(["yaml"], SHARES, ["finetune"])


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(ValueError, match="no_such_package"):
        modules(["no_such_package"])


@pytest.mark.parametrize(
    "packages",
    [
        pytest.param(["networkx", "nltk", "huggingface_hub"], id="three packages"),
        pytest.param(TEXT.packages, id="the whole text", marks=pytest.mark.slow),  # two minutes
    ],
)
def test_test_documents_do_not_stand_in_any_other_split(packages):
    found = documents(packages, SHARES, SPLITS)
    test = [d.text for d in found["test"]]
    assert len(test) >= 10
    for split in SPLITS[1:]:
        assert overlap(test, [d.text for d in found[split]], width=60) < 0.01, split
    # building less text changes nothing in what is built
    assert documents(packages, SHARES, TEXT_SPLITS) == {s: found[s] for s in TEXT_SPLITS}
