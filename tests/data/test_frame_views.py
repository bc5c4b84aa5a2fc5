"""Views of recordings: masks of time and of frequencies, whatever the padding of a batch is."""

import pytest
import torch
from torch import Tensor

from instar.data import FrequencyMask, Loader, Samples, Source, TimeMask, View, parse_views
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws

VIEWS = [TimeMask(4, 0.5, 2), FrequencyMask(3, 2), TimeMask(4, 0.5, 1) + FrequencyMask(3, 1)]


def recordings(number: int = 40, frames: int = 30, bands: int = 6) -> tuple[Tensor, Tensor]:
    """Frames of several lengths, padded with their last frame, and their lengths."""
    generator = torch.Generator().manual_seed(0)
    values = 20 * torch.randn(number, frames, bands, generator=generator)
    lengths = torch.randint(3, frames + 1, (number,), generator=generator)
    for row, length in enumerate(lengths.tolist()):
        values[row, length:] = values[row, length - 1]
    return values, lengths


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_a_recording_is_masked_alike_in_every_batch(view: View) -> None:
    values, lengths = recordings()
    source = Source("words", values, torch.zeros(40, 30, dtype=torch.long), ("a", "b"), lengths=lengths)
    found: list[dict[int, Tensor]] = []
    for size in (1, 7, 40):
        loader = Loader(Samples.all_of(source), size, seed=3, views=view)
        rows = {}
        for batch in loader.in_order(view=2):
            for number, frames in zip(batch.host_ids, batch.inputs, strict=True):
                rows[number] = frames[: int(lengths[number])]
        found.append(rows)
    for number in range(40):
        assert torch.equal(found[0][number], found[1][number])
        assert torch.equal(found[0][number], found[2][number])


def test_time_masks_are_stretches_of_the_mean_inside_the_recording() -> None:
    values, lengths = recordings(400)
    drawn = Draws(0, torch.arange(400), 0, lengths)
    masked = TimeMask(5, 0.4, 1)(values, drawn)
    widths = []
    for before, after, length in zip(values, masked, lengths.tolist(), strict=True):
        changed = (before != after).any(1).nonzero().flatten().tolist()
        widths.append(len(changed))
        assert changed == list(range(changed[0], changed[-1] + 1)) if changed else True
        assert not changed or changed[-1] < length
        assert len(changed) <= min(5, int(0.4 * length))
        expected = before[:length].double().mean(0).float()
        assert torch.allclose(after[changed], expected.expand(len(changed), -1), rtol=0, atol=1e-4)
    assert set(widths) == {0, 1, 2, 3, 4, 5}


def test_frequency_masks_are_ranges_of_bands_in_all_frames() -> None:
    values, lengths = recordings(400)
    masked = FrequencyMask(3, 1)(values, Draws(0, torch.arange(400), 0, lengths))
    counts = torch.zeros(6)
    for before, after, length in zip(values, masked, lengths.tolist(), strict=True):
        changed = (before != after).any(0).nonzero().flatten().tolist()
        assert len(changed) <= 3
        assert not changed or changed == list(range(changed[0], changed[-1] + 1))
        counts[changed] += 1
        expected = before[:length].double().mean(0).float()
        assert torch.allclose(after[:, changed], expected[changed].expand(len(after), -1), rtol=0, atol=1e-4)
    assert counts.min() > 50


def test_means_of_large_and_small_numbers_are_exact_to_float32() -> None:
    for scale in (1e-20, 1.0, 1e20):
        values = (torch.arange(12.0).reshape(1, 4, 3) + 1) * scale
        masked = FrequencyMask(3, 30)(values, Draws(0, torch.arange(1), 0, torch.tensor([4])))
        assert torch.allclose(masked, values.mean(1, keepdim=True).expand_as(values), rtol=1e-6, atol=0)


@pytest.mark.parametrize("view", VIEWS[:2], ids=str)
def test_what_is_no_recording_is_refused(view: View) -> None:
    for inputs in (torch.zeros(2, 3, 4, 5), torch.zeros(2, 5), torch.zeros(2, 3, 4, dtype=torch.long)):
        with pytest.raises(MismatchError, match=r"needs frames of recordings \[batch, frames, bands\]"):
            view(inputs, Draws(0, torch.arange(2), 0))
    assert parse_views(str(view)) == view


def test_more_bands_than_a_recording_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"FrequencyMask\(8\) masks more bands than the 6 of a recording"):
        FrequencyMask(8)(recordings()[0], Draws(0, torch.arange(40), 0))
