"""The run itself: control and upgraded SAE get the same budget, tuning documents choose."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rsae.api import output, verdict
from rsae.api.arguments import GATES, check
from rsae.api.candidates import best, estimate, prices, trials_of, tuned, untuned, why
from rsae.api.inputs import BLOCK, CENTRING, CHUNK, KINDS, Given, activations_of, centring, held_out, split, teacher_of
from rsae.arms import arms
from rsae.config.types import Kind, Precision
from rsae.evaluate import teacher_check
from rsae.report.stats.cells import Pair
from rsae.runtime.caller import called_from
from rsae.runtime.device import named
from rsae.runtime.files import replacing, write_json
from rsae.sae.loading.sites import check_site
from rsae.sae.model import SAE, digest_of
from rsae.training.start.price import own_coefficient

CENTRED = {"center_writing_weights": True}  # as sae_lens says it of a model
MEASURED = 10_000  # activations by which it is told whether an SAE was trained on a centred stream
LRS = (1e-4, 3e-4, 1e-3)


class Upgraded(NamedTuple):
    """What :func:`upgrade` found; ``print`` it."""

    sae: SAE  # the upgraded one, its support settled
    arms: dict[str, SAE]
    helped: bool  # on hard codes: mse below the teacher's and teacher_ft's, delta CE and l0 not above
    verdict: str
    choice: str  # whom tuning documents chose, and why
    table: str
    pair: Pair  # per-document sums of all arms
    facts: dict[str, Any]  # for the card
    metadata: dict[str, Any]  # of the given SAE

    def __str__(self) -> str:
        """Table, choice and verdict."""
        return f"{self.table}\n\n{self.choice}\n\n{self.verdict}"

    def save(self, folder: Path | str) -> None:
        """Write ``sae/``, ``cells.csv``, ``run-card.json`` and the model card ``README.md`` into ``folder``.

        ``rsae push folder/sae`` finds the numbers there. The folder appears whole or not at all; one that this wrote
        before of the same teacher is replaced.

        Raises:
            ValueError: the folder holds something else.
        """
        from rsae.api import model_card  # loads huggingface_hub

        output.check(Path(folder), None, self.facts["teacher_sha256"], "the folder")
        with replacing(folder) as whole:
            whole.mkdir()
            self.sae.save(whole / "sae", {**self.metadata, "arm": self.facts["arm"]})
            verdict.written(self.pair).to_csv(whole / "cells.csv", index=False, float_format="%.9g")
            card = {"command": output.COMMAND, **self.facts, "choice": self.choice, "verdict": self.verdict}
            write_json(whole / "run-card.json", card)
            numbers = model_card.measured(whole / "sae")
            model_card.model_card(whole / "sae", None, "sae", numbers).save(whole / "README.md")

    def to_sae_lens(self) -> Any:
        """sae_lens's object, which gives hard codes."""
        from rsae.saelens import convert

        return convert(self.sae, {**self.metadata, "arm": self.facts["arm"]})


