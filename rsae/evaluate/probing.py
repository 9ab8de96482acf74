"""Sparse probing: how well a few features tell the classes of a label apart.

SAEBench's protocol (arXiv 2503.09532, after arXiv 2305.01610): codes averaged over an example's tokens; for
each class as many examples of it as of the other classes together; the k features whose means
differ most between the two; on them scikit-learn's logistic regression as it is. Judged by the mean of the two
classes' accuracies on examples of other documents.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from rsae.data.activations.shards import Block, Shards
from rsae.evaluate.labels import UNLABELLED, Examples
from rsae.evaluate.probe_scores import DENSE, DRAWS, Score

CLASSES = 5  # of a label, the most frequent ones
MIN_TRAIN, MIN_TEST = 40, 20  # examples that a class needs
CHUNK = 2048  # tokens that are encoded together
SOLVER = "newton-cholesky"  # to scikit-learn's usual optimum, ten times as fast as its usual solver on a few features


def tokens_of(shards: Shards) -> dict[int, int]:
    """Activations per document that are at hand: always its first tokens."""
    count = np.bincount(np.concatenate([block.document for block in shards.blocks()]))
    return {int(i): int(count[i]) for i in np.flatnonzero(count)}


@torch.no_grad()
def pooled(
    encode: Callable[[Tensor], Sequence[Tensor]],
    data: Block,
    examples: Examples,
) -> list[Float[np.ndarray, "n width"]]:
    """Mean over the tokens of each example of everything that ``encode`` returns for activations [n, d_in]."""
    document, position, x = data
    known, first = np.unique(document, return_index=True)
    length = examples.stop - examples.start
    begin = first[np.searchsorted(known, examples.document)] + examples.start
    # the tokens of all examples, one example after the other
    of = np.repeat(np.arange(len(length)), length)
    rows = np.arange(len(of)) - np.repeat(np.cumsum(length) - length, length) + begin[of]
    assert (document[rows] == examples.document[of]).all()
    assert (position[rows] - examples.start[of] == rows - begin[of]).all()
    means: list[Tensor] = []
    for i in range(0, len(rows), CHUNK):
        part = slice(i, i + CHUNK)
        codes = encode(torch.from_numpy(x[rows[part]].astype(np.float32)))
        means = means or [torch.zeros(len(length), z.shape[1]) for z in codes]
        weight = torch.from_numpy(1 / length[of[part]]).float().unsqueeze(1)
        for mean, z in zip(means, codes, strict=True):
            mean.index_add_(0, torch.from_numpy(of[part]), z * weight)
    return [mean.numpy() for mean in means]


def classes(train: np.ndarray, test: np.ndarray) -> list[str]:
    """The most frequent classes of a label that have enough examples; none where fewer than two have."""
    names, counts = np.unique(train[train != UNLABELLED], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    found = [str(names[i]) for i in order if counts[i] >= MIN_TRAIN and (test == names[i]).sum() >= MIN_TEST][:CLASSES]
    return found if len(found) > 1 else []


def balanced(
    labels: np.ndarray, positive: str, others: Sequence[str], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Examples of a class and as many of the others, which are equally frequent as far as they reach."""
    own = rng.permutation(np.flatnonzero(labels == positive))
    share = -(-len(own) // len(others))
    rest = np.concatenate([rng.permutation(np.flatnonzero(labels == other))[:share] for other in others])
    n = min(len(own), len(rest))
    rows = np.concatenate([own[:n], rng.permutation(rest)[:n]])
    return rows, np.arange(2 * n) < n


def ranked(z: Float[np.ndarray, "n width"], positive: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " width"]:
    """Features by how much their means over the two classes differ, the largest difference first."""
    return np.argsort(-np.abs(z[positive].mean(0) - z[~positive].mean(0)), kind="stable")


def scores(
    z_train: Float[np.ndarray, "n_train width"],
    z_test: Float[np.ndarray, "n_test width"],
    train: Examples,
    test: Examples,
    ks: Sequence[int],
    n_doc: int,
    seed: int,
) -> Iterator[Score]:
    """Every probe of one set of codes. ``seed`` draws the training sets, whatever the codes are."""
    for label, wanted in train.labels.items():
        known = classes(wanted, test.labels[label])
        rows = np.flatnonzero(np.isin(test.labels[label], known))
        document = test.document[rows]
        for number, positive in enumerate(known):
            own = test.labels[label][rows] == positive
            others = [c for c in known if c != positive]
            n = [np.bincount(document[side], minlength=n_doc).astype(float) for side in (own, ~own)]
            right = {k: [np.zeros(n_doc), np.zeros(n_doc)] for k in ks}
            for draw in range(DRAWS):
                rng = np.random.default_rng([seed, sum(map(ord, label)), number, draw])
                chosen, y = balanced(wanted, positive, others, rng)
                z = z_train[chosen].astype(float)
                ranking = ranked(z, y)
                for k in ks:
                    features = ranking if k == DENSE else ranking[:k]
                    probe = LogisticRegression(solver=SOLVER).fit(z[:, features], y)
                    hit = probe.predict(z_test[rows][:, features]) == own
                    for side, total in zip((own, ~own), right[k], strict=True):
                        total += np.bincount(document[side & hit], minlength=n_doc) / DRAWS
            for k in ks:
                yield Score(label, positive, k, n[0], right[k][0], n[1], right[k][1])
