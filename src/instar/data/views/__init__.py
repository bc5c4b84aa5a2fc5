"""Views: augmentations that are pure functions of (seed, id, view)."""

from instar.data.views.crop import Crop
from instar.data.views.cut_mix import CutMix
from instar.data.views.flip import Flip
from instar.data.views.identity import Identity
from instar.data.views.mixing import MixingView, Mixture
from instar.data.views.mixup import Mixup
from instar.data.views.notation import VIEWS, as_view, parse_views
from instar.data.views.shift import Shift
from instar.data.views.view import Chain, View

__all__ = [
    "VIEWS",
    "Chain",
    "Crop",
    "CutMix",
    "Flip",
    "Identity",
    "MixingView",
    "Mixture",
    "Mixup",
    "Shift",
    "View",
    "as_view",
    "parse_views",
]
