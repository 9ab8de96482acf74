"""What of :mod:`rsae.sae.codes.plain` is slow in torch, compiled for this machine's processor: fp32 on a CPU."""

import ctypes
import functools

import torch
from torch import Tensor

from rsae.sae.codes import Places
from rsae.sae.codes.cpp_source import CODE
from rsae.sae.gates.kernels import cpp

BLOCK = 64  # numbers that are counted together; a byte holds how many are active


def dots(places: Places, by_token: Tensor, by_feature: Tensor) -> Tensor:
    """See :func:`rsae.sae.codes.plain.dots`."""
    out = torch.empty(len(places.feature))
    _call("dots", [places.offsets, places.feature, by_token, by_feature], [*by_token.shape, _threads()], [out])
    return out


def above(h: Tensor, floor: Tensor) -> Places:
    """See :func:`rsae.sae.codes.plain.above`."""
    n_tok, d_sae = h.shape
    sizes = torch.empty(n_tok, dtype=torch.long)
    hits = torch.empty(n_tok, -(-d_sae // BLOCK), dtype=torch.uint8)
    _call("count_above", [h, floor], [*h.shape, _threads()], [sizes, hits])
    places = Places.counted(sizes, torch.empty(int(sizes.sum()), dtype=torch.long), d_sae)
    _call("fill_above", [h, floor], [*h.shape, _threads()], [places.offsets, hits, places.feature])
    return places


def largest(h: Tensor, k: int) -> Places:
    """See :func:`rsae.sae.codes.plain.largest`."""
    sizes, feature = torch.empty(len(h), dtype=torch.long), torch.empty(len(h), k, dtype=torch.long)
    _call("largest", [h], [k, *h.shape, _threads()], [sizes, feature])
    inside = torch.arange(k) < sizes[:, None]
    return Places.counted(sizes, feature.flatten() if bool(inside.all()) else feature[inside], h.shape[1])


def _call(kernel: str, read: list[Tensor], sizes: list[int], written: list[Tensor]) -> None:
    """Hand the addresses of contiguous tensors to a kernel of :mod:`rsae.sae.codes.cpp_source`."""
    read = [tensor.contiguous() for tensor in read]  # held until the kernel returns
    getattr(_library(), kernel)(
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in read),
        *map(ctypes.c_long, sizes),
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in written),
    )


def _threads() -> int:
    return torch.get_num_threads()


@functools.cache
def _library() -> ctypes.CDLL:
    return cpp.built("active codes", CODE, BLOCK=BLOCK)
