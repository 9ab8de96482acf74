"""Judging an SAE: per-document sums from which every metric and every interval follows."""
