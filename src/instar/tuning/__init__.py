"""The search over temperatures and weights: its cells, its trials, and its result."""
