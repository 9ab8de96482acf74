"""How whoever called knows a setting, so that a message can name it: a suite's key, an option, a parameter."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Caller = Literal["suite", "shell", "python"]  # a stage of a suite, `rsae upgrade`, `rsae.upgrade`
_caller: ContextVar[Caller] = ContextVar("caller", default="suite")

# what they say where it is not the setting's own name (an option begins with --); and remedies that they have
WORDS: dict[str, dict[Caller, str]] = {
    "k": {"suite": "stated.k", "python": "stated['k']"},
    "input_scale": {"suite": "stated.input_scale", "python": "stated['input_scale']"},
    "prepend_bos": {"suite": "bos", "shell": "--bos"},
    "lrs": {"shell": "lrs"},  # no option: the command has its own
    "read without BOS": {"suite": "set `bos: false`", "shell": "give --no-bos", "python": "tokenise without it"},
    "stay within the range": {
        "suite": "lower `slow_lr` of this teacher, or set `gate.tail: true`",
        "shell": "take another --gate, or fewer --steps",
        "python": "take lower `lrs`, fewer `steps`, or another `gate`",
    },
    "more documents": {
        "suite": "more text, or shorter documents",
        "shell": "more text, a larger --max-tok, or shorter documents",
        "python": "more text, or shorter documents",
    },
    "say the column": {
        "suite": "set `{key}`",
        "shell": "write config/text/NAME.yaml with its `{key}`, and give --text NAME",
        "python": "set `{key}`",
    },
    "say the text": {
        "suite": "set `path` to a file or a folder of files",
        "shell": "give --text a file or a folder of files",
        "python": "give a file or a folder of files",
    },
    "name the SAE": {
        "suite": "check `folder` and `layout`",
        "shell": "check --sae-id, --host and --text",
        "python": "check the name",
    },
}


@contextmanager
def called_from(caller: Caller) -> Iterator[None]:
    """Messages are for ``caller``; the outermost one counts, for `rsae upgrade` calls ``rsae.upgrade``."""
    token = _caller.set(caller if _caller.get() == "suite" else _caller.get())
    try:
        yield
    finally:
        _caller.reset(token)


def word(what: str) -> str:
    """A setting, or a remedy of :data:`WORDS`, as the caller knows it."""
    caller = _caller.get()
    said = WORDS.get(what, {}).get(caller)
    if said is None:
        return f"--{what.replace('_', '-')}" if caller == "shell" else what
    return said
