"""``rsae.upgrade``: one SAE, upgraded on activations at hand and judged beside its controls."""
