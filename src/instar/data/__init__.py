"""Data sources, samples with stable ids, and views (augmentations) of them."""

from instar.analysis.scores import UNLABELLED
from instar.data.columns import Held
from instar.data.dataset import Data, load_data
from instar.data.loader import Batch, Loader, Origin, given_inputs
from instar.data.recordings import Recordings
from instar.data.samples import Samples, Source
from instar.data.views import Crop, CutMix, Flip, Identity, Mixture, Mixup, Shift, View, as_view, parse_views

__all__ = [
    "UNLABELLED",
    "Batch",
    "Crop",
    "CutMix",
    "Data",
    "Flip",
    "Held",
    "Identity",
    "Loader",
    "Mixture",
    "Mixup",
    "Origin",
    "Recordings",
    "Samples",
    "Shift",
    "Source",
    "View",
    "as_view",
    "given_inputs",
    "load_data",
    "parse_views",
]
