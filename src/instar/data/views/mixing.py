"""Views that mix two samples, and the part of a loader that applies them.

A mixed sample is a pure function of (seed, id, view) too: its partner is drawn from all samples of the selection by the
random numbers of its own id and view, never from its batch. So stores, resumed runs and all batch sizes have the same
mixed samples. The place in the sum decides what is mixed: `Crop(4) + Mixup(1)` mixes the crop of a sample with the crop
that its partner has in this view, and `Mixup(1) + Crop(4)` crops the mixture.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.data.samples import Samples
from instar.data.views.view import View, seeded_parts
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws

Alpha = Annotated[float, Field(ge=1e-3, le=1e3, description="from 0.001 to 1000")]
Probability = Annotated[float, Field(ge=0, le=1, description="from 0 to 1")]


@dataclass(frozen=True, eq=False)
class Mixture:
    """The partners of mixed samples: sample n consists of ratio_n of itself, and 1 - ratio_n of its partner.

    Args:
        partners: sample ids of the partners, int64 `[batch]`.
        labels: labels of the partners, int64 `[batch]`; `UNLABELLED` marks a missing label, or one without a loss.
        ratios: lambda, the share of the sample itself, float32 `[batch]` in [0, 1].
    """

    partners: Tensor
    labels: Tensor
    ratios: Tensor

    def rows(self, rows: slice | Tensor) -> Mixture:
        """Return the partners of some of the samples."""
        return Mixture(self.partners[rows], self.labels[rows], self.ratios[rows])


class MixingView(View):
    """A view that mixes each sample with a partner; the loss mixes their labels by the same ratio."""

    @abstractmethod
    def mix(self, inputs: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the mixtures of `inputs` and `partners`, both `[batch, ...]`, and the ratios, float64 `[batch]`."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Refuse inputs without partners.

        Raises:
            ConfigError: always, because only a `Loader` has the partners.
        """
        raise ConfigError(f"{self} mixes samples of a data set, so only a Loader can apply it, as one part of a sum.")


def find_mixing(views: View) -> MixingView | None:
    """Return the view of a sum that mixes samples; None if there is none.

    Raises:
        ConfigError: when two views mix.
    """
    found = [part for part, _ in seeded_parts(views, 0) if isinstance(part, MixingView)]
    if len(found) > 1:
        raise ConfigError(f"only one view of a sum may mix samples, got {' and '.join(map(str, found))}.")
    return found[0] if found else None


class Mixer:
    """The views of a loader, one of which mixes samples.

    Args:
        views: sum of views.
        mixing: the one that mixes.
        seed: seed of the views.
        partners: samples that partners are drawn from.
        device: device of the inputs that partners are gathered from.

    Raises:
        MismatchError: when the samples have positions, are tokens, or are drawn by their classes.
    """

    def __init__(self, views: View, mixing: MixingView, seed: int, partners: Samples, device: torch.device) -> None:
        _refuse_unmixable(mixing, partners)
        parts = seeded_parts(views, seed)
        at = [part for part, _ in parts].index(mixing)
        self._before, self._after = parts[:at], parts[at + 1 :]
        self._mixing, self._seed = mixing, parts[at][1]
        # in the order of ids, so that partners do not depend on the order of the selection
        ids = partners.ids.sort().values
        self._ids, self._labels = ids.to(device), partners.judged_labels()[partners.places(ids)].to(device)

    def __call__(
        self, inputs: Tensor, ids: Tensor, places: Tensor, view: int, gather: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Mixture]:
        """Return the mixed inputs of a batch, and its partners.

        Args:
            inputs: raw inputs of the samples, `[batch, ...]`.
            ids: sample ids, int64 `[batch]`.
            places: the same ids on the device of the inputs.
            view: number of the view.
            gather: function from ids to raw inputs.
        """
        drawn = Draws(self._seed, places, view).below(len(self._ids), "partner")
        found = self._ids[drawn]
        partners = found.to(ids.device)
        # a partner has the random numbers of its own id, so it looks as it does where it is the sample
        own, others = _apply(self._before, inputs, ids, view), _apply(self._before, gather(found), partners, view)
        mixed, ratios = self._mixing.mix(own, others, Draws(self._seed, ids, view))
        mixture = Mixture(partners, self._labels[drawn].to(ids.device), ratios.float())
        return _apply(self._after, mixed, ids, view), mixture


def _apply(parts: Sequence[tuple[View, int]], inputs: Tensor, ids: Tensor, view: int) -> Tensor:
    for part, seed in parts:
        inputs = part(inputs, Draws(seed, ids, view))
    return inputs


def _refuse_unmixable(mixing: MixingView, samples: Samples) -> None:
    source, problem = samples.source, ""
    if source.positions is not None:
        problem = "have labels at positions"
    elif source.lengths is not None:
        problem = "have different lengths"
    elif not source.inputs.is_floating_point() and source.inputs.dtype != torch.uint8:
        problem = "are tokens"
    elif samples.special is not None:  # a partner is drawn from all samples, which would change the halves
        problem = "are drawn half from special classes"
    elif samples.is_balanced:
        problem = "are drawn from each class equally often"
    if problem:
        raise MismatchError(
            f"the view {mixing} cannot mix the samples of '{source.name}', because they {problem}; leave it out."
        )


def draw_ratios(alpha: float, probability: float, draws: Draws) -> Tensor:
    """Return lambda of each sample: Beta(alpha, alpha) with `probability`, otherwise 1; float64 `[batch]`.

    With U and V uniform in (0, 1), lambda = (1 + c s) / 2 with c = cos(2 pi V) and s^2 = (1 - q) / (q + (1 - q) c^2)
    for q = U^(1 / alpha): a Student t variable in polar form, scaled to (0, 1).

    Source: Devroye 1996, "Random variate generation in one line of code", symmetric beta.
    """
    c = (2 * torch.pi * draws.uniform("angle")).cos()
    log_q = draws.uniform("radius").log() / alpha
    q, rest = log_q.exp(), -log_q.expm1()
    # clamped: both are 0 if q underflows where the cosine is 0
    found = (1 + c * (rest / (q + rest * c.square()).clamp(min=1e-300)).sqrt()) / 2
    is_mixed = draws.uniform("mixed") < probability
    return torch.where(is_mixed, found.clamp(0, 1), 1.0)
