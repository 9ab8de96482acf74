"""Arms of a finished search, kept so that its numbers can be made again; docs/lab-book.md says what they showed."""
