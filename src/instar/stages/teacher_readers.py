"""What the readers of a teacher do to the images of the data that its training surely did not."""

from __future__ import annotations

from collections.abc import Iterator

from instar.data.columns.held import Held
from instar.data.dataset import Data
from instar.models.normalised import reader_in
from instar.models.readers.reader import Reader
from instar.teachers.teacher import Teacher

MAX_SCALED_PIXEL = 2.0
"""Largest pixel of images whose pixels are from 0 to 1, with some room for those that a filter overshoots."""


def find_reader_faults(teacher: Teacher, data: Data) -> Iterator[str]:
    """Yield sentences on readers of a teacher that enlarge resized images, or whose statistics are not of these pixels.

    Args:
        teacher: teacher, whose networks may have readers of their own.
        data: data that it reads.
    """
    for reader in dict.fromkeys(part for network in teacher.modules() for part in reader_in(network).parts):
        yield from _find_faults(reader, data)


def _find_faults(reader: Reader, data: Data) -> Iterator[str]:
    source = data.train.source
    if not isinstance(source.find(reader.column), Held):
        return
    given = tuple(source.column(reader.column).shape[1:])
    wanted, size = reader.shape(given), data.config.image_size
    # images that have their size by themselves hold no more than this, and those of arrays are not resized
    if len(given) == 3 and size is not None and any(a > b for a, b in zip(wanted[1:], given[1:], strict=True)):
        known, larger = (" x ".join(map(str, shape[1:])) for shape in (given, wanted))
        yield (
            f"the teacher enlarges images to {larger} pixels, which data.image_size has made {known}; set "
            f"data.image_size={max(wanted[1:])} to give it what the files hold"
        )
    values = source.column(reader.column)
    if reader.statistics() is not None and values.is_floating_point():
        largest = values[data.train.ids[:64]].abs().max().item()
        if largest > MAX_SCALED_PIXEL:
            yield (
                f"the mean and std of the teacher's reader are those of pixels 0..1, and the data have numbers up to "
                f"{largest:g}; give pixels 0..255 as uint8"
            )
