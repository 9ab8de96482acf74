"""A file says nothing in vain: what it says is used, is known to be harmless, or is refused by name.

And what a person states beside it completes the file and never contradicts it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rsae.runtime.caller import word


class SaidError(ValueError):
    """What a file says is not understood; nothing is wrong with its bytes."""


def account(found: Mapping[str, Any], used: Iterable[str], harmless: Collection[str], what: str, where: str) -> None:
    """See that nothing in ``found`` is left that is neither ``used`` nor ``harmless``.

    Empty values (None, False, "", {} and the like) say nothing.

    Raises:
        ValueError: something is; each is named with what it says.
    """
    empty = (None, False, "", "none", [], {}, ())
    left = {k: v for k, v in found.items() if k not in {*used} and k not in harmless and not _in(v, empty)}
    if left:
        said = ", ".join(f"{k} ({_shown(v)})" for k, v in sorted(left.items()))
        raise SaidError(
            f"{what}: {where} holds {said}, of which nobody here knows what it does to the SAE; if it changes nothing,"
            " take it out of a copy of the file"
        )


def completed(said: Mapping[str, Any], stated: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    """What is stated, having seen that the files do not say otherwise.

    Raises:
        ValueError: they do; both values are named.
    """
    for name, value in (stated or {}).items():
        if name in said and said[name] != value:
            raise ValueError(
                f"{what} says {name}: {said[name]} in its files, and {name}: {value} is stated; what is stated"
                f" completes files and cannot contradict them: leave `{word(name)}` out, or take the SAE that you mean"
            )
    return dict(stated or {})


def count(k: Any, d_sae: int, what: str) -> int:
    """How many features a TopK keeps, whatever its writer's type for it.

    Raises:
        ValueError: no whole number from 1 to d_sae.
    """
    try:
        number = float(k)
        if number == int(number) and 1 <= number <= d_sae:
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{what} keeps k: {_shown(k)} features, which is no whole number from 1 to its {d_sae}")


def _in(value: Any, empty: tuple[Any, ...]) -> bool:
    return any(type(value) is type(e) and value == e for e in empty)


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    text = repr(value) if shape is None or not len(shape) else f"tensor {'x'.join(map(str, shape))}"
    return text if len(text) <= 60 else f"{text[:57]}..."
