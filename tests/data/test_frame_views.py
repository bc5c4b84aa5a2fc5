"""Views of recordings: masks, speed and noise, whatever the padding of a batch is."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import instar
from instar.data import (
    FrequencyMask,
    Held,
    Loader,
    Noise,
    Samples,
    Source,
    Speed,
    TimeMask,
    View,
    load_data,
    parse_views,
)
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws

VIEWS = [
    TimeMask(4, 0.5, 2),
    FrequencyMask(3, 2),
    Speed(0.3),
    Noise(0, 20),
    TimeMask(4, 0.5, 1) + FrequencyMask(3, 1),
    Speed(0.3) + Noise(0, 20) + TimeMask(4, 0.5, 2) + Speed(0.2),
]


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
    found = []
    for size in (1, 7, 40):
        loader = Loader(Samples.all_of(source), size, seed=3, views=view)
        rows = []
        for batch in loader.in_order(view=2):
            # a batch is cut to its longest recording; padding repeats the last frame, which a window may show
            padding = batch.inputs[:, -1:].expand(-1, 30 - batch.inputs.shape[1], -1)
            rows.append(torch.cat([batch.inputs, padding], 1))
        found.append(torch.cat(rows))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    for frames, length in zip(found[0], lengths.tolist(), strict=True):
        assert bool((frames[length:] == frames[length - 1]).all())


def test_time_masks_are_stretches_of_the_mean_inside_the_recording() -> None:
    values, lengths = recordings(400)
    drawn = Draws(0, torch.arange(400), 0, lengths)
    masked = TimeMask(5, 0.4, 1)(values, drawn)
    widths = []
    for before, after, length in zip(values, masked, lengths.tolist(), strict=True):
        changed = (before != after)[:length].any(1).nonzero().flatten().tolist()
        assert bool((after[length:] == after[length - 1]).all())
        widths.append(len(changed))
        assert changed == list(range(changed[0], changed[-1] + 1)) if changed else True
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


def test_speed_stretches_time_as_a_loop_over_frames_does() -> None:
    values, lengths = recordings()
    drawn = Draws(5, torch.arange(40), 1, lengths)
    found, shown = Speed(0.4)(values, drawn), Speed(0.4).shown_positions(30, drawn)
    factors, begins = drawn.uniform("factor").tolist(), drawn.uniform("begin").tolist()
    rows = zip(values.tolist(), lengths.tolist(), factors, begins, strict=True)
    for row, (frames, length, factor, begin) in enumerate(rows):
        speed, last = 0.6 + 0.8 * factor, length - 1
        for t in range(length):
            time = min(max(begin * (1 - speed) * last + speed * t, 0.0), float(last))
            before = int(time)
            after, share = min(before + 1, last), time - before
            expected = [(1 - share) * a + share * b for a, b in zip(frames[before], frames[after], strict=True)]
            assert found[row, t].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)
            assert int(shown[row, t]) == math.floor(time + 0.5)
        assert shown[row, length:].tolist() == list(range(length, 30))


def test_a_label_moves_with_the_frame_that_it_describes() -> None:
    # a frame is its own number, so what is shown tells which label it needs
    at = torch.arange(30).expand(60, -1)
    lengths = torch.randint(3, 31, (60,), generator=torch.Generator().manual_seed(1))
    labels = torch.where(at < lengths[:, None], at, -1)
    mask = at % 3 > 0
    names = tuple(map(str, range(30)))
    source = Source("words", at[:, :, None].float(), labels, names, lengths=lengths, mask=mask)
    for view in (Speed(0.4), Noise() + Speed(0.2) + Speed(0.3)):
        for batch in Loader(Samples.all_of(source), 20, seed=3, views=view).in_order():
            is_frame = at[:20, : batch.labels.shape[1]] < lengths[batch.ids][:, None]
            if view == Speed(0.4):
                # a half may be rounded either way, because the input is a float32
                distance = (batch.labels - batch.inputs[..., 0]).abs()
                assert float(distance[is_frame].max()) <= 0.5 + 1e-5
            assert bool((batch.labels[~is_frame] == -1).all())
            assert torch.equal(batch.mask, is_frame & (batch.labels % 3 > 0))
            assert torch.equal(batch.valid(), batch.mask.flatten().nonzero().flatten())
            assert batch.count() == int(batch.mask.sum())
            assert torch.equal(batch.part(3, 9).shown, batch.shown[3:9])


def test_a_column_that_a_teacher_reads_moves_with_the_frames() -> None:
    values = torch.arange(20.0).expand(6, -1)[:, :, None]
    labels = torch.zeros(6, 20, dtype=torch.long)
    source = Source("words", values, labels, ("a", "b"), columns={"clean": Held(2 * values)})
    batch = Loader(Samples.all_of(source), 6, seed=0, views=Speed(0.3)).batch(0)
    assert torch.equal(batch.column("clean")[..., 0], 2.0 * batch.shown)
    assert not torch.equal(batch.shown, torch.arange(20).expand(6, -1))


def test_noise_adds_energies_as_a_loop_over_frames_does() -> None:
    values, lengths = recordings(12)
    drawn = Draws(5, torch.arange(12), 1, lengths)
    found = Noise(5, 25)(values, drawn)
    ratios = drawn.uniform("ratio").tolist()
    sizes, angles = (((drawn.table((30, 6), name) >> 11).double() + 0.5) / 2**52 for name in ("length", "angle"))
    for row, length in enumerate(lengths.tolist()):
        for band in range(6):
            energies = [math.exp(x) for x in values[row, :length, band].tolist()]
            noise = math.fsum(energies) / length / 10 ** ((5 + 20 * ratios[row]) / 10)
            for t in range(length):
                z = math.sqrt(-math.log(float(sizes[row, t, band])))
                angle = 2 * math.pi * float(angles[row, t, band])
                real = math.sqrt(energies[t]) + math.sqrt(noise) * z * math.cos(angle)
                imaginary = math.sqrt(noise) * z * math.sin(angle)
                expected = math.log(real**2 + imaginary**2)
                assert float(found[row, t, band]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_noise_has_the_energy_that_was_asked_for_in_each_band() -> None:
    values = torch.tensor([0.0, 3.0, -40.0, 60.0]).expand(1, 20_000, 4)  # bands far apart
    for ratio in (-10, 0, 10):
        found = Noise(ratio, ratio)(values, Draws(0, torch.arange(1), 0)).double()
        added = (found - values).exp().mean(1) - 1  # in units of the energy of the recording
        assert torch.allclose(added, torch.full((1, 4), 10 ** (-ratio / 10), dtype=torch.float64), rtol=0.05)


def test_a_store_of_changed_recordings_trains_as_the_teacher_itself(tmp_path: Path) -> None:
    values, lengths = recordings(24, 20)
    at = torch.arange(20).expand(24, -1)
    labels = torch.where(at < lengths[:, None], at % 3, -1)
    data = load_data((values, labels, values, labels), unlabelled=-1)
    network = {"name": "frame-net", "arguments": {"widths": [8], "context": [2, 2]}}
    options: dict[str, Any] = {"epochs": 1, "show": False}
    teacher = instar.train(data, network, out=tmp_path / "teacher", **options)
    options |= {"views": "Speed(0.3) + Noise(0, 20) + TimeMask(4, 0.5, 2)", "num_views": 2}
    exact = {"online": None, "store": {"store.dtype": "float32"}}
    online, stored = (
        instar.distill(data, teacher, network, out=tmp_path / name, targets=name, settings=settings, **options)
        for name, settings in exact.items()
    )
    weights = [run.model.state_dict() for run in (online, stored)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


@pytest.mark.parametrize("view", VIEWS[:4], ids=str)
def test_what_is_no_recording_is_refused(view: View) -> None:
    for inputs in (torch.zeros(2, 3, 4, 5), torch.zeros(2, 5), torch.zeros(2, 3, 4, dtype=torch.long)):
        with pytest.raises(MismatchError, match=r"needs frames of recordings \[batch, frames, bands\]"):
            view(inputs, Draws(0, torch.arange(2), 0))
    assert parse_views(str(view)) == view


def test_more_bands_than_a_recording_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"FrequencyMask\(8\) masks more bands than the 6 of a recording"):
        FrequencyMask(8)(recordings()[0], Draws(0, torch.arange(40), 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Speed(1)", r"Speed\(change\) must be .*above 0 and below 1, got 1"),
        ("Speed(0)", r"Speed\(change\) must be .*above 0 and below 1, got 0"),
        ("Noise(30, 10)", r"Noise\(low\) must be at most high, got 30 and 10"),
        ("Noise(0, 200)", r"Noise\(high\) must be at most 100, got 200"),
    ],
)
def test_impossible_speeds_and_noises_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_views(text)
