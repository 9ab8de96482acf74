"""What a caller hands over: an SAE in any form, activations or token ids, and their splits."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.config.types import Kind
from rsae.data.text.tokens import Row, TokenRows
from rsae.sae import loading
from rsae.sae.model import SAE

SHARES = {"finetune": 0.5, "calibration": 0.1, "threshold": 0.1, "tuning": 0.1, "test": 0.2}
BLOCK = 128  # tokens that stand for a document where documents are not given
CHUNK = 2048  # tokens; times d_sae floats is the working memory
# of a teacher's metadata, what holds for its upgrade too
ABOUT_THE_SITE = (
    "model_name", "model_from_pretrained_kwargs", "hook_name", "hook_head_index", "context_size", "prepend_bos",
    "seqpos_slice", "dataset_path",
)  # fmt: skip
FEWEST = 20  # documents
KINDS: dict[str, Kind] = {"standard": "relu", "jumprelu": "jumprelu", "topk": "topk"}


class Given(NamedTuple):
    """Activations at the SAE's site and, where they came through a host, what its losses are measured on."""

    x: Tensor  # [n_tok, d_in], fp32
    document: np.ndarray | None  # [n_tok], numbered from 0; None where nobody says
    host: Any = None  # rsae.data.activations.host.Host
    rows: TokenRows | None = None  # of the same documents, in the same order


class Split(NamedTuple):
    """Activations of one split and the documents they come from, numbered from 0."""

    x: Tensor  # [n_tok, d_in], fp32
    document: np.ndarray  # [n_tok]
    members: np.ndarray  # the number that each of these documents has in what was given

    @property
    def chunks(self) -> Sequence[Tensor]:
        """:data:`CHUNK` tokens at a time."""
        return self.x.split(CHUNK)


def teacher_of(
    given: Any, kind: Kind | None = None, stated: Mapping[str, Any] | None = None
) -> tuple[SAE, dict[str, Any]]:
    """The SAE in the skeleton, and what its owner wrote about it; the rest as :func:`rsae.sae.loading.load_any`."""
    if isinstance(given, SAE):
        teacher, metadata = given, {}
    elif isinstance(given, str | Path):
        teacher, metadata = loading.load_any(given, kind, stated)
    else:
        teacher, metadata = loading.settled(given, stated=stated), given.cfg.metadata.to_dict()
    if teacher.refine is not None or teacher.gate.architecture not in KINDS:
        raise ValueError("this SAE has been upgraded already; start from a ReLU, JumpReLU or TopK SAE")
    return copy.deepcopy(teacher).cpu(), {k: metadata[k] for k in ABOUT_THE_SITE if metadata.get(k) is not None}


def centred(metadata: Mapping[str, Any]) -> bool:
    """Whether the SAE was trained on a model whose writing weights were centred, by its owner's word."""
    return bool((metadata.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights", False))


def activations_of(data: Any, documents: Any, host: Any, hook: str | None, center_writing_weights: bool) -> Given:
    """Activations in fp32 as they are, or what ``host`` has at ``hook`` where ``data`` is tokens.

    Raises:
        ValueError: neither activations nor tokens; tokens without a host; documents that do not fit.
    """
    if not isinstance(data, TokenRows):
        data = torch.as_tensor(data).detach().cpu()
        if data.ndim != 2:
            raise ValueError(
                f"data must be activations [n_tok, d_in] or token ids [n_row, len], got shape {tuple(data.shape)}"
            )
        if data.is_floating_point():
            if documents is not None and len(documents) != len(data):
                raise ValueError(f"documents has {len(documents)} entries for {len(data)} activations")
            return Given(data.float(), None if documents is None else np.unique(documents, return_inverse=True)[1])
        bos = bool((data[:, 0] == data[0, 0]).all())
        data = TokenRows([Row(i, str(i), ids.numpy().astype(np.int32)) for i, ids in enumerate(data)], bos)
    if host is None or hook is None:
        raise ValueError("token ids need `host`, a folder with a Hugging Face model, and `hook`, the SAE's site in it")
    from rsae.data.activations.host import Host

    return captured(Host(host, hook, center_writing_weights), data)


def captured(host: Any, rows: TokenRows) -> Given:
    """Activations at every position of text; BOS is left out.

    Raises:
        ValueError: no rows.
    """
    if not rows.rows:
        raise ValueError("no whole row of text fits into the tokens asked for; raise --max-tok")
    number = {d: i for i, d in enumerate(dict.fromkeys(r.document for r in rows.rows))}
    rows = rows._replace(rows=[r._replace(document=number[r.document]) for r in rows.rows])
    from rsae.data.activations.host import activations

    x, documents = [], []
    for row, values in activations(host, rows, "activations"):
        x.append(values)
        documents += [row.document] * len(values)
    return Given(torch.cat(x), np.array(documents), host, rows)


def split(x: Tensor, documents: np.ndarray | None, seed: int) -> dict[str, Split]:
    """Disjoint by document. Given documents are shuffled; stretches of one text are not, for neighbours are alike."""
    known = documents is not None
    documents = documents if known else np.arange(len(x)) // BLOCK
    n = int(documents.max()) + 1 if len(documents) else 0
    if n < FEWEST:
        raise ValueError(f"{n} documents are too few to train, to choose and to judge on; give at least {FEWEST}")
    order = np.random.default_rng(seed).permutation(n) if known else np.arange(n)
    edges = np.round(np.cumsum([0, *SHARES.values()]) * n).astype(int)
    splits = {}
    for name, start, stop in zip(SHARES, edges, edges[1:], strict=False):
        rows = np.flatnonzero(np.isin(documents, order[start:stop]))
        rows = rows[np.argsort(documents[rows], kind="stable")]  # a document's rows stand together
        members, numbered = np.unique(documents[rows], return_inverse=True)
        splits[name] = Split(x[torch.from_numpy(rows)], numbered, members)
    return splits
