"""The rational gate compiled for this machine's processor: built once per degree, then loaded from a cache."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from rsae.sae.gates.kernels.cpp_source import CODE
from rsae.sae.gates.kernels.tiled import Gradients, Shape

ROWS = 256  # tokens in a tile: each tile has partial sums of its own
FLAGS = "-O3 -march=native -ffp-contract=fast -fno-math-errno -fopenmp -std=c++17 -shared -fPIC -x c++".split()


def compiler() -> str | None:
    """The C++ compiler, ``CXX`` or ``g++``; None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


def forward(h: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """See :func:`rsae.sae.gates.kernels.tiled.forward`."""
    x = _ready(h)
    z, l1 = torch.empty_like(x), torch.empty(len(x))
    _call("forward", [x], shape, x.shape, [z, l1])
    return z.to(h.dtype), l1


def backward(g: Tensor, price: Tensor, h: Tensor, shape: Shape) -> Gradients:
    """See :func:`rsae.sae.gates.kernels.tiled.backward`."""
    x, n_tiles = _ready(h), -(-len(h) // ROWS)
    n, d = len(shape.num) + len(shape.den), x.shape[1]
    dh, sums = torch.empty_like(x), [torch.empty(n), torch.empty(d), torch.empty(d)]
    of_tiles = [torch.empty(n_tiles, n, dtype=torch.float64), *torch.empty(2, n_tiles, d)]
    _call("backward", [_ready(g), _ready(price), x], shape, x.shape, [dh, *of_tiles, *sums])
    return Gradients(dh.to(h.dtype), *sums)


def _ready(x: Tensor) -> Tensor:
    return x.float().contiguous()


def _call(kernel: str, read: list[Tensor], shape: Shape, size: torch.Size, written: list[Tensor]) -> None:
    """Hand the addresses of contiguous fp32 tensors to a kernel of :mod:`rsae.sae.gates.kernels.cpp_source`."""
    parameters = torch.cat([shape.num, shape.den]), shape.inv_c_in, shape.c_out
    read = [*read, *map(_ready, parameters)]  # held until the kernel returns
    n, d = map(ctypes.c_long, size)
    getattr(_library(len(shape.num), len(shape.den)), kernel)(
        *(ctypes.c_void_p(x.data_ptr()) for x in read),
        *(ctypes.c_float(shape.center), ctypes.c_int(shape.tail), n, d, ctypes.c_int(torch.get_num_threads())),
        *(ctypes.c_void_p(x.data_ptr()) for x in written),
    )


@functools.cache
def _library(n_num: int, n_den: int) -> ctypes.CDLL:
    """The kernels of one degree."""
    return built("gate", CODE, P=n_num - 1, Q=n_den - 1, ROWS=ROWS)


def built(what: str, code: str, **constants: int) -> ctypes.CDLL:
    """``code``, compiled for this processor where the cache does not hold it.

    Raises:
        ValueError: the compiler fails.
    """
    command = [str(compiler()), *FLAGS, *(f"-D{name}={value}" for name, value in constants.items())]
    # what -march=native means here: a cache may be shared by machines with other processors
    target = subprocess.run([command[0], "-march=native", "-Q", "--help=target"], capture_output=True).stdout
    key = hashlib.sha256("\n".join([*command, code]).encode() + target).hexdigest()[:16]
    library = _cache() / f"{what}-{key}.so"
    if not library.is_file():
        library.parent.mkdir(parents=True, exist_ok=True)
        temporary = library.with_name(f"{library.name}.{os.getpid()}")
        done = subprocess.run(
            [*command, "-o", str(temporary), "-"], input=code, capture_output=True, text=True, encoding="utf-8"
        )
        if done.returncode:
            said = f"{command[0]} cannot compile the {what}; set RSAE_GATE=tiled to do without"
            raise ValueError(f"{said}:\n{done.stderr}")
        temporary.replace(library)  # whole or not at all, whoever else builds it
    return ctypes.CDLL(str(library))


def cache_place() -> Path:
    """Below ``RSAE_CACHE``, else in the user's cache."""
    return Path(os.environ.get("RSAE_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rsae"


def _cache() -> Path:
    """:func:`cache_place`, or a folder of this process alone where it cannot be written to."""
    folder = cache_place()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        print(f"{folder} cannot be written to ({error.strerror}); the gate is compiled anew", file=sys.stderr)
        return _own_folder()


@functools.cache
def _own_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="rsae-"))
