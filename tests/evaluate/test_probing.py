"""Sparse probes against closed forms, labels against a file written for it."""

import numpy as np
import pytest
import torch
from scipy import stats

from rsae.data.activations.shards import Block
from rsae.data.text.documents import Document
from rsae.data.text.tokenizer import load_tokenizer
from rsae.evaluate import probe_scores, probing
from rsae.evaluate.labels import LABELS, UNLABELLED, Examples, examples, kind, paragraphs
from rsae.evaluate.per_document import Cell
from rsae.report.stats import metrics
from rsae.report.tables import probing as probing_table

SOURCE = '''"""This module holds one class and one function of its own."""

class A:
    """A class that is described in a paragraph of its own.

    Parameters
    ----------
    x : float, a number that is read but never written back
    """

    def f(self):
        """Return the number that was read a while ago.

        See Also
        --------
        nothing : there is nothing else in this file to look at

        one more paragraph of the same section of this docstring
        """
'''
PARAGRAPHS = [
    ("This module holds one class and one function of its own.", "module", "summary"),
    ("A class that is described in a paragraph of its own.", "class", "summary"),
    ("x : float, a number that is read but never written back", "class", "parameters"),
    ("Return the number that was read a while ago.", "function", "summary"),
    ("nothing : there is nothing else in this file to look at", "function", "see also"),
    ("one more paragraph of the same section of this docstring", "function", "see also"),
]
HEADINGS = {2: "Parameters\n----------\n", 4: "See Also\n--------\n"}


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    text = "\n\n".join(HEADINGS.get(i, "") + words for i, (words, _, _) in enumerate(PARAGRAPHS))
    return Document("pkg.a", text), path


def test_a_paragraph_knows_its_owner_and_its_section_and_hides_the_heading(document):
    found = list(paragraphs(*document))
    assert [(document[0].text[p.start : p.stop], p.owner, p.section) for p in found] == PARAGRAPHS


@pytest.mark.parametrize(
    ("token", "what"),
    [("Ġthe", "word"), ("▁the", "word"), ("ing", "piece"), ("Ġ12", "number"), ("--", "punctuation"), ("Ċ", "space")],
)
def test_kinds_of_tokens(token, what):
    assert kind(token) == what


def test_examples_stand_where_their_words_stand(document, monkeypatch):
    tokenizer = load_tokenizer("assets/embedded/host")
    doc, path = document
    monkeypatch.setattr("rsae.evaluate.labels.modules", lambda packages: {"pkg.a": path})
    ids = tokenizer(doc.text, add_special_tokens=False)["input_ids"]
    found = examples([doc], {0: len(ids)}, tokenizer, ["pkg"], 1000, seed=0)
    whole = found.labels["package"] == "pkg"
    assert whole.sum() == len(PARAGRAPHS)
    for start, stop, owner in zip(found.start[whole], found.stop[whole], found.labels["owner"][whole], strict=True):
        words = str(tokenizer.decode(ids[start:stop])).strip()
        assert (words, owner) in {(text, owner) for text, owner, _ in PARAGRAPHS}
    single = ~whole
    assert (found.labels["next_token"][whole] == UNLABELLED).all()
    following = [kind(t) for t in tokenizer.convert_ids_to_tokens(ids)[1:]]
    assert list(found.labels["next_token"][single]) == following
    # what was not harvested is not asked for
    short = examples([doc], {0: 20}, tokenizer, [], 1000, seed=0)
    assert short.stop.max() <= 20
    assert set(short.labels["package"]) == {UNLABELLED}


def made(labels, document):
    n = len(labels)
    none = np.full(n, UNLABELLED)
    columns = dict.fromkeys(LABELS, none) | {"owner": np.array(labels)}
    return Examples(np.array(document), np.arange(n), np.arange(n) + 1, columns)


