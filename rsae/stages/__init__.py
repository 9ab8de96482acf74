"""One module per stage: files in, files out, plain arguments; none reads the configuration."""
