"""YAML to typed configuration: every mistake names its file, its key and the remedy."""

import reprlib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from rsae.config.types import Strict, near

Model = TypeVar("Model", bound=Strict)


def load(path: Path | str, model: type[Model], under: str | None = None) -> Model:
    """Read a YAML file into ``model``; with ``under``, as the value of that one key of it.

    Raises:
        ValueError: one line per mistake, with the file, the key, what was expected, and the
            nearest known key where one was misspelt.
    """
    raw = read(path)
    return checked(path, raw if under is None else {under: raw}, model)


def read(path: Path | str) -> dict[str, Any]:
    """Keys and values of a YAML file, unchecked.

    Raises:
        ValueError: there is no such file, or it is something else.
    """
    try:
        raw = yaml.load(Path(path).read_text(encoding="utf-8"), _UniqueKeys)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such configuration file") from error
    except PermissionError:
        raise
    except Exception as error:  # of yaml, of its decoder, of Python's numbers and dates, of too deep a nesting
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(raw).__name__}")
    return raw


def checked(path: Path | str, raw: Any, model: type[Model]) -> Model:
    """What was read from ``path`` as ``model``; mistakes as :func:`load` tells them."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        known = _all_keys(model)
        raise ValueError("\n".join(_sentence(path, e, known) for e in error.errors())) from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the last of two equal keys win, silently: a mistake here. What `<<` merges may be overruled."""

    def get_single_node(self) -> Any:
        """The document, looked through before any merge is carried out."""
        node = super().get_single_node()
        self._check(node, set())
        return node

    def _check(self, node: Any, seen: set[int]) -> None:
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            return
        seen.add(id(node))  # an alias leads to the node that it names, or round in a circle
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"key `{twice}` stands here twice", node.start_mark)
        for child in (value for pair in node.value for value in (pair if isinstance(pair, tuple) else (pair,))):
            self._check(child, seen)


def _sentence(path: Path | str, error: Any, known: set[str]) -> str:
    key = ".".join(map(str, error["loc"])) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key `{key}`{near(str(error['loc'][-1]), known, 'config/README.md lists the keys')}"
    if error["type"] == "missing":
        return f"{path}: key `{key}` is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: `{key}`: {message}" + (
        "" if error["type"] == "value_error" else f", got {reprlib.repr(error['input'])[:80]}"
    )


def _all_keys(model: type[BaseModel]) -> set[str]:
    """Field names of a model and of every model nested in it."""
    keys, todo = set(), [model]
    while todo:
        for name, field in todo.pop().model_fields.items():
            keys.add(name)
            todo += _models_in(field.annotation)
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
