"""What each arm is: where it starts, which gate it carries."""

from typing import Literal, NamedTuple

Kind = Literal["relu", "jumprelu", "topk"]


class Arm(NamedTuple):
    """One contestant.

    ``start`` is the untuned arm that its fine-tune starts from, None where nothing is tuned;
    ``degree`` is None where the teacher's own gate is kept.
    """

    start: str | None
    degree: tuple[int, int] | None = None
    target: Literal["relu", "jumprelu"] = "relu"  # what the rational gate is fitted to
    per_feature: bool = False

    @property
    def tuned(self) -> bool:
        """Whether the arm is fine-tuned, and therefore has seeds."""
        return self.start is not None


def arms(kind: Kind) -> dict[str, Arm]:
    """The contestants for one kind of teacher, by name, in the order in which tables show them.

    Degrees are the paper's: (3, 2) for ReLU, (9, 8) for JumpReLU and TopK. Per-feature scales
    carry JumpReLU's per-feature thresholds (see :func:`rsae.upgrade.calibrate.imitated`).
    """
    own = {"teacher": Arm(None), "teacher_ft": Arm("teacher")}
    match kind:
        case "relu":
            return own | {
                "rsae_init": Arm(None, (3, 2)),
                "rsae": Arm("rsae_init", (3, 2)),
                "rsae_init_9_8": Arm(None, (9, 8)),
                "rsae_9_8": Arm("rsae_init_9_8", (9, 8)),
            }
        case "jumprelu":
            return own | {
                "rsae_init": Arm(None, (9, 8), "jumprelu", per_feature=True),
                "rsae": Arm("rsae_init", (9, 8), "jumprelu", per_feature=True),
                "rsae_init_scalar": Arm(None, (9, 8), "jumprelu"),
                "rsae_scalar": Arm("rsae_init_scalar", (9, 8), "jumprelu"),
            }
        case "topk":
            return own | {
                "rsae_init": Arm(None, (9, 8), "jumprelu"),
                "rsae": Arm("rsae_init", (9, 8), "jumprelu"),
            }
