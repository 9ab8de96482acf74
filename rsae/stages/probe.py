"""Sparse probes on the codes of every SAE of a pair, and on two baselines that are no SAE's."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsae.docstrings import Document
from rsae.evaluate import probing
from rsae.evaluate.labels import Examples, examples
from rsae.evaluate.scores import DENSE, KS, Score, write
from rsae.evaluate.sums import Cell
from rsae.gates.topk import TopK
from rsae.progress import progress
from rsae.sae import SAE
from rsae.shards import Shards
from rsae.stages.common import set_up_torch
from rsae.support import mean_l0
from rsae.tokenizers import load_tokenizer

RESIDUAL, RANDOM = "residual", "random"  # baselines, among the arms of the file
SAMPLE = 4096  # tokens on which the teacher's l0 is taken


class Split:
    """Examples of a split and the activations that they are means of."""

    def __init__(
        self, text: Path, activations: Path, host: Path, packages: Sequence[str], most: int, seed: int
    ) -> None:
        shards = Shards(activations)
        documents = [Document(**json.loads(line)) for line in text.read_text().splitlines()]
        self.n_doc = len(shards.documents)
        if [d.name for d in documents[: self.n_doc]] != shards.documents:
            raise ValueError(f"{text} is not the text of {activations}; delete both and run again")
        self.block = shards.load()
        tokenizer = load_tokenizer(host)
        self.examples: Examples = examples(documents, probing.tokens_of(shards), tokenizer, packages, most, seed)


def run(
    train_text: Path,
    test_text: Path,
    host: Path,
    train: Path,
    test: Path,
    saes: Mapping[tuple[str, int], Path],
    out: Path,
    *,
    packages: Sequence[str],
    most: int,
    seed: int,
) -> None:
    """``saes`` maps (arm, seed) to a folder; raw and hard codes of each are probed, once where they are the same.

    Probes are trained on examples of the ``train`` documents and judged on those of the ``test`` documents.
    """
    set_up_torch()
    learnt, judged = (
        Split(text, folder, host, packages, most, seed) for text, folder in ((train_text, train), (test_text, test))
    )

    def scores(codes: Callable[[Tensor], list[Tensor]], ks: Sequence[int] = KS) -> list[list[Score]]:
        z_train, z_test = (probing.pooled(codes, split.block, split.examples) for split in (learnt, judged))
        splits = learnt.examples, judged.examples
        supports = zip(z_train, z_test, strict=True)
        return [list(probing.scores(a, b, *splits, ks, judged.n_doc, seed)) for a, b in supports]

    found: dict[Cell, list[Score]] = {}
    for (arm, number), folder in progress(saes.items(), len(saes), "probe"):
        sae = SAE.load(folder)
        results = scores(lambda x, sae=sae: codes_of(sae, x))
        for i, support in enumerate(("raw", "hard")):
            found[Cell(arm, number, support)] = results[min(i, len(results) - 1)]
    teacher = SAE.load(saes["teacher", 0])
    few = torch.from_numpy(judged.block.x[:SAMPLE].astype(np.float32))
    found[Cell(RESIDUAL, 0, "raw")] = scores(lambda x: [x], (*KS, DENSE))[0]
    found[Cell(RANDOM, 0, "hard")] = scores(unlearnt(teacher, few, seed))[0]
    write(out, found)


def codes_of(sae: SAE, x: Tensor) -> list[Tensor]:
    """Codes for decoder rows of unit norm, signs kept: raw, and hard where these differ."""
    raw = sae.encode(x)
    norm = sae.W_dec.norm(dim=1)
    return [z * norm for z in ([raw] if sae.eps == 0 else [raw, sae.hard(raw)])]


def unlearnt(teacher: SAE, x: Tensor, seed: int) -> Callable[[Tensor], list[Tensor]]:
    """Codes of a dictionary of random unit directions, as large and as sparse as the teacher's."""
    directions = torch.randn(teacher.d_sae, teacher.d_in, generator=torch.Generator().manual_seed(seed))
    directions = directions / directions.norm(dim=1, keepdim=True)
    gate = TopK(max(1, round(mean_l0(teacher, [x]))))
    sae = SAE(directions.T, torch.zeros(teacher.d_sae), directions, x.mean(0), gate)
    return lambda x: codes_of(sae, x)
