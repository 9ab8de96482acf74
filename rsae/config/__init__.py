"""What a person states: suites, sources, recipes. Typed, checked, and without torch."""
