"""Stages from a source to activations."""
