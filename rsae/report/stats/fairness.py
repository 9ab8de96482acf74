"""Whether a comparison is one: the control was tuned, and every arm had the same tokens."""

from collections.abc import Mapping

import numpy as np

from rsae.report.stats.cells import Pair

CONTROL = "teacher_ft"
TOLD = ("sse", "ce_spliced")  # sums that no training leaves as they are


def check(pair: Pair, tokens: Mapping[str, set[int]]) -> None:
    """``tokens`` holds, by arm, how many tokens its fine-tunes have seen.

    Raises:
        ValueError: the control is the teacher itself, or arms were trained on unlike numbers of tokens.
    """
    what = f"{pair.host}/{pair.teacher}"
    given = {t for seen in tokens.values() for t in seen}
    if len(given) > 1:
        told = "; ".join(f"{arm}: {', '.join(map(str, sorted(seen)))}" for arm, seen in tokens.items())
        raise ValueError(f"{what}: arms were fine-tuned on unlike numbers of tokens ({told}); run all with one budget")
    teacher = next((columns for cell, columns in pair.cells.items() if cell.arm == "teacher"), None)
    for cell, columns in pair.cells.items():
        if cell.arm == CONTROL and teacher and all(np.array_equal(columns[c], teacher[c]) for c in TOLD):
            raise ValueError(
                f"{what}: {CONTROL} with seed {cell.seed} is the untuned teacher, number for number, so it controls for"
                f" nothing; delete its folder and run again"
            )
