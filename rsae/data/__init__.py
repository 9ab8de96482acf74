"""From sources to activations: text, the hub, and the host's residual stream."""
