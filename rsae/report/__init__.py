"""From per-document sums to numbers with intervals, and from numbers to tables."""
