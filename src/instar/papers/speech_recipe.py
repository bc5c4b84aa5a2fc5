"""What the tables of speech of Hinton, Vinyals and Dean (2015) share: training and published numbers."""

from instar.papers.table import FAST_TRAINING

PUBLISHED_FRAME_ACCURACIES = {"net": 58.9, "ensemble": 61.1, "distilled": 60.8}
"""Frame accuracies in % of one network, the ensemble of ten, and its student."""
PUBLISHED_GAIN_KEPT = 86
"""Share of the ensemble's gain that its student keeps, in %."""
NET_TRAINING = FAST_TRAINING | {
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "batch_size": 16,
    "log_every": 200,
}
