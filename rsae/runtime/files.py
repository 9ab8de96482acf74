"""Files that are whole or absent: written under a temporary name, fsynced, then renamed.

What is read back vouches for itself: a digest of the content stands in the content.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEAL = "sha256"
REDO = "delete it and run again"


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, else it vanishes.

    Works for a file and for a directory (whose previous content is then replaced as a whole).

    Raises:
        OSError: the disk is full or the folder cannot be written; ``path`` is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # keeps the extension: some writers (np.savez, safetensors' readers) look at it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir():
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    _fsync(file)
            if path.exists():
                shutil.rmtree(path)
        else:
            _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        # a write knows no name, and a full disk shows itself in writes; a temporary name means nothing to anybody
        if error.filename is None or str(error.filename).startswith(str(temporary)):
            error.filename = str(path)
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN and infinity are refused, for JSON has neither."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def reading(path: Path | str, remedy: str) -> Iterator[None]:
    """Around libraries that read ``path``: whatever they raise becomes one sentence with the remedy.

    Raises:
        ValueError: the file is missing, truncated or altered.
        PermissionError, MemoryError: these say nothing about the file, and pass.
    """
    try:
        yield
    except (PermissionError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; {remedy}") from error
    except Exception as error:  # every library has errors of its own
        raise ValueError(f"{path} is truncated or altered ({short(error)}); {remedy}") from error


def short(error: Exception) -> str:
    """The beginning of what ``error`` says, on one line."""
    said = " ".join(str(error).split())[:160]
    if isinstance(error, ValueError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` with the digest of what JSON makes of it, under :data:`SEAL`."""
    return {**value, SEAL: digest(json.loads(json.dumps(value, allow_nan=False)))}


def read_sealed(path: Path | str, remedy: str = REDO) -> dict[str, Any]:
    """A JSON object that was written :func:`sealed`, without its seal.

    Raises:
        ValueError: the file is missing, truncated or altered, or carries no seal.
    """
    with reading(path, remedy):
        return unsealed(json.loads(Path(path).read_text(encoding="utf-8")))


def unsealed(found: Any) -> dict[str, Any]:
    """Inverse of :func:`sealed`.

    Raises:
        ValueError: not an object, no seal, or another content than was sealed.
    """
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} where an object was expected")
    if SEAL not in found:
        raise ValueError(f"no `{SEAL}` in it: it was made by an older version")
    content = {k: v for k, v in found.items() if k != SEAL}
    if digest(content) != found[SEAL]:
        raise ValueError(f"its content differs from its `{SEAL}`")
    return content


def sha256(path: Path | str) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spare white space: equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Hex sha256 of :func:`canonical`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
