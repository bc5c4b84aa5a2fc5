"""The verbs, one per file: sequences of stages, each from run folders to a run folder."""
