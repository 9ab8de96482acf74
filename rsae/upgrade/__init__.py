"""Copy a teacher, calibrate its new gate, fine-tune; and the control arms beside it.

The package is also what people call: ``rsae.upgrade(sae, activations)`` is :func:`rsae.api.upgrade`.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # by name: what stands above this package is no part of what its results depend on
        return importlib.import_module("rsae.api").upgrade(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
