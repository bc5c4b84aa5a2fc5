"""Views: augmentations that are pure functions of (seed, id, view)."""

from instar.data.views.crop import Crop
from instar.data.views.flip import Flip
from instar.data.views.identity import Identity
from instar.data.views.notation import VIEWS, as_view, parse_views
from instar.data.views.shift import Shift
from instar.data.views.view import Chain, View

__all__ = ["VIEWS", "Chain", "Crop", "Flip", "Identity", "Shift", "View", "as_view", "parse_views"]
