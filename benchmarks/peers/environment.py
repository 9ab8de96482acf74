"""Peers whose packages do not go beside ours: each in an environment of its own, kept in the user's cache."""

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

from rsae.sae.gates.kernels.cpp import cache_place

ROOT = Path(__file__).resolve().parents[2]


def place(name: str) -> Path:
    """Where the environment of a peer is, or would be."""
    return cache_place() / name


def found(folder: Path, package: str, beside: Sequence[str] = ()) -> Path | None:
    """The interpreter of a finished environment with what :func:`made` would put into it."""
    finished = folder / "finished"
    whole = finished.is_file() and finished.read_text().splitlines() == _pins(package, beside)
    return folder / "bin/python" if whole else None


def made(folder: Path, package: str, beside: Sequence[str] = ()) -> Path:
    """An interpreter with ``package``, torch and what is ``beside`` it as we pin them; made where it is missing.

    Raises:
        subprocess.CalledProcessError: pip cannot install it.
    """
    if (python := found(folder, package, beside)) is not None:
        return python
    python, pins = folder / "bin/python", _pins(package, beside)
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True)
    # its wheel is built for torch with CUDA and stops transformers where torch has none; no peer reads it
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "torchvision"], check=True)
    (folder / "finished").write_text("\n".join(pins) + "\n")
    return python


def _pins(package: str, beside: Sequence[str]) -> list[str]:
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    return [package, *(line for line in lock if line.startswith(tuple(f"{name}==" for name in ("torch", *beside))))]
