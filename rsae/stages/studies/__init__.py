"""Stages that hang on no suite: the atlas of gates, the theory."""
