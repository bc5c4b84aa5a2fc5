"""Views as text, which a configuration holds."""

from __future__ import annotations

from instar.data.views.color_jitter import ColorJitter
from instar.data.views.crop import Crop
from instar.data.views.cut_mix import CutMix
from instar.data.views.erase import Erase
from instar.data.views.flip import Flip
from instar.data.views.frequency_mask import FrequencyMask
from instar.data.views.identity import Identity
from instar.data.views.mixup import Mixup
from instar.data.views.noise import Noise
from instar.data.views.rand_augment import RandAugment
from instar.data.views.random_resized_crop import RandomResizedCrop
from instar.data.views.rotate import Rotate
from instar.data.views.shift import Shift
from instar.data.views.speed import Speed
from instar.data.views.time_mask import TimeMask
from instar.data.views.transform import import_transform
from instar.data.views.view import View
from instar.data.views.wrapped import Wrapped
from instar.errors import ConfigError
from instar.expressions import parse

VIEWS: dict[str, type[View]] = {
    view.__name__: view
    for view in (
        Identity,
        Shift,
        Crop,
        Flip,
        Mixup,
        CutMix,
        RandomResizedCrop,
        Rotate,
        ColorJitter,
        Erase,
        RandAugment,
        TimeMask,
        FrequencyMask,
        Speed,
        Noise,
        Wrapped,
    )
}
"""Views by their names in a configuration; add one line for a new view."""


def as_view(views: str | View, *, trust: bool = False) -> View:
    """Return views given as text or as an object; `trust` allows a text to import views of the user's."""
    return views if isinstance(views, View) else parse_views(views, trust=trust)


def parse_views(text: str, *, trust: bool = False) -> View:
    """Parse the text of views; `trust` allows the import of views of the user's, `package.module:Name`.

    >>> parse_views("Crop(4) + Flip()").parts
    (Crop(padding=4, mode='reflect'), Flip())
    """
    view = parse(text, VIEWS, "view", kind=View, trust=trust, adopt=import_transform)
    if not isinstance(view, View):
        raise ConfigError(f"views '{text}' must be a sum of views, for example 'Crop(4) + Flip()'.")
    return view
