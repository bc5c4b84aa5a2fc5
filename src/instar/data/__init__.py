"""Data sources, samples with stable ids, and views (augmentations) of them."""

from instar.analysis.scores import UNLABELLED
from instar.data.batch import Batch, Origin, given_inputs
from instar.data.columns import Held
from instar.data.dataset import Data, load_data
from instar.data.loader import Loader
from instar.data.recordings import Recordings
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.views import (
    ColorJitter,
    Crop,
    CutMix,
    Erase,
    Flip,
    FrequencyMask,
    Identity,
    Mixture,
    Mixup,
    Noise,
    RandAugment,
    RandomResizedCrop,
    Rotate,
    Shift,
    Speed,
    TimeMask,
    View,
    Wrapped,
    as_view,
    parse_views,
)

__all__ = [
    "UNLABELLED",
    "Batch",
    "ColorJitter",
    "Crop",
    "CutMix",
    "Data",
    "Erase",
    "Flip",
    "FrequencyMask",
    "Held",
    "Identity",
    "Loader",
    "Mixture",
    "Mixup",
    "Noise",
    "Origin",
    "RandAugment",
    "RandomResizedCrop",
    "Recordings",
    "Rotate",
    "Samples",
    "Shift",
    "Source",
    "Speed",
    "TimeMask",
    "View",
    "Wrapped",
    "as_view",
    "given_inputs",
    "load_data",
    "parse_views",
]
