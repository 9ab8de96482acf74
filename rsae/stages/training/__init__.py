"""Stages from a teacher to trained SAEs."""
