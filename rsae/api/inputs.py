"""What a caller hands over: an SAE in any form, activations or token ids, and their splits."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.config.types import Kind
from rsae.data.text import padding
from rsae.data.text.copies import distinct
from rsae.data.text.tokens import Row, TokenRows
from rsae.runtime.caller import word
from rsae.sae import loading
from rsae.sae.loading.said import completed
from rsae.sae.model import SAE

SHARES = {"finetune": 0.5, "calibration": 0.1, "threshold": 0.1, "tuning": 0.1, "test": 0.2}
BLOCK = 128  # tokens that stand for a document where documents are not given
CHUNK = 2048  # tokens; times d_sae floats is the working memory
# of a teacher's metadata, what holds for its upgrade too
ABOUT_THE_SITE = (
    "model_name", "model_from_pretrained_kwargs", "hook_name", "hook_head_index", "context_size", "prepend_bos",
    "seqpos_slice", "dataset_path",
)  # fmt: skip
CENTRING = "center_writing_weights"
FEWEST = 20  # documents
COPIED = 0.1  # share of the test that may stand in the fine-tune to the bit
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
    return bool((metadata.get("model_from_pretrained_kwargs") or {}).get(CENTRING, False))


def centring(metadata: Mapping[str, Any], stated: bool | None) -> bool:
    """Whether each token's mean is taken away: what the caller states, else what the SAE says of itself.

    Raises:
        ValueError: the two contradict each other.
    """
    said = metadata.get("model_from_pretrained_kwargs") or {}
    completed(
        {k: bool(v) for k, v in said.items() if k == CENTRING},
        None if stated is None else {CENTRING: stated},
        "the given SAE",
    )
    return centred(metadata) if stated is None else stated


def activations_of(
    data: Any,
    documents: Any,
    host: Any,
    hook: str | None,
    center_writing_weights: bool,
    attention_mask: Any = None,
) -> Given:
    """Activations in fp32 as they are, or what ``host`` has at ``hook`` where ``data`` is tokens.

    Raises:
        ValueError: neither activations nor tokens; tokens without a host; documents that do not fit; a row that is not
            finite.
    """
    if not isinstance(data, TokenRows):
        data = torch.as_tensor(data).detach().cpu()
        if data.ndim != 2:
            raise ValueError(
                f"data must be activations [n_tok, d_in] or token ids [n_row, len], got shape {tuple(data.shape)}"
            )
        if data.is_floating_point():
            if attention_mask is not None:
                raise ValueError("attention_mask goes with token ids; of activations hand over those of text alone")
            if documents is not None and len(documents) != len(data):
                raise ValueError(f"documents has {len(documents)} entries for {len(data)} activations")
            return _finite(data.float(), None if documents is None else np.unique(documents, return_inverse=True)[1])
        data = _rows(data.numpy(), attention_mask, host)
    if host is None or hook is None:
        raise ValueError("token ids need `host`, a folder with a Hugging Face model, and `hook`, the SAE's site in it")
    from rsae.data.activations.host import Host

    return captured(Host(host, hook, center_writing_weights), _without_copies(data))


def _finite(x: Tensor, documents: np.ndarray | None) -> Given:
    bad = ~torch.isfinite(x).all(1)
    if bool(bad.any()):
        first = int(bad.float().argmax())
        where = "" if documents is None else f" (document {int(documents[first])})"
        raise ValueError(
            f"{int(bad.sum())} of {len(x)} activations hold NaN or infinity, the first in row {first}{where}; fp16"
            " overflows at 65504: capture them again in float32, or leave these rows out"
        )
    return Given(x, documents)


def _rows(ids: np.ndarray, attention_mask: Any, host: Any) -> TokenRows:
    """Rows of ids as documents, without what somebody padded them with."""
    bos = bool(len(ids)) and bool((ids[:, 0] == ids[0, 0]).all())
    if attention_mask is not None:
        mask = np.asarray(attention_mask).astype(bool)
        if mask.shape != ids.shape:
            raise ValueError(f"attention_mask has shape {mask.shape}, the ids have {ids.shape}")
        rows = padding.by_mask(ids, mask)
        bos = len({int(row[0]) for row in rows}) == 1
    else:
        special, bos_id = _special(host)
        rows, left_out = padding.by_runs(ids, special, bos_id)
        if left_out:
            print(
                f"padding: {left_out} of {ids.size} ids are runs of {', '.join(map(str, sorted(special)))} at an end of"
                " a row; they are left out (say attention_mask to decide yourself)"
            )
            bos = len({int(row[0]) for row in rows if len(row)}) == 1
    kept = [(i, row) for i, row in enumerate(rows) if len(row) > bos]
    return TokenRows([Row(i, str(i), row.astype(np.int32)) for i, row in kept], bos)


def _special(host: Any) -> tuple[set[int], int | None]:
    """The ids with which the host's tokenizer pads, ends and begins a row; and the last of these."""
    if host is None:
        return set(), None
    from rsae.data.text.tokenizer import load_tokenizer

    tokenizer: Any = load_tokenizer(host)
    marks = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id)
    return {mark for mark in marks if mark is not None}, tokenizer.bos_token_id


