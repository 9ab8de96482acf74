"""The paper's arms: copy the teacher, give it a calibrated rational gate, tune everything.

Degrees are the paper's: (3, 2) for ReLU, (9, 8) for JumpReLU and TopK. Per-feature scales carry
JumpReLU's per-feature thresholds (see :func:`rsae.training.start.calibrate.imitated`).
"""

from functools import partial
from typing import Any

from rsae.arms import Arm, Design, Inputs
from rsae.config.types import Kind

SHAPE_FROZEN = ("W_", "b_", "gate.log_c")  # scales still move


def copy(per_feature: bool, tail: bool, sae: Any, inputs: Inputs) -> Any:
    """The teacher with its gate replaced."""
    from rsae.training.start.rational_copy import rational_copy

    assert inputs.fit is not None
    return rational_copy(sae, inputs.calibration, inputs.fit, per_feature, tail or inputs.tail)


def family(
    suffix: str, kinds: tuple[Kind, ...], design: Design, per_feature: bool = False, tail: bool = False
) -> list[Arm]:
    """An untuned copy and what is tuned from it."""
    init = Arm(f"rsae_init{suffix}", kinds, design=design, build=partial(copy, per_feature, tail))
    return [init, Arm(f"rsae{suffix}", kinds, start=init.name, objective="paper")]


RELU, JUMP = Design((9, 8), "relu"), Design((9, 8), "jumprelu")
MAIN: list[tuple[tuple[Kind, ...], Design, bool]] = [
    (("relu",), Design((3, 2), "relu"), False),
    (("jumprelu",), JUMP, True),
    (("topk",), JUMP, False),
]
ARMS = [
    *(arm for main in MAIN for arm in family("", *main)),
    *(arm for main in MAIN for arm in family("_tail", *main, tail=True)),  # with our clamp and linear tail
    *family("_9_8", ("relu",), RELU),
    *family("_scalar", ("jumprelu",), JUMP),
    Arm("gate_swap", start="rsae_init", trains=("gate.",), objective="paper"),
    Arm("rsae_frozen", start="rsae_init", trains=SHAPE_FROZEN, objective="paper"),
    Arm("rsae_weighed", start="rsae_init", objective="weighed"),
]
