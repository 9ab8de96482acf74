"""Functions that torch's compiler calls and does not look into: foreign code behind them reads addresses of tensors."""

import functools
from collections.abc import Callable
from typing import Any

import torch


def opaque(like: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a function of tensors and numbers, which stays as it is wherever nothing is being compiled.

    ``like`` takes the same arguments and returns empty tensors like the function's. Its results must share memory
    neither with its arguments nor with one another.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        operation = torch.library.custom_op(f"rsae::{function.__name__}", function, mutates_args=())
        operation.register_fake(like)

        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return operation(*args) if torch.compiler.is_compiling() else function(*args)

        return call

    return decorate
