"""Views: augmentations that are pure functions of (seed, id, view)."""

from instar.data.views.color_jitter import ColorJitter
from instar.data.views.crop import Crop
from instar.data.views.cut_mix import CutMix
from instar.data.views.erase import Erase
from instar.data.views.flip import Flip
from instar.data.views.frequency_mask import FrequencyMask
from instar.data.views.identity import Identity
from instar.data.views.mixing import MixingView, Mixture
from instar.data.views.mixup import Mixup
from instar.data.views.noise import Noise
from instar.data.views.notation import VIEWS, as_view, parse_views
from instar.data.views.rand_augment import RandAugment
from instar.data.views.random_resized_crop import RandomResizedCrop
from instar.data.views.rotate import Rotate
from instar.data.views.shift import Shift
from instar.data.views.speed import Speed
from instar.data.views.time_mask import TimeMask
from instar.data.views.view import Chain, View
from instar.data.views.wrapped import Wrapped

__all__ = [
    "VIEWS",
    "Chain",
    "ColorJitter",
    "Crop",
    "CutMix",
    "Erase",
    "Flip",
    "FrequencyMask",
    "Identity",
    "MixingView",
    "Mixture",
    "Mixup",
    "Noise",
    "RandAugment",
    "RandomResizedCrop",
    "Rotate",
    "Shift",
    "Speed",
    "TimeMask",
    "View",
    "Wrapped",
    "as_view",
    "parse_views",
]