def _without_copies(rows: TokenRows) -> TokenRows:
    """Without documents that say what others said before: a copy in the test would be judged as unseen."""
    texts: dict[int, list[int]] = {}
    for row in rows.rows:
        texts.setdefault(row.document, []).extend(row.ids[int(rows.bos) :].tolist())
    kept = {document for document, first in distinct(texts.items()) if first}
    if len(kept) < len(texts):
        print(f"copies: {len(texts) - len(kept)} of {len(texts)} documents say what others said before; left out")
    return rows._replace(rows=[row for row in rows.rows if row.document in kept])


def captured(host: Any, rows: TokenRows) -> Given:
    """Activations at every position of text; BOS is left out.

    Raises:
        ValueError: no rows.
    """
    if not rows.rows:
        raise ValueError(f"no whole row of text fits into the tokens asked for; give {word('more documents')}")
    number = {d: i for i, d in enumerate(dict.fromkeys(r.document for r in rows.rows))}
    rows = rows._replace(rows=[r._replace(document=number[r.document]) for r in rows.rows])
    from rsae.data.activations.host import activations

    x, documents = [], []
    for row, values in activations(host, rows, "activations"):
        x.append(values)
        documents += [row.document] * len(values)
    return _finite(torch.cat(x), np.array(documents))._replace(host=host, rows=rows)


def split(x: Tensor, documents: np.ndarray | None, seed: int) -> dict[str, Split]:
    """Disjoint by document. Given documents are shuffled; stretches of one text are not, for neighbours are alike."""
    known = documents is not None
    documents = documents if known else np.arange(len(x)) // BLOCK
    n = int(documents.max()) + 1 if len(documents) else 0
    if n < FEWEST:
        raise ValueError(
            f"{n} documents are too few to train, to choose and to judge on; give at least {FEWEST}:"
            f" {word('more documents')}"
        )
    order = np.random.default_rng(seed).permutation(n) if known else np.arange(n)
    edges = np.round(np.cumsum([0, *SHARES.values()]) * n).astype(int)
    splits = {}
    for name, start, stop in zip(SHARES, edges, edges[1:], strict=False):
        rows = np.flatnonzero(np.isin(documents, order[start:stop]))
        rows = rows[np.argsort(documents[rows], kind="stable")]  # a document's rows stand together
        members, numbered = np.unique(documents[rows], return_inverse=True)
        splits[name] = Split(x[torch.from_numpy(rows)], numbered, members)
    return splits


def held_out(splits: Mapping[str, Split]) -> None:
    """Raise a ValueError where much of the test stands in the fine-tune too, to the bit.

    Some may: after BOS and one token a host has one answer, whatever comes next.
    """
    seen = {row.tobytes() for row in splits["finetune"].x.numpy()}
    again = sum(row.tobytes() in seen for row in splits["test"].x.numpy())
    if again > COPIED * len(splits["test"].x):
        raise ValueError(
            f"{again} of {len(splits['test'].x)} test activations stand in the fine-tune too, so nothing here is held"
            " out; leave repeated text out, or say `documents` so that copies can stay together"
        )
