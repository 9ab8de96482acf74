"""Stages that train hosts and teachers."""
