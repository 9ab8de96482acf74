"""A host's activations at a site: captured, kept in shards, read in shuffled batches."""
