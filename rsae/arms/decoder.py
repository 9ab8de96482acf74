"""The decoder and its bias alone: how much of a win is a better dictionary for the same codes?"""

from rsae.arms import Arm

ARMS = [Arm("decoder_ft", start="teacher", trains=("W_dec", "b_dec"))]
