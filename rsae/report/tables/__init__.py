"""One file per table that a suite can have."""
