"""Sparse probes on the codes of every SAE of a pair, and on two baselines that are no SAE's."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.data.activations.shards import Block, Shards
from rsae.data.text.documents import Document
from rsae.data.text.tokenizer import load_tokenizer
from rsae.evaluate import probing
from rsae.evaluate.labels import Examples, examples
from rsae.evaluate.per_document import Cell
from rsae.evaluate.probe_scores import DENSE, KS, Score, write
from rsae.runtime.device import set_up_torch
from rsae.runtime.progress import progress
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.support import mean_l0

RESIDUAL, RANDOM = "residual", "random"  # baselines, among the arms of the file
SAMPLE = 4096  # tokens on which the teacher's l0 is taken


class Side(NamedTuple):
    """Examples to train probes on, or to judge them on, and the activations that they are means of."""

    block: Block
    examples: Examples
    n_doc: int


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
    """Probes on what the text says of itself, trained on ``train`` documents and judged on ``test`` documents."""
    set_up_torch()

    def side(text: Path, activations: Path) -> Side:
        shards = Shards(activations)
        documents = [Document(**json.loads(line)) for line in text.read_text(encoding="utf-8").splitlines()]
        if [d.name for d in documents[: len(shards.documents)]] != shards.documents:
            raise ValueError(f"{text} is not the text of {activations}; delete both and run again")
        labelled = examples(documents, probing.tokens_of(shards), load_tokenizer(host), packages, most, seed)
        return Side(shards.load(), labelled, len(shards.documents))

    judge(side(train_text, train), side(test_text, test), saes, out, seed)


def judge(learnt: Side, judged: Side, saes: Mapping[tuple[str, int], Path], out: Path, seed: int) -> None:
    """``saes`` maps (arm, seed) to a folder; raw and hard codes of each are probed, once where they are the same."""

    def scores(codes: Callable[[Tensor], list[Tensor]], ks: Sequence[int] = KS) -> list[list[Score]]:
        z_train, z_test = (probing.pooled(codes, side.block, side.examples) for side in (learnt, judged))
        sides = learnt.examples, judged.examples
        supports = zip(z_train, z_test, strict=True)
        return [list(probing.scores(a, b, *sides, ks, judged.n_doc, seed)) for a, b in supports]

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
