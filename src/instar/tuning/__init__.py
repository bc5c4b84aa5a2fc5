"""The search over settings: its cells, its trials, and what was found."""
