"""The verbs, one per file: each turns data and run folders into a run folder."""
