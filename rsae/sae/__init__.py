"""One sparse autoencoder: a linear skeleton, its gate, what may follow the gate, and loaders of everybody's files."""
