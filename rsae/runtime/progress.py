"""Progress with a rate and an estimate: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG_INTERVAL = 15.0  # seconds between lines where nobody watches


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Iterate over ``items`` and say how far it is, how fast, and how long it will take."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, mininterval=0.5)
        return
    start = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= LOG_INTERVAL or done == total:
            shown, rate = now, done / max(now - start, 1e-9)
            left = tqdm.format_interval((total - done) / rate)
            print(f"{what}: {done}/{total}, {rate:.1f}/s, {left} left", file=sys.stderr, flush=True)
