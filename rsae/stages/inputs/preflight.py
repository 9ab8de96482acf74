"""Before anything starts: what a suite will take per pair, what is missing, what will not fit."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from rsae.data.hub import client
from rsae.runtime.device import device, named
from rsae.runtime.files import write_json
from rsae.runtime.resources import BYTES, GIB, Shape
from rsae.stages.inputs.fetch import wanted

HOST = ("config.json", "model*.safetensors", "tokenizer.json")  # to name what is missing, before names are known


def run(
    out: Path,
    *,
    suite: str,
    hosts: Mapping[str, Mapping[str, Any]],
    pairs: Mapping[str, Mapping[str, Any]],
    steps: int,
    batch: int,
    pool_gib: int,
) -> None:
    """Print the table of all pairs; write which of them are not run, and why.

    Raises:
        ValueError: no pair can be run; what is missing and its size is printed, the message says what to do.
    """
    access: dict[str, str | None] = {}  # by repository: None, or why it cannot be had
    missing: dict[str, int] = {}  # bytes, by repository
    not_run: dict[str, str] = {}
    rows, disk = [], 0
    free, memory, accelerator, rate = _free(out), _memory(), _accelerator(), _rate()
    seen: set[str] = set()
    for name, pair in pairs.items():
        host = hosts[pair["host"]]
        shape = _shape(host, pair, steps, batch, pool_gib)
        about = {
            "host": 0 if shape is None else 2 * shape.parameters,
            "teacher": 0 if shape is None else 4 * shape.weights,
        }
        for what, source in (("host", host["source"]), ("teacher", pair["source"]), ("text", host["text"])):
            if source is not None:
                problem = _look(source, what, about.get(what, 0), access, missing)
                if problem is not None:
                    not_run.setdefault(name, problem)
        if shape is None:
            rows.append([name, *["unknown"] * 8])
            continue
        # a harvest writes all sites that read the same rows, also where the pair that reads one is not run
        site = 0 if pair["sites"][0] in seen else shape.activations
        if name not in not_run and memory < shape.memory:
            not_run[name] = (
                f"needs {_gb(shape.memory)} of memory, this machine has {_gb(memory)};"
                " lower `pool_gib`, `batch` or d_sae"
            )
        if name not in not_run and accelerator is not None and accelerator < shape.device:
            not_run[name] = (
                f"needs {_gb(shape.device)} of GPU memory, {named()} has {_gb(accelerator)}; or RSAE_DEVICE=cpu"
            )
        if name not in not_run:
            disk += site + shape.saes
            seen.add(pair["sites"][0])
            if disk > free:
                not_run[name] = (
                    f"needs {_gb(disk)} of disk with those before it, {_gb(free)} are free; clean_activations"
                )
        passes = steps * batch / shape.tokens["finetune"]
        rows.append(
            [name, f"{sum(shape.tokens.values()):,}", f"{steps * batch:,}", f"{passes:.1f}", _gb(site), _gb(shape.saes),
             _gb(shape.device), _gb(shape.memory), f"{shape.seconds(rate) / 3600:.2g} h", _gb(shape.without_reuse)]
        )  # fmt: skip
    headers = ["pair", "distinct tokens", "trained tokens", "passes", "activations", "SAEs", "GPU memory", "memory",
               "at least", "activations without reuse"]  # fmt: skip
    print(tabulate(rows, headers, tablefmt="github"))
    print(
        f"\nto download: {_gb(sum(missing.values()))}; free disk {_gb(free)}; memory {_gb(memory)}; times are matrix"
        f" products alone at {rate / 1e9:.0f} GFLOP/s, as {named()} does them with one thread, one job at a time"
    )
    for name, reason in not_run.items():
        print(f"not run: {name}: {reason}")
    if len(not_run) == len(pairs):
        reasons = dict.fromkeys([*filter(None, access.values()), *not_run.values()])
        print("missing:", *reasons, sep="\n")  # a list, of any length; the mistake itself is one sentence
        raise ValueError(
            f"no pair of {suite} can be run, for {len(reasons)} things are missing, listed with their sizes above; with"
            f" a network, `snakemake fetch_{suite}` fetches all"
        )
    write_json(out, {"not_run": not_run})


def _look(
    source: Mapping[str, Any], what: str, about: int, access: dict[str, str | None], missing: dict[str, int]
) -> str | None:
    """Why a source cannot be had, or None; what still has to be downloaded is added to ``missing``."""
    repo, revision = source["repo"], source["revision"]
    kind: client.Kind = "dataset" if what == "text" else "model"
    key = f"{repo}/{source.get('folder', '')}"
    if key in access:
        return access[key]
    access[key] = None
    names = list(source.get("pinned") or _names(source, what, client.cached_names(repo, revision, kind)))
    lacking = client.missing(repo, revision, names, kind) if names else list(HOST)
    if what == "text" and (client.cached_names(repo, revision, kind) if client.offline() else False):
        return None
    if not lacking and what != "text":
        return None
    pinned = source.get("pinned") or {}
    try:
        listing = client.ask(repo, revision, kind)
        if what == "text":
            return None
        lacking = [n for n in _names(source, what, sorted(listing.entries)) if n in lacking or not names]
        missing[repo] = missing.get(repo, 0) + sum(
            listing.entries[n].size or 0 for n in lacking if n in listing.entries
        )
        if lacking:
            client.check_access(repo, revision, lacking[0], kind)
    except client.UnreachableError:
        weight = sum(pinned[n]["size"] for n in lacking if n in pinned) or about
        files = "" if what == "text" else f": {', '.join(lacking)} ({'about ' if not pinned else ''}{_gb(weight)})"
        access[key] = f"no network, and the cache lacks {repo}{files}"
    except ValueError as error:
        access[key] = str(error)
    return access[key]


def _names(source: Mapping[str, Any], what: str, known: list[str]) -> list[str]:
    if what == "text":
        return []
    if source["layout"] is not None:
        return wanted(known, source["repo"], source["folder"], source["layout"])
    try:
        return wanted(known, source["repo"], "", None)
    except ValueError:
        return []


def _shape(host: Mapping[str, Any], pair: Mapping[str, Any], steps: int, batch: int, pool_gib: int) -> Shape | None:
    """From the host's own config where it is at hand, else from ``size``; None where neither says enough."""
    size = _own_size(host) or host["size"]
    if size is None or pair["d_sae"] is None:
        return None
    return Shape(
        size["parameters"],
        size["vocab"],
        size["d_model"],
        pair["d_sae"],
        pair["ctx"],
        len(pair["sites"]),
        BYTES[host["dtype"]],
        host["tokens"],
        pair["n_sae"],
        pair["n_tuned"],
        steps,
        batch,
        pool_gib * GIB,
    )


