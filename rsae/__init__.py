"""Rational sparse autoencoders: fit a gate, upgrade a teacher, judge both honestly.

Importing the package loads neither torch nor sae_lens; import the modules you need.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``rsae.upgrade`` is there at once, and loads torch when it is called."""
    if name == "upgrade":
        import importlib

        return importlib.import_module("rsae.upgrade")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
