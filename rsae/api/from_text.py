"""``rsae upgrade``: the same from the shell, on a text and through a host."""

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rsae.api import output
from rsae.api.arguments import whole
from rsae.api.inputs import FEWEST, centred, teacher_of
from rsae.api.upgrade import Upgraded, upgrade
from rsae.config.sources import Docstrings, FileText, HubText
from rsae.config.types import Kind
from rsae.data.hub import client
from rsae.data.text import datasets, docstrings, tokens
from rsae.data.text.tokenizer import load_tokenizer
from rsae.plan import CONFIG, TEXT_SPLITS, load_text
from rsae.runtime.caller import called_from
from rsae.sae.loading.said import completed
from rsae.sae.loading.sites import check_site

CTX = 128  # tokens of a row, BOS included, where neither caller nor SAE says
MANY = 100  # documents that a text should be read of, where it has so many
SHORT = 100  # tokens: documents are asked for as if they were no longer


@called_from("shell")
def run(
    teacher: str,
    sae_id: str | None,
    host: str,
    text: str,
    out: Path,
    *,
    hook: str | None,
    ctx: int | None,
    bos: bool | None,
    max_tok: int,
    kind: Kind | None = None,
    stated: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Upgraded:
    """Tokenise, capture, upgrade, write; ``settings`` are those of :func:`rsae.upgrade`.

    ``hook``, ``ctx`` and ``bos``, where left out, are what the SAE says of itself.

    Raises:
        ValueError: see :func:`rsae.upgrade`; or a text without documents, or no hook known.
    """
    whole("max_tok", max_tok, 1)
    if ctx is not None:
        whole("ctx", ctx, 2)
    output.check(out, teacher)
    given: Any = Path(teacher)
    if sae_id is None and not given.exists():
        raise ValueError(f"{teacher} is no folder on this machine; for a release of sae_lens give --sae-id too")
    if sae_id is not None:
        from sae_lens import SAE as SaeLensSAE

        given = client.patiently(lambda: SaeLensSAE.from_pretrained(teacher, sae_id), teacher, "main", sae_id)
    _, metadata = teacher_of(given, kind, stated)
    if hook is not None:
        check_site(metadata.get("hook_name"), hook, "the given SAE")
    hook = hook or metadata.get("hook_name")
    if hook is None:
        raise ValueError("the SAE does not say its site; give it as --hook, such as blocks.8.hook_resid_pre")
    rows = tokenised(text, host, metadata, ctx, bos, max_tok)
    print(f"site: {hook}, {'centred, ' if centred(metadata) else ''}rows {'after' if rows.bos else 'without'} BOS")
    found = upgrade(given, rows, kind=kind, stated=stated, host=host, hook=hook, **settings)
    # what a second upgrade, or another tool, would otherwise have to be told
    known = {"model_name": host, "context_size": max(len(r.ids) for r in rows.rows), "prepend_bos": rows.bos}
    found.metadata.update({k: v for k, v in (known | {"dataset_path": text}).items() if k not in found.metadata})
    found.save(out)
    return found


def tokenised(
    text: str, host: str, metadata: Mapping[str, Any], ctx: int | None, bos: bool | None, max_tok: int
) -> tokens.TokenRows:
    """At most ``max_tok`` tokens of a text, in rows of ``ctx``, after BOS or not.

    Where they are left out, they are the ``context_size`` and ``prepend_bos`` of the SAE's ``metadata``, else
    :data:`CTX` and yes.
    """
    ctx = int(ctx or metadata.get("context_size") or CTX)
    said = {k: bool(v) for k, v in metadata.items() if k == "prepend_bos" and v is not None}
    completed(said, None if bos is None else {"prepend_bos": bos}, "the given SAE")
    bos = said.get("prepend_bos", True) if bos is None else bos
    found = documents(text, max(FEWEST, max_tok // SHORT))
    tokenizer = load_tokenizer(host)

    def rows(most: int) -> tokens.TokenRows:
        return tokens.tokenise(
            found, tokenizer, ctx=ctx, bos=bos, max_tok=max_tok, max_rows_per_document=most, short=True
        )

    # of long documents the beginnings, so that many are seen; more of each, where that is not enough
    most = -(-max_tok // ((ctx - bos) * min(len(found), MANY)))
    taken = rows(most)
    while taken.n_tok < max_tok and (more := rows(2 * most)).n_tok > taken.n_tok:
        taken, most = more, 2 * most
    return _at_most(taken, max_tok)


def documents(text: str, limit: int) -> list[tuple[str, str]]:
    """(name, text) of the documents of a file or folder; else at most ``limit`` of a name in config/text or a dataset.

    Read as suites read texts: see :mod:`rsae.data.text.datasets`.

    Raises:
        ValueError: it is none of these, is unreadable, or has no text.
    """
    if Path(text).exists():
        entry, limit = FileText(source="files", path=Path(text)), sys.maxsize
    elif (CONFIG / "text" / f"{text}.yaml").is_file():
        entry = load_text(text)
    elif text.count("/") == 1 and not text.startswith(("/", ".")):
        entry = HubText(source="datasets", name=text, documents=limit)
    else:
        raise ValueError(f"no file {text}, no text of that name in {CONFIG / 'text'}, no dataset OWNER/NAME")
    if isinstance(entry, Docstrings):
        found = iter(docstrings.documents(entry.packages, entry.shares, TEXT_SPLITS)["finetune"])
    else:
        options = entry.model_dump(exclude={"source", "shares"})
        found = datasets.documents_of(entry.source, options | {"documents": min(limit, entry.documents or limit)})
    documents = [(d.name, d.text) for d in islice(found, limit)]
    if not documents:
        raise ValueError(f"text {text} is empty")
    return documents


def _at_most(rows: tokens.TokenRows, n_tok: int) -> tokens.TokenRows:
    """Whole rows from the beginning, of no more than ``n_tok`` tokens."""
    seen = np.cumsum([len(r.ids) - rows.bos for r in rows.rows])
    return rows._replace(rows=rows.rows[: int((seen <= n_tok).sum())])
