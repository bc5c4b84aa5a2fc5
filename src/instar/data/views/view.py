"""What a view is: an augmentation that is a pure function of (seed, id, view).

View 3 of sample 17 is the same tensor in each epoch, on each machine and with any number of workers. So teacher and
student always see the same pixels, and a killed run resumes exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from torch import Tensor

from instar.errors import ConfigError, MismatchError
from instar.expressions import write
from instar.seeds import Draws, derive


class View(ABC):
    """An augmentation of a batch of inputs. A sum applies views in order: `Crop(4) + Flip()` crops, then flips."""

    @abstractmethod
    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Augment `inputs` `[batch, channels, height, width]` by the random numbers `draws`.

        The dtype stays, and the shape is what `shape` says. A batch of any size gives the same rows.
        """

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one augmented input for an input of the shape `given`; most views keep it."""
        return given

    def shown_positions(self, count: int, draws: Draws) -> Tensor | None:
        """Return which position of its sample each position of an input shows, int64 `[batch, count]`.

        The labels of a sample move with what they describe. None: each position shows its own, as in most views.
        """
        return None

    def __add__(self, other: View) -> View:
        return Chain((*_parts(self), *_parts(other)))

    def __str__(self) -> str:
        return write(self)


def _parts(view: View) -> tuple[View, ...]:
    return view.parts if isinstance(view, Chain) else (view,)


@dataclass(frozen=True)
class Chain(View):
    """Several views in order, each with its own random numbers, so `Flip() + Flip()` is not the identity."""

    parts: tuple[View, ...]

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Apply all parts in order."""
        for part, seed in seeded_parts(self, draws.seed):
            inputs = part(inputs, replace(draws, seed=seed))
        return inputs

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that all parts give together."""
        for part in self.parts:
            given = part.shape(given)
        return given

    def shown_positions(self, count: int, draws: Draws) -> Tensor | None:
        """Return the positions that all parts show together."""
        found: Tensor | None = None
        for part, seed in seeded_parts(self, draws.seed):
            shown = part.shown_positions(count, replace(draws, seed=seed))
            if shown is not None:
                # a part shows positions of what the parts before it show
                found = shown if found is None else found.gather(1, shown)
        return found

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))


def seeded_parts(view: View, seed: int) -> list[tuple[View, int]]:
    """Return the parts of a sum of views, or a single view, each with the seed of its random numbers."""
    # the first part draws as it would alone, so that adding a part does not change what it does
    return [(part, derive(seed, "part", index) if index else seed) for index, part in enumerate(_parts(view))]


def require_images(inputs: Tensor, name: str, pixels: int = 0) -> None:
    """Refuse inputs that are not images, and moves of so many pixels that most images would be empty.

    Raises:
        MismatchError: when the inputs are not `[batch, channels, height, width]`.
        ConfigError: when `pixels` is more than twice the longer side.
    """
    if inputs.dim() != 4:
        raise MismatchError(
            f"view '{name}' needs images [batch, channels, height, width], got inputs of shape {list(inputs.shape)}."
        )
    # three in four images would be empty, and padding could take any amount of memory
    if pixels > 2 * max(inputs.shape[2:]):
        size = " x ".join(map(str, inputs.shape[2:]))
        raise ConfigError(f"{name}({pixels}) moves most images of {size} pixels out of view; give fewer pixels.")
