"""What comes from a hub: fetched, verified, pinned."""
