"""Is this machine fit for the work? Each finding says what was looked at, what was found, and what to do."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from rsae.runtime.fingerprint import LOCK

State = Literal["ok", "note", "bad"]
PYTHON = (3, 11)  # the lock file's
NEEDED = 6e9  # bytes of disk: installation aside, the embedded suite with its activations and logs
MEMORY = 4e9  # bytes: the largest stage of the embedded suite, twice
SHOWN = ("torch", "transformers", "transformer_lens", "sae_lens", "snakemake", "numpy")


class Finding(NamedTuple):
    """``note`` is worth knowing, ``bad`` stops something."""

    what: str
    state: State
    said: str


def examine(results: Path = Path("results"), network: bool = True) -> Iterator[Finding]:
    """All findings, one after the other; only the last asks the network, and for a few seconds at most."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _packages,
        _device,
        _gate,
        _products,
        lambda: _disk(results),
        _memory,
        _assets,
        _cache,
        lambda: _hub(network),
    ]
    for check in checks:
        yield check()


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info[:2] == PYTHON:
        return Finding("Python", "ok", found)
    return Finding(
        "Python", "note", f"{found}; the lock file is for {PYTHON[0]}.{PYTHON[1]}, which `./in-venv` looks for"
    )


def _packages() -> Finding:
    pinned = (
        dict(re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK.read_text(encoding="utf-8"), re.M)) if LOCK.is_file() else {}
    )
    wrong = [
        f"{name} {found}, pinned {wanted}" for name, wanted in pinned.items() if (found := _version(name)) != wanted
    ]
    shown = ", ".join(f"{name} {_version(name)}" for name in SHOWN)
    if not pinned:
        return Finding("packages", "note", f"{shown}; no requirements.lock to compare with")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        remedy = "run everything through `./in-venv`, which installs the lock file"
        return Finding("packages", "note", f"{'; '.join(wrong[:3])}{more}: numbers may move; {remedy}")
    return Finding("packages", "ok", f"{shown}; all {len(pinned)} as in requirements.lock")


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]  # of what, such as 2.13.0+cpu
    except PackageNotFoundError:
        return "missing"


def _device() -> Finding:
    import torch

    cores = len(os.sched_getaffinity(0))
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("device", "ok", f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free; {cores} cores")
    return Finding(
        "device", "ok", f"CPU, {cores} cores ({torch.backends.cpu.get_cpu_capability()}); no GPU that torch sees"
    )


def _gate() -> Finding:
    from rsae.runtime.device import device
    from rsae.sae.gates import kernels
    from rsae.sae.gates.kernels import cpp

    path = kernels.backend(device().type)
    if path == "compiled":
        return Finding("rational gate", "ok", f"compiled, by {cpp.compiler()}")
    if path == "fused":
        return Finding("rational gate", "ok", "fused, by Triton")
    if os.environ.get("RSAE_GATE"):
        return Finding("rational gate", "note", f"{path}, because RSAE_GATE says so")
    missing = "Triton" if device().type == "cuda" else "g++"
    return Finding("rational gate", "note", f"{path}, the slower path: install {missing}")


def _products() -> Finding:
    from rsae.runtime import matmul
    from rsae.runtime.device import device

    where = device().type
    if where != "cpu":
        return Finding("products", "ok", "by CUDA's library")
    if matmul.backend() == "onednn":
        return Finding("products", "ok", "by oneDNN")
    return Finding("products", "note", "by the library that torch chooses: oneDNN is asked where there is AVX-512")


def _disk(results: Path) -> Finding:
    place = next(p for p in (results.resolve(), *results.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding("disk", "bad", f"{place} is not writable; choose another folder with --results")
    said = f"{free / 1e9:.0f} GB free at {place}"
    return (
        Finding("disk", "ok", said) if free >= NEEDED else Finding("disk", "bad", f"{said}; the embedded suite takes 6")
    )


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = f"{total / 1e9:.0f} GB"
    return Finding("memory", "ok", said) if total >= MEMORY else Finding("memory", "note", f"{said}; take --cores 1")


def _assets() -> Finding:
    folder = Path("assets/embedded")
    missing = [
        f for f in ("host/model.safetensors", "teachers/topk/sae_weights.safetensors") if not (folder / f).is_file()
    ]
    if missing:
        return Finding(
            "embedded host", "note", f"no {folder / missing[0]} here; suites are run from a clone's own folder"
        )
    return Finding("embedded host", "ok", f"host and teachers in {folder}")


def _cache() -> Finding:
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE)
    above = next(p for p in (place, *place.parents) if p.exists())
    free = shutil.disk_usage(above).free
    if not os.access(above, os.W_OK):
        return Finding("hub cache", "note", f"{place} is read-only: what it holds is used, nothing can be fetched")
    return Finding("hub cache", "ok", f"{place}, {free / 1e9:.0f} GB free")


def _hub(network: bool) -> Finding:
    from huggingface_hub import constants, get_token

    token = "a token is set" if get_token() else "no token: gated repositories and `rsae push` need HF_TOKEN"
    if constants.HF_HUB_OFFLINE or not network:
        return Finding("hub", "note", f"not asked; {token}")
    import httpx

    try:
        status = httpx.head(constants.ENDPOINT, timeout=5, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        reason = type(error).__name__
        return Finding(
            "hub", "note", f"not reachable ({reason}): suites on local files run, `fetch_paper` does not; {token}"
        )
    return Finding("hub", "ok", f"answers ({status}); {token}")
