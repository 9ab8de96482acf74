"""Stages over all pairs of a suite: tables, run card, page."""
