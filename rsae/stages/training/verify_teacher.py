"""The teacher gate: is this the SAE that was published, and the one that sae_lens loads?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rsae.config.layouts import Layout
from rsae.config.types import Kind
from rsae.data.activations.batches import chunks
from rsae.data.activations.host import Host
from rsae.data.activations.shards import Shards
from rsae.data.hub.receipts import teacher_files
from rsae.data.text import tokens
from rsae.evaluate import teacher_check
from rsae.evaluate.downstream import Replacement, downstream_sums
from rsae.evaluate.reconstruction import site_mean
from rsae.runtime.device import device, set_up_torch
from rsae.runtime.files import sealed, write_json
from rsae.sae.loading.sae_lens_peer import load_peer
from rsae.stages.training.import_teacher import settled

FEW = 5  # chunks by which it is told whether a teacher was trained on a centred stream
ROWS = 64  # of the host's context, for the cross-entropies


def run(
    teacher: Path,
    host: Path,
    token_file: Path,
    calibration: Path,
    out: Path,
    *,
    hook: str,
    center_writing_weights: bool,
    kind: Kind,
    bandwidth: float,
    layout: Layout | None,
    stated: Mapping[str, Any],
    published: Mapping[str, Mapping[str, float]],
) -> None:
    """Measure a teacher, hold it against sae_lens's run of the same files and what their owner published.

    Raises:
        ValueError: it is not the function that sae_lens computes from the same files, or misses a
            published figure; the message names the likely cause.
    """
    set_up_torch()
    shards, files = Shards(calibration), teacher_files(teacher, layout)
    ours = settled(teacher, calibration, hook=hook, kind=kind, bandwidth=bandwidth, layout=layout, stated=stated).to(
        device()
    )
    what, scale = f"teacher {files.path}", stated.get("input_scale", 1.0)
    peer = load_peer(files.path, files.layout, what, repo=files.repo, folder=files.folder, input_scale=scale)
    runs = [teacher_check.codes_and_output(ours)]
    runs += [] if peer is None else [teacher_check.peers_codes_and_output(peer.to(device()))]
    data, mean = list(chunks(shards)), site_mean(shards.blocks())
    source = tokens.read(token_file)
    source = source._replace(rows=source.rows[:ROWS])
    n_doc = 1 + max(r.document for r in source.rows)
    splices = [Replacement([i], lambda x, r=r: [r(x)[1]]) for i, r in enumerate(runs)]
    model = Host(host, hook, center_writing_weights)
    readable = not center_writing_weights and model.readers == {"LayerNorm"}
    if readable and (both := teacher_check.fits_centred(ours, data[:FEW])):
        raise ValueError(
            f"{what} explains {both[0]:.4g} of the variance as it is, {both[1]:.4g} without each token's mean: it was"
            " trained on centred writing weights; set `center_writing_weights: true` of its host or site"
        )
    losses = downstream_sums(model, source, n_doc, splices)
    n_pred, clean = losses.n_pred.sum(), losses.ce_clean.sum()
    found = [
        teacher_check.Figures(
            *teacher_check.reconstruction(r, data, mean), float((losses.spliced[i].ce.sum() - clean) / n_pred)
        )
        for i, r in enumerate(runs)
    ]
    for name, figures in zip(("settled here", "through sae_lens"), found, strict=False):
        print(f"{what}, {name}, on {shards.n_tok} tokens: {figures}")
    if not np.isfinite(found).all():
        raise ValueError(f"{what} overflows on the calibration activations, {found[0]}; check `hook` and `input_scale`")
    if len(found) == 2 and (odd := teacher_check.disagreements(*found)):
        raise ValueError(f"{what} is not the function that sae_lens computes from the same files: {'; '.join(odd)}")
    if bad := teacher_check.misses(found[0], published):
        cause = teacher_check.likely_cause(ours, data, mean, published)
        raise ValueError(f"{what} misses its published figures and is not upgraded: {'; '.join(bad)}. {cause}")
    if not published:
        print(f"{what}: no figure of it is published: a wrong convention that sae_lens shares would not be seen")
    measured = {
        "n_tok": shards.n_tok,
        **found[0]._asdict(),
        "agrees_with_sae_lens": len(found) == 2,
        "held_against": sorted(published),
    }
    write_json(out, sealed(measured))
