"""The model card of an SAE: how to load it, what was measured on which codes, beside which controls."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from tabulate import tabulate

from rsae.report.stats.cells import COLUMNS
from rsae.runtime.files import SEAL, reading, sha256
from rsae.runtime.seals import DIGESTS, untouched
from rsae.sae.model import NATIVE

FILES = ("cfg.json", "sae_weights.safetensors")
CONTROLS = ("teacher", "teacher_ft")
SHOWN = ("mse_sum", "fvu", "l0", "alive", "delta_ce", "loss_recovered_zero")  # in the order of the table
SUPPORT = """\
`hard` codes are exactly 0 outside the declared support, |z_j| · ‖W_dec,j‖ > {eps:.6g}, and every number of
their row uses those very codes; `raw` codes are the gate's own output. Brackets: 95% interval, bootstrap
over test documents. A difference counts only at an l0 that is not above the teacher's."""


class Measured(NamedTuple):
    """Rows of a ``cells.csv`` (:mod:`rsae.report.stats.cells`) that belong to one pair; the SAE's own name in it."""

    rows: list[dict[str, str]]
    arm: str
    seed: int
    verdict: str = ""  # in words, where `rsae upgrade` left one

    def of(self, arm: str, support: str) -> dict[str, dict[str, str]]:
        """Rows by metric, of the SAE itself or of the first seed of another arm."""
        seed = self.seed if arm == self.arm else 0
        chosen = [r for r in self.rows if (r["arm"], r["support"], int(r["seed"])) == (arm, support, seed)]
        return {r["metric"]: r for r in chosen}