def test_a_probe_reaches_what_theory_allows():
    # one of 50 features is N(±1, 1) by class: the best single-feature rule is right with Φ(1)
    rng = np.random.default_rng(0)
    n = 8000
    labels = np.where(rng.random(n) < 0.2, "a", "b")  # unbalanced on purpose
    z = rng.normal(size=(n, 50)).astype(np.float32)
    z[:, 7] += np.where(labels == "a", 1, -1)
    half = made(labels[: n // 2], np.arange(n // 2) % 40), made(labels[n // 2 :], np.arange(n // 2) % 40)
    found = list(probing.scores(z[: n // 2], z[n // 2 :], *half, (1, 5), 40, seed=3))
    assert len(found) == 2 * 2  # classes, k
    for s in found:
        balanced = (s.right_of.sum() / s.n_of.sum() + s.right_rest.sum() / s.n_rest.sum()) / 2
        assert balanced == pytest.approx(stats.norm.cdf(1), abs=0.025)
        assert s.n_of.sum() + s.n_rest.sum() == n // 2
    blind = list(probing.scores(z[: n // 2, 20:], z[n // 2 :, 20:], *half, (1,), 40, seed=3))
    for s in blind:
        assert (s.right_of.sum() / s.n_of.sum() + s.right_rest.sum() / s.n_rest.sum()) / 2 == pytest.approx(
            0.5, abs=0.04
        )


def test_a_training_set_holds_as_many_of_the_class_as_of_the_others_alike():
    labels = np.array(["a"] * 30 + ["b"] * 100 + ["c"] * 100 + [UNLABELLED] * 50)
    rows, y = probing.balanced(labels, "a", ["b", "c"], np.random.default_rng(0))
    assert list(np.unique(labels[rows], return_counts=True)[1]) == [30, 15, 15]
    assert (labels[rows[y]] == "a").all()
    assert len(set(rows)) == 60
    rows, _ = probing.balanced(labels, "b", ["a"], np.random.default_rng(0))  # more of it than of all others
    assert list(np.unique(labels[rows], return_counts=True)[1]) == [30, 30]


def test_codes_are_averaged_over_an_examples_tokens():
    x = np.arange(24, dtype=np.float16).reshape(12, 2)
    document = np.array([0] * 5 + [3] * 7)
    position = np.r_[np.arange(5), np.arange(7)]
    wanted = made(["a", "b", "a"], [3, 0, 3])._replace(start=np.array([2, 0, 6]), stop=np.array([5, 5, 7]))
    mean, twice = probing.pooled(lambda x: [x, 2 * x], Block(document, position, x), wanted)
    assert mean == pytest.approx(np.array([x[7:10].mean(0), x[:5].mean(0), x[11]]))
    assert twice == pytest.approx(2 * mean)


def test_scores_on_disk_give_back_and_the_metric_is_the_mean_of_two_rates(tmp_path):
    def column(*values):
        return np.array(values, float)

    def cell(right):
        return [
            probe_scores.Score("owner", "class", 1, column(4, 0, 6), right, column(10, 0, 0), column(5, 0, 0)),
            probe_scores.Score(
                "section", "notes", 1, column(0, 2, 0), column(0, 1, 0), column(0, 2, 0), column(0, 2, 0)
            ),
        ]

    given = {Cell("rsae", s, "hard"): cell(column(3, 0, 6 - s)) for s in (0, 1)}
    probe_scores.write(tmp_path / "probe.parquet", given)
    again = probe_scores.read(tmp_path / "probe.parquet", 3)
    assert set(again) == set(given)
    for cell_, probes in given.items():
        for a, b in zip(probes, again[cell_], strict=True):
            assert a[:3] == b[:3]
            assert all(np.array_equal(x, y) for x, y in zip(a[3:], b[3:], strict=True))
    with pytest.raises(ValueError, match="other than the 2 documents"):
        probe_scores.read(tmp_path / "probe.parquet", 2)
    columns = probing_table.columns(again[Cell("rsae", 0, "hard")])
    weights = np.ones((1, 3))
    assert metrics.PROBING["probe_k1_owner"].value(columns, weights) == pytest.approx([(9 / 10 + 5 / 10) / 2])
    assert metrics.PROBING["probe_k1"].value(columns, weights) == pytest.approx([(0.7 + 0.75) / 2])
    resampled = np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0]])  # the first document three times: no example of a section
    with pytest.raises(ValueError, match="of label 'section' that a resample of them has none; give `test` more"):
        metrics.PROBING["probe_k1"].value(columns, resampled)
    assert len(metrics.PROBING["probe_k1_owner"].value(columns, resampled)) == 2
    with pytest.raises(ValueError, match="no label has two classes with enough examples"):
        probe_scores.write(tmp_path / "none.parquet", {Cell("rsae", 0, "hard"): []})


def test_hard_and_raw_codes_are_probed_for_unit_decoder_rows(make_sae):
    from rsae.sae.gates.relu import ReLU
    from rsae.stages.evaluation.probe import codes_of

    sae = make_sae(ReLU())
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (once,) = codes_of(sae, x)
        sae.W_dec *= 3
        sae.eps = 2.0
        raw, hard = codes_of(sae, x)
    torch.testing.assert_close(raw, 3 * once)
    assert torch.equal(hard != 0, raw > 2.0)
