"""Rational sparse autoencoders: fit a gate, upgrade a teacher, judge both honestly.

Importing the package loads neither torch nor sae_lens; ``rsae.upgrade`` does, when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsae.api.upgrade import Upgraded as Upgraded
    from rsae.api.upgrade import upgrade as upgrade

__version__ = "0.1.0"
__all__ = ["Upgraded", "__version__", "upgrade"]


def __getattr__(name: str) -> Any:
    if name in ("Upgraded", "upgrade"):
        # by name: what stands above a module is no part of what its results depend on (rsae.runtime.fingerprint)
        return getattr(importlib.import_module("rsae.api.upgrade"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
