"""One configuration becomes one complete run folder."""
