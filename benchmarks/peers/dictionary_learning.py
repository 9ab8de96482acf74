"""One step of a fine-tune, also against dictionary_learning's: ``python -m benchmarks.peers.dictionary_learning``.

Its package asks for nnsight below 0.4 and more, so it goes into an environment of its own (2.2 GB, once);
``python -m benchmarks step`` finds it there. Its steps are made by a process of its own, which waits while others run.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import environment
from benchmarks.peers.environment import ROOT

PACKAGE, NAME = "dictionary-learning==0.1.0", "dictionary_learning"


@contextmanager
def steps(python: Path, d_in: int, d_sae: int, batch: int) -> Iterator[Callable[[], None]]:
    """While open: makes one step and returns when it is made.

    Raises:
        RuntimeError: on use, where its process has ended.
    """
    # -P: beside its script lies this file, which has the package's name
    command = [python, "-P", ROOT / f"benchmarks/peers/{NAME}_peer.py", *map(str, (d_in, d_sae, batch))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None and peer.stdout is not None
        orders, answers = peer.stdin, peer.stdout

        def step() -> None:
            with contextlib.suppress(BrokenPipeError):  # nobody answers then
                orders.write("step\n")
                orders.flush()
            if not answers.readline():
                raise RuntimeError(f"{NAME} ended, see above")

        try:
            yield step
        finally:
            with contextlib.suppress(BrokenPipeError):
                orders.close()


def main() -> None:
    """Install it, and measure steps again."""
    environment.made(environment.place(NAME), PACKAGE)
    subprocess.run([sys.executable, "-m", "benchmarks", "step"], check=True)


if __name__ == "__main__":
    main()
