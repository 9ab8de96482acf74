"""Arms of a finished search, kept so that its numbers can be made again (docs/results/lab-book.md)."""
