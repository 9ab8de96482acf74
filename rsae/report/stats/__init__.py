"""Numbers from per-document sums: metrics, intervals, verdicts, regression against kept numbers."""
