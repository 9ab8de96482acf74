"""``rsae.upgrade``: one SAE, upgraded on activations at hand and judged beside its controls."""

from rsae.api.upgrade import Upgraded, upgrade

__all__ = ["Upgraded", "upgrade"]
