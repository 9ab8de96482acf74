"""The decoder and its bias alone: how much of a win is a better dictionary for the same codes?

``decoder_error`` does it for the error alone, as ``pruned`` does, with no price of sparsity.
"""

from rsae.arms import Arm

DECODER = ("W_dec", "b_dec")
ARMS = [
    Arm("decoder_ft", start="teacher", trains=DECODER),
    Arm("decoder_error", start="teacher", trains=DECODER, objective="error"),
]