@called_from("python")
def upgrade(
    sae: Any,
    data: Any,
    gate: str = "resolvent",
    *,
    kind: Kind | None = None,
    stated: Mapping[str, Any] | None = None,
    documents: Any = None,
    attention_mask: Any = None,
    host: Path | str | None = None,
    hook: str | None = None,
    center_writing_weights: bool | None = None,
    steps: int = 300,
    batch: int = 512,
    lrs: Sequence[float] = LRS,
    l1_coefficient: float | None = None,
    seed: int = 0,
    precision: Precision = "tf32",
) -> Upgraded:
    """Give ``sae`` another gate, fine-tune it and, as a control, the SAE itself; judge all on held-out documents.

    ``sae``: an SAE of sae_lens or of this project, or the folder of one. ``data``: activations
    [n_tok, d_in] at its site, or token ids [n_row, len] (or :class:`rsae.data.text.tokens.TokenRows`) together with
    ``host`` (a folder with a Hugging Face model, or its name on the hub) and ``hook``: then delta CE is measured
    too; ``center_writing_weights`` takes each token's mean away, as for an SAE that was trained through such a model
    (left out: what the SAE says of itself). Where every row begins with the same id, it is BOS and left out.
    ``kind`` (of a lone checkpoint) and ``stated`` (``k``, ``input_scale``, ...) are what files do not say: see
    :func:`rsae.sae.loading.load_any`.
    ``documents`` [n_tok] says which document each activation comes from; rows of ids are documents.
    Without it, stretches of 128 tokens stand for documents, and the last fifth is the test.
    ``attention_mask`` [n_row, len] says which ids are text, as tokenizers do that pad; without it, runs of the host's
    padding, end or begin marks at an end of a row are left out, and said.

    ``gate``: ``resolvent`` keeps the teacher's gate and refines its codes on their support (ours); ``pruned`` proposes
    1.5 times as many features and keeps those that the resolvent finds strong (ours); ``rational`` is the paper's.
    Control and upgraded SAE get three fine-tunes each of ``steps`` batches: over ``lrs``, for the rational gate over λ
    at the middle rate. Tuning documents choose among them, and between them and the untrained upgrade, which may be
    the better one; test documents only judge.
    ``l1_coefficient`` is λ of the teacher's own objective; left out, it is read off the teacher.
    ``steps=0`` trains nothing, and then there is no control. Fine-tunes run on a GPU where there is one,
    with products in ``precision`` there (see :mod:`rsae.runtime.precision`); judging is in fp32 everywhere.

    Raises:
        ValueError: an argument that cannot be; an SAE that is not supported, was trained at another site, or explains
            nothing of ``data``; activations that are not finite, or stand in the test and in the fine-tune; too few
            documents or activations; another width. Each names the remedy, before anything is trained.
    """
    check(
        gate=gate, kind=kind, steps=steps, batch=batch, lrs=lrs, l1_coefficient=l1_coefficient, seed=seed,
        precision=precision, stated=stated,
    )  # fmt: skip
    teacher, metadata = teacher_of(sae, kind, stated)
    if hook is not None:
        check_site(metadata.get("hook_name"), hook, "the given SAE")
        metadata |= {"hook_name": hook}
    as_trained = centring(metadata, center_writing_weights)
    if as_trained:
        metadata["model_from_pretrained_kwargs"] = metadata.get("model_from_pretrained_kwargs", {}) | CENTRED
    given = activations_of(data, documents, host, metadata.get("hook_name"), as_trained, attention_mask)
    if not as_trained and (both := _centred(teacher, given, metadata, center_writing_weights)):
        print(f"site: explained variance {both[0]:.4g} as it is, {both[1]:.4g} without each token's mean; read without")
        as_trained = True
        metadata["model_from_pretrained_kwargs"] = metadata.get("model_from_pretrained_kwargs", {}) | CENTRED
        given = activations_of(given.rows, documents, host, metadata.get("hook_name"), True)
    if given.x.shape[1] != teacher.d_in:
        raise ValueError(
            f"the SAE expects d_in={teacher.d_in}, the activations have {given.x.shape[1]}; wrong hook or host?"
        )
    splits = split(given.x, given.document, seed)
    held_out(splits)
    calibration = splits["calibration"]
    l0, explained = teacher_check.reconstruction(
        teacher_check.codes_and_output(teacher), calibration.chunks, calibration.x.double().mean(0)
    )
    print(f"teacher: l0 {l0:.4g}, explained variance {explained:.4g} on {len(calibration.x)} activations")
    if not explained > 0:
        raise ValueError(
            f"this SAE explains nothing of these activations (explained variance {explained:.3g}): check hook, host,"
            " BOS and normalisation before upgrading it"
        )
    kind = KINDS[teacher.gate.architecture]
    arm, trials = arms(kind)[GATES[gate]], trials_of(teacher, splits, seed)
    assert arm.start is not None
    start, facts = untuned(arms(kind)[arm.start], teacher, splits, trials)
    candidates = [start]
    contestants = {"teacher": teacher}
    card: dict[str, Any] = {
        "gate": gate,
        "kind": kind,
        "steps": steps,
        "batch": batch,
        "seed": seed,
        "untuned": facts,
        "documents": f"stretches of {BLOCK} tokens" if given.document is None else "given",
        "n_tok": {name: len(s.x) for name, s in splits.items()},
        "center_writing_weights": as_trained,
        "teacher_sha256": digest_of(teacher.tensors()),
        "device": named(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if steps:
        price = own_coefficient(teacher, calibration.chunks) if l1_coefficient is None else l1_coefficient
        same = {
            "steps": steps,
            "batch": batch,
            "slow_lr": 1e-3,
            "decay_share": 0.2,
            "objective": "own",
            "precision": precision,
        }
        by_rate = [{**same, "lr": lr, "l1_coefficient": price} for lr in lrs]
        grids = {"teacher_ft": by_rate, arm.name: by_rate}
        if arm.objective == "error":  # the encoder's weights do not move: no price of theirs has a say
            grids[arm.name] = [setting | {"objective": arm.objective} for setting in by_rate]
        if gate == "rational":
            middle = sorted(lrs)[len(lrs) // 2]
            grids[arm.name] = [{**same, "lr": middle, "l1_coefficient": p} for p in prices(teacher, price, splits)]
        print(estimate({"teacher_ft": teacher, arm.name: start.sae}, grids, splits["finetune"].x))
        controls = tuned(arms(kind)["teacher_ft"], teacher, trials, grids["teacher_ft"])
        contestants["teacher_ft"] = best(controls, trials).sae
        candidates += tuned(arm, start.sae, trials, grids[arm.name])
        card["teacher_ft"] = {"chosen": best(controls, trials).facts, "tried": [c.facts for c in controls]}
        card["l1_coefficient"] = {"value": price, "from": "the teacher" if l1_coefficient is None else "given"}
    chosen = best(candidates, trials)
    card |= {"arm": chosen.arm, "tried": [{"arm": c.arm, **c.facts} for c in candidates]}
    contestants[arm.start] = start.sae
    if steps:  # shown also where it is not what comes out
        contestants[arm.name] = best(candidates[1:], trials).sae
    pair = Pair("given", "given", verdict.judged(contestants, splits["test"], given), seed)
    helped, words = verdict.verdict(pair, chosen.arm)
    table = verdict.table(pair, list(contestants))
    return Upgraded(chosen.sae, contestants, helped, words, why(candidates, trials), table, pair, card, metadata)


def _centred(
    teacher: SAE, given: Given, metadata: Mapping[str, Any], stated: bool | None
) -> tuple[float, float] | None:
    """See :func:`rsae.evaluate.teacher_check.fits_centred`; None where somebody says, or the host cannot be centred."""
    said = stated is not None or CENTRING in (metadata.get("model_from_pretrained_kwargs") or {})
    if said or given.host is None or given.host.readers != {"LayerNorm"} or given.x.shape[1] != teacher.d_in:
        return None
    return teacher_check.fits_centred(teacher, given.x[:MEASURED].split(CHUNK))
