"""Numbers as people read them."""

import math


def plain(value: float, signed: bool = False) -> str:
    """Four significant digits, without an exponent for what people read as plain numbers."""
    if value == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:{'+' if signed else ''}.{min(digits, 7)}f}"
