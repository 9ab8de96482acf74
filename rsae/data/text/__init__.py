"""Documents of every kind of source, and their tokens."""