def read(folder: Path) -> dict[str, Any]:
    """``cfg.json`` of an SAE's folder.

    Raises:
        ValueError: it is not the folder of an SAE that this project saved.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        inside = f"; give {folder / 'sae'}" if (folder / "sae" / FILES[0]).is_file() else ""
        remedy = inside or "; give the folder of an SAE, such as results/.../seed-0/sae"
        raise ValueError(f"{folder} holds no {missing[0]}{remedy}")
    with reading(folder / "cfg.json", "give a folder that this project wrote"):
        cfg = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    if not isinstance(cfg, dict) or not isinstance(cfg.get("metadata"), dict) or SEAL not in cfg:
        raise ValueError(
            f"{folder} was written by another program, or by an older version of this one: a card of it would say"
            " nothing; push what `rsae upgrade` or a suite wrote"
        )
    return cfg


def measured(folder: Path, cells: Path | None = None) -> Measured | None:
    """Numbers of the SAE in ``folder``: of ``cells``, else of the suite whose results hold it, else of its parent.

    None where nothing was measured, and then the card says so.

    Raises:
        ValueError: ``cells`` holds no row of this SAE.
    """
    folder = folder.resolve()
    names = folder.parts[-6:]  # suite, host, teacher, arm, seed-n, sae
    inside = len(names) == 6 and names[4].startswith("seed-") and names[5] == "sae"
    if cells is None:
        places = [folder.parents[4] / "tables" / "cells.csv"] if inside else []
        cells = next((p for p in [*places, folder.parent / "cells.csv"] if p.is_file()), None)
        if cells is None:
            return None
    if (cells.parent / DIGESTS).is_file():  # those of `rsae upgrade` have none
        untouched(cells)
    with open(cells, encoding="utf-8") as file:
        table = csv.DictReader(file)
        rows = list(table)
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
        raise ValueError(
            f"{cells} has no column {missing[0]}, which this version writes; run `rsae upgrade` or the suite's tables"
            " again, or name another with --cells"
        )
    if inside:
        arm, seed = names[3], int(names[4].removeprefix("seed-"))
        rows = [r for r in rows if (r["host"], r["teacher"]) == names[1:3]]
    else:
        arm, seed = str(read(folder)["metadata"].get("arm")), 0
    if not any((r["arm"], r["seed"], r["metric"]) == (arm, str(seed), "mse_sum") for r in rows):
        raise ValueError(f"{cells} has no number of {arm}, seed {seed}; was the suite run to its tables?")
    if len({(r["host"], r["teacher"]) for r in rows}) > 1:
        raise ValueError(f"{cells} has several hosts or teachers; push the SAE from its place in results/")
    return Measured(rows, arm, seed, _verdict(cells.parent / "run-card.json"))


def _verdict(run_card: Path) -> str:
    if not run_card.is_file():
        return ""
    with reading(run_card, "make it again by `rsae upgrade`"):
        return str(json.loads(run_card.read_text(encoding="utf-8")).get("verdict", ""))


def model_card(folder: Path, repo: str | None, place: str, numbers: Measured | None) -> ModelCard:
    """The card of the SAE in ``folder``, to lie above the SAE's ``place``: in ``repo``, or on this machine."""
    cfg = read(folder)
    name = place if repo is None else repo.split("/")[-1]
    data = ModelCardData(
        library_name="saelens",
        tags=["sparse-autoencoder", "saelens", "rsae"],
        base_model=cfg["metadata"].get("model_name"),
        model_name=name,
        eval_results=None if numbers is None else list(_results(cfg, numbers)),
    )
    parts = [
        f"# {name}",
        _what(cfg),
        _how_to_load(cfg, repo, place),
        "## What was measured",
        _table(cfg, numbers),
        "## Files",
        "\n".join(f"- `{place}/{name}`: sha256 `{sha256(folder / name)}`" for name in FILES),
        "## Configuration",
        f"```json\n{json.dumps(cfg, indent=1)}\n```",
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")


def _what(cfg: Mapping[str, Any]) -> str:
    gate, about = cfg.get("gate") or cfg, cfg["metadata"]
    name = "rational" if gate["architecture"] == "rsae" else gate["architecture"]
    text = f"A sparse autoencoder, {cfg['d_in']} to {cfg['d_sae']} features, {name} gate"
    if refinement := cfg.get("refinement"):
        text += f", whose codes are refined on their support ({refinement['name']})"
    if about.get("hook_name"):
        text += f", for `{about['hook_name']}`"
    return f"{text}. Arm `{about.get('arm', 'not stated')}` of the benchmark `rsae`."


def _how_to_load(cfg: Mapping[str, Any], repo: str | None, place: str) -> str:
    load = f'load_from_disk("{place}")' if repo is None else f'from_pretrained("{repo}", "{place}")'
    where = "the package `rsae`" if repo is None else "this repository"
    native = cfg["architecture"] in NATIVE
    first = "" if native else "import rsae.saelens  # teaches sae_lens this architecture\n"
    return (
        "```python\n"
        f"{first}from sae_lens import SAE\n\n"
        f"sae = SAE.{load}\n"
        "```\n\n"
        f"Without sae_lens and without `rsae`: `standalone.py` in {where} needs torch and safetensors alone."
    )


def _table(cfg: Mapping[str, Any], numbers: Measured | None) -> str:
    if numbers is None:
        return "Nothing: this SAE was uploaded without numbers."
    table, n_tok = [], ""
    for arm in dict.fromkeys([*CONTROLS, numbers.arm]):
        for support in ("raw", "hard"):
            if row := numbers.of(arm, support):
                n_tok = row["mse_sum"]["n_tok"]
                name = f"**{arm}**" if arm == numbers.arm else arm
                table.append([name, support, *(_number(row.get(m)) for m in SHOWN)])
    missing = [arm for arm in CONTROLS if arm not in {r["arm"] for r in numbers.rows}]
    controls = f"\n\nNot run: {', '.join(missing)}, so nothing is claimed against it." if missing else ""
    rule = SUPPORT.format(eps=cfg.get("support_eps", 0.0))
    verdict = f"\n\n{numbers.verdict}" if numbers.verdict else ""
    return (
        tabulate(table, ["arm", "codes", *SHOWN], tablefmt="github", disable_numparse=True)
        + f"\n\n{n_tok} activations of held-out documents. {rule}{controls}{verdict}"
    )


def _number(row: Mapping[str, str] | None) -> str:
    if row is None:
        return "not run"
    return "{:.4g} [{:.4g}, {:.4g}]".format(*(float(row[k]) for k in ("value", "ci_low", "ci_high")))


def _results(cfg: Mapping[str, Any], numbers: Measured) -> Sequence[EvalResult]:
    """The SAE's own numbers and its controls', for machines; what makes a number comparable stands beside it."""
    return [
        EvalResult(
            task_type="sparse-autoencoding",
            dataset_type=row["suite"],
            dataset_name=f"held-out documents of {row['suite']}/{row['host']}",
            dataset_split="test",
            metric_type=row["metric"],
            metric_name=f"{row['metric']}, {support} codes, {arm}",
            metric_value=float(row["value"]),
            metric_args={
                "arm": arm,
                "codes": support,
                "support_eps": cfg.get("support_eps", 0.0) if arm == numbers.arm else "its own",
                "ci_low": float(row["ci_low"]),
                "ci_high": float(row["ci_high"]),
                "n_tok": int(row["n_tok"]),
                "unit": row["unit"],
                "version": int(row["metric_version"]),
            },
        )
        for arm in dict.fromkeys([numbers.arm, *CONTROLS])
        for support in ("hard", "raw")
        for row in numbers.of(arm, support).values()
    ]
