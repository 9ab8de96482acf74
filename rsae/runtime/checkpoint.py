"""Work that was killed continues where it was; what it ends as does not depend on the kill."""

import fcntl
import hashlib
import io
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rsae.runtime.files import replacing

SECONDS = 60.0  # between checkpoints; a kill costs at most this much


class Checkpoint:
    """One file that holds the state of one piece of work, and the key of what it belongs to.

    ``key`` is a digest of configuration, code and inputs: a state with another key is another
    piece's, and is not continued. The file is written whole or not at all.
    """

    def __init__(self, path: Path, key: str, seconds: float | None = None) -> None:
        self.path, self.key = path, key
        self.seconds = float(os.environ.get("RSAE_CHECKPOINT_SECONDS", SECONDS)) if seconds is None else seconds
        self.last, self.stopping = time.monotonic(), False

    def load(self) -> dict[str, Any] | None:
        """The state, or None where there is none, or only one that is damaged or belongs to something else."""
        try:
            with open(self.path, "rb") as file:
                digest, raw = file.read(hashlib.sha256().digest_size), file.read()
            if hashlib.sha256(raw).digest() != digest:  # torch's zip has checksums, and does not look at all of them
                raise ValueError("its bytes differ from their digest")
            found = torch.load(io.BytesIO(raw), weights_only=True)
            key, state = found["key"], found["state"]
        except FileNotFoundError:
            return None
        except Exception as error:  # torch, zip and pickle each have errors of their own
            print(f"{self.path} is damaged ({type(error).__name__}); starting from the beginning", flush=True)
            return None
        if key != self.key:
            print(f"{self.path} was made with other settings, code or data; starting from the beginning", flush=True)
            return None
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file."""
        buffer = io.BytesIO()  # torch's own writer reports a full disk as an error of its own kind
        torch.save({"key": self.key, "state": dict(state)}, buffer)
        with replacing(self.path) as temporary, open(temporary, "wb") as file:
            file.write(hashlib.sha256(buffer.getbuffer()).digest())
            file.write(buffer.getbuffer())
        self.touch()

    def touch(self) -> None:
        """The next one is due a while from now."""
        self.last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.stopping or time.monotonic() - self.last >= self.seconds

    def leave(self) -> None:
        """Called after a save: end the process if it was asked to end."""
        if self.stopping:
            print(f"asked to stop: saved {self.path}; the same command continues from there", flush=True)
            raise SystemExit(128 + signal.SIGTERM)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While open, SIGTERM asks for a checkpoint and an end instead of ending at once."""

        def ask(*_: object) -> None:
            self.stopping = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold ``folder`` against a second process, such as an orphan of a killed run.

    Raises:
        ValueError: another process holds it; the message names its number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # opened for appending, so that the holder's number survives a second comer's look
    with open(folder / "lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"process {file.read().strip() or '(unknown)'} is at work in {folder}; wait for it, or end it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def until_done(folder: Path) -> Iterator[None]:
    """Hold ``folder`` alone; what a job keeps in it is deleted when the job is done, and only then."""
    with alone(folder):
        yield
        shutil.rmtree(folder)


@contextmanager
def continued(folder: Path, key: str) -> Iterator[Checkpoint]:
    """The one state that a job keeps in ``folder`` :func:`until_done`, SIGTERM watched."""
    with until_done(folder):
        checkpoint = Checkpoint(folder / "state.pt", key)
        with checkpoint.watching():
            yield checkpoint
