"""Reader of sound that a feature extractor of Transformers prepares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from instar.checks import checked
from instar.compute.inputs import Shape, describe_shapes
from instar.data.columns.sounds import WAVES
from instar.errors import ConfigError, MismatchError, shortened
from instar.foreign import make_extractor
from instar.models.readers.encoded import ANY_LENGTH, ATTENTION_MASK
from instar.models.readers.reader import Reader

_PROBED_SECONDS = (0.1, 0.2)  # of silence, whose features tell whether all recordings get one length


@checked
@dataclass(frozen=True, repr=False)
class Extracted(Reader):
    """Reads the sound of recordings as a feature extractor of Transformers does, each recording by itself.

    A network is called with the features by the name that the extractor gives them, such as `input_values`. If their
    length depends on the recording, they are padded with zeros to the longest of the batch, and `attention_mask`, bool
    `[batch, longest]`, is False there.

    Args:
        settings: JSON of `preprocessor_config.json`, so that the reader needs no folder later.
        column: name of the column of sound.

    Raises:
        ConfigError: when Transformers cannot make the extractor.

    >>> import json
    >>> reader = Extracted(json.dumps({"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}))
    >>> wave = {"wave": torch.rand(2, 800), "length": torch.tensor([800, 400]), "rate": torch.tensor([16000, 16000])}
    >>> {name: tuple(found.shape) for name, found in reader(wave).items()}
    {'input_values': (2, 800), 'attention_mask': (2, 800)}
    """

    settings: str
    column: str = WAVES
    takes_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _extractor(self.settings)

    @property
    def rate(self) -> int:
        """Sampling rate in Hz of the sound that the extractor takes."""
        return int(_extractor(self.settings).sampling_rate)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]  # of several
        """Return the features of recordings; features are returned unchanged.

        Args:
            inputs: `wave`, float32 `[batch, longest]`, with `length` and `rate`, int64 `[batch]`.

        Raises:
            MismatchError: when the recordings have another sampling rate.
        """
        if "wave" not in inputs:
            return dict(inputs)
        device = inputs["wave"].device
        if other := set(inputs["rate"].tolist()) - {self.rate}:
            raise MismatchError(
                f"the feature extractor takes recordings of {self.rate} Hz, and these have {other.pop()} Hz; set "
                f"data.sample_rate={self.rate} to resample them."
            )
        waves = zip(inputs["wave"].cpu().numpy(), inputs["length"].tolist(), strict=True)
        found = [_extract(self.settings, wave[:length]) for wave, length in waves]
        return {name: one.to(device) for name, one in _pad(self.name, found, has_mask=self.has_any_length).items()}

    @property
    def name(self) -> str:
        """Name of the features, which is that of the network's argument."""
        return str(_extractor(self.settings).model_input_names[0])

    @property
    def has_any_length(self) -> bool:
        """Whether the length of the features depends on the recording."""
        return ANY_LENGTH in _shape(self.settings)

    def shape(self, given: Any) -> dict[str, Shape]:  # type: ignore[override]  # of several
        """Return the shapes of the features, and of their mask if they have any length."""
        if not {"wave", self.name} & set(given) if isinstance(given, Mapping) else given:
            raise MismatchError(
                "a feature extractor reads the sound of recordings, and the data have inputs "
                f"{describe_shapes(given)}; load recordings with data.states=0."
            )
        return {self.name: _shape(self.settings)} | ({ATTENTION_MASK: (ANY_LENGTH,)} if self.has_any_length else {})

    def make_example(self) -> dict[str, Tensor]:
        """Return the features of two recordings of silence, of a second each."""
        silence = _extract(self.settings, np.zeros(self.rate, np.float32))
        return _pad(self.name, [silence, silence], has_mask=self.has_any_length)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean 0 and standard deviation 1, because the extractor standardises as the model needs it."""
        return torch.zeros(1), torch.ones(1)


@cache
def _extractor(settings: str) -> Any:
    try:
        given = json.loads(settings)
    except ValueError as error:
        raise ConfigError(f"Extracted(settings) must be JSON: {shortened(error)}.") from None
    if not isinstance(given, dict):
        raise ConfigError(f"Extracted(settings) must be a JSON object, got {settings:.60}.")
    return make_extractor(given)


@cache
def _shape(settings: str) -> Shape:
    rate = _extractor(settings).sampling_rate
    short, long = (_extract(settings, np.zeros(int(rate * seconds), np.float32)).shape for seconds in _PROBED_SECONDS)
    return tuple(one if one == other else ANY_LENGTH for one, other in zip(short, long, strict=True))


def _extract(settings: str, wave: Any) -> Any:
    extractor = _extractor(settings)
    try:
        found = extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="np")
    except Exception as error:  # of the library, for a recording that is too short, say
        raise MismatchError(f"the feature extractor cannot read a recording: {shortened(error)}.") from None
    return np.asarray(found[extractor.model_input_names[0]][0], dtype=np.float32)


def _pad(name: str, found: list[Any], *, has_mask: bool) -> dict[str, Tensor]:
    features = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in found], batch_first=True)
    if not has_mask:
        return {name: features}
    lengths = torch.tensor([len(one) for one in found])
    return {name: features, ATTENTION_MASK: torch.arange(features.shape[1]) < lengths[:, None]}
