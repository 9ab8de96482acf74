"""Rational approximation of gates in float64; NumPy and SciPy only, no torch."""