def _own_size(host: Mapping[str, Any]) -> dict[str, int] | None:
    source = host["source"]
    folder = Path(host["path"]) if source is None else client.snapshot(source["repo"], source["revision"])
    if folder is None or not (folder / "config.json").is_file():
        return None
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    d_model, vocab = facts.get("hidden_size") or facts.get("n_embd"), facts.get("vocab_size")
    weights = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    if not (d_model and vocab and weights):
        return None
    two = facts.get("torch_dtype") in ("float16", "bfloat16") or facts.get("dtype") in ("float16", "bfloat16")
    return {"parameters": weights // (2 if two else 4), "vocab": vocab, "d_model": d_model}


def _free(out: Path) -> int:
    folder = next(p for p in (out.absolute().parent, *out.absolute().parents) if p.is_dir())
    return shutil.disk_usage(folder).free


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _accelerator() -> int | None:
    """Bytes of memory of the GPU, or None where none is used."""
    where = device()
    return torch.cuda.mem_get_info(where)[1] if where.type == "cuda" else None


def _rate() -> float:
    """Operations per second of a matrix product in fp32 on the device; on a CPU, on one thread."""
    torch.set_num_threads(1)
    n = 1024 if _accelerator() is None else 8192
    x = torch.randn(n, n, device=device())
    float(torch.mm(x, x)[0, 0])
    start = time.perf_counter()
    for _ in range(4):
        product = torch.mm(x, x)
    float(product[0, 0])  # waits for all of them
    return 4 * 2 * n**3 / (time.perf_counter() - start)


def _gb(n: float) -> str:
    return f"{n / 1e9:.3g} GB"
