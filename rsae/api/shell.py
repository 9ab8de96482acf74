"""``rsae upgrade``: the same from the shell, on a text and through a host."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rsae import hub, tokens
from rsae.api.given import teacher_of
from rsae.api.run import Upgraded, upgrade
from rsae.tokenizers import load_tokenizer


def run(
    teacher: str,
    sae_id: str | None,
    host: str,
    text: Path,
    out: Path,
    *,
    hook: str | None,
    ctx: int,
    bos: bool,
    max_tok: int,
    **settings: Any,
) -> Upgraded:
    """Tokenise, capture, upgrade, write; ``settings`` are those of :func:`rsae.api.upgrade`.

    Raises:
        ValueError: see :func:`rsae.api.upgrade`; or a text without documents, or no hook known.
    """
    given: Any = Path(teacher)
    if sae_id is None and not given.exists():
        raise ValueError(f"{teacher} is no folder on this machine; for a release of sae_lens give --sae-id too")
    if sae_id is not None:
        from sae_lens import SAE as SaeLensSAE

        given = hub.patiently(lambda: SaeLensSAE.from_pretrained(teacher, sae_id), teacher, "main", sae_id)
    _, metadata = teacher_of(given)
    hook = hook or metadata.get("hook_name")
    if hook is None:
        raise ValueError("the SAE does not say its site; give it as --hook, such as blocks.8.hook_resid_pre")
    rows = tokens.tokenise(read(text), load_tokenizer(host), ctx=ctx, bos=bos)
    found = upgrade(given, _at_most(rows, max_tok), host=host, hook=hook, **settings)
    found.save(out)
    return found


def read(path: Path) -> list[tuple[str, str]]:
    """(name, text) of each line of a ``.jsonl`` file with the key `text`, or of each paragraph of another file.

    Raises:
        ValueError: unreadable, or without text.
    """
    try:
        content = path.read_text()
        parts = content.splitlines() if path.suffix == ".jsonl" else content.split("\n\n")
        documents = [json.loads(p)["text"] if path.suffix == ".jsonl" else p for p in parts if p.strip()]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"text {path} cannot be read ({error!r}); give lines of JSON with `text`, or plain text"
        ) from error
    if not documents:
        raise ValueError(f"text {path} is empty")
    return [(f"{path.name}:{i}", document) for i, document in enumerate(documents)]


def _at_most(rows: tokens.TokenRows, n_tok: int) -> tokens.TokenRows:
    """Whole rows from the beginning, of no more than ``n_tok`` tokens."""
    seen = np.cumsum([len(r.ids) - rows.bos for r in rows.rows])
    return rows._replace(rows=rows.rows[: int((seen <= n_tok).sum())])
