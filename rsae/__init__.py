"""Rational sparse autoencoders: fit a gate, upgrade a teacher, judge both honestly.

Importing the package loads neither torch nor sae_lens; import the modules you need.
"""

__version__ = "0.1.0"
