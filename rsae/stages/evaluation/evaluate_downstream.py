"""Delta CE, loss recovered and KL of every SAE of a pair, from one clean pass of the host."""

from collections.abc import Mapping
from pathlib import Path

from rsae.data.activations.host import Host
from rsae.data.activations.shards import Shards
from rsae.data.text import tokens
from rsae.evaluate import per_document
from rsae.evaluate.downstream import ablations, columns, downstream_sums, replacement
from rsae.evaluate.reconstruction import site_mean
from rsae.runtime.checkpoint import continued
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import digest, sha256
from rsae.runtime.fingerprint import code_digest
from rsae.sae.model import load
from rsae.stages.made_from import digests


def run(
    token_file: Path,
    host: Path,
    calibration: Path,
    saes: Mapping[tuple[str, int], Path],
    out: Path,
    checkpoints: Path,
    *,
    hook: str,
    center_writing_weights: bool,
) -> None:
    """``saes`` maps (arm, seed) to a folder. The mean ablation takes its mean from ``calibration``.

    Killed, the same call continues from what it left in ``checkpoints``.
    """
    set_up_torch()
    source = tokens.read(token_file)
    n_doc = 1 + max(r.document for r in source.rows)
    constants = ablations(site_mean(Shards(calibration).blocks()))
    replacements = [replacement(arm, seed, load(folder)) for (arm, seed), folder in saes.items()]
    model = Host(host, hook, center_writing_weights)
    made_from = {
        "hook": hook,
        "center_writing_weights": center_writing_weights,
        "code": code_digest(__name__),
        "data": [sha256(token_file), sha256(calibration / "manifest.json"), *model.digests()],
        "saes": digests(saes),
    }
    with continued(checkpoints, digest(made_from)) as checkpoint:
        result = downstream_sums(model, source, n_doc, replacements, constants, checkpoint)
        per_document.write(out, columns(result, saes))
