"""Stages that judge the SAEs of a pair."""
