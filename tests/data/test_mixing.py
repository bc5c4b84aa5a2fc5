"""Mixed samples: what they are by hand, that a batch changes nothing about them, and what cannot be mixed."""

import random

import numpy as np
import pytest
import torch
from scipy import stats

from instar.data import (
    UNLABELLED,
    Batch,
    Crop,
    CutMix,
    Flip,
    Identity,
    Loader,
    Mixup,
    Samples,
    Source,
    as_view,
    placement,
)
from instar.data.views.mixing import draw_ratios
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws, derive

NUMBER = 40
SUMS = [
    "Mixup(0.4)",
    "RandomResizedCrop(5) + Mixup(1)",
    "CutMix()",
    "Crop(2) + Flip() + Mixup(1)",
    "Flip() + CutMix() + Crop(1)",
    "Mixup(0.3) + Crop(2)",
]


def images(kind: torch.dtype = torch.uint8, **changes: object) -> Source:
    pixels = torch.randint(256, (NUMBER, 3, 8, 6), generator=torch.Generator().manual_seed(0))
    raw = pixels.to(torch.uint8) if kind == torch.uint8 else (pixels / 100 - 1).to(kind)
    return Source("pictures", raw, torch.arange(NUMBER) % 4, ("a", "b", "c", "d"), **changes)


SOME = Samples.all_of(images()).select(torch.arange(5, NUMBER, 2))


def mixed(batch: Batch) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    assert batch.mixture is not None
    return batch.mixture.partners, batch.mixture.labels.numpy(), batch.mixture.ratios.double().numpy()


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_mixup_is_the_weighted_mean_of_a_sample_and_its_partner_by_hand(kind: torch.dtype) -> None:
    source = images(kind)
    batch = Loader(Samples.all_of(source), NUMBER, seed=3, views=Mixup(1)).batch(2)
    partners, labels, ratios = mixed(batch)
    first, second = (source.inputs[ids].double().numpy() for ids in (batch.ids, partners))
    expected = ratios[:, None, None, None] * first + (1 - ratios[:, None, None, None]) * second
    assert batch.inputs.dtype == kind
    if kind == torch.uint8:  # exact: a ratio has 16 binary digits, so nothing is rounded before the whole number
        np.testing.assert_array_equal(batch.inputs.numpy(), np.rint(expected))
    else:
        tolerance = 1e-12 if kind == torch.float64 else 1e-6 if kind == torch.float32 else 1e-3
        np.testing.assert_allclose(batch.inputs.double().numpy(), expected, atol=tolerance)
    np.testing.assert_array_equal(labels, source.labels[partners].numpy())
    np.testing.assert_array_equal(batch.labels, source.labels[batch.ids])
    assert len(set(ratios)) == NUMBER
    assert (partners != batch.ids).any()


def cut_mix_by_hand(first: np.ndarray, second: np.ndarray, ratio: float, row: int, column: int) -> tuple:
    """The box and the ratio as in the published code, `rand_bbox` and what follows it, for one image."""
    height, width = first.shape[1:]
    cut_h, cut_w = int(height * np.sqrt(1 - ratio)), int(width * np.sqrt(1 - ratio))
    top, bottom = np.clip(row - cut_h // 2, 0, height), np.clip(row + cut_h // 2, 0, height)
    left, right = np.clip(column - cut_w // 2, 0, width), np.clip(column + cut_w // 2, 0, width)
    found = first.copy()
    found[:, top:bottom, left:right] = second[:, top:bottom, left:right]
    return found, 1 - (bottom - top) * (right - left) / (height * width)


def test_cut_mix_is_the_box_of_the_published_code() -> None:
    source = images()
    batch = Loader(Samples.all_of(source), NUMBER, seed=3, views=CutMix(1)).batch(2)
    partners, _, ratios = mixed(batch)
    draws = Draws(derive(3, "views"), batch.ids, 2)
    drawn = draw_ratios(1.0, 1.0, draws).numpy(), draws.below(8, "row").numpy(), draws.below(6, "column").numpy()
    for place, (ratio, row, column) in enumerate(zip(*drawn, strict=True)):
        first, second = source.inputs[batch.ids[place]].numpy(), source.inputs[partners[place]].numpy()
        found, share = cut_mix_by_hand(first, second, ratio, row, column)
        np.testing.assert_array_equal(batch.inputs[place], found)
        assert ratios[place] == pytest.approx(share, abs=1e-7)
    assert 0 < ratios.min() < 0.7 < ratios.max() <= 1


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0, 100.0])
def test_ratios_have_the_beta_distribution(alpha: float) -> None:
    found = draw_ratios(alpha, 1.0, Draws(1, torch.arange(20_000), 0)).numpy()
    assert stats.kstest(found, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_the_smallest_alpha_gives_ratios_of_0_and_1() -> None:
    found = draw_ratios(1e-3, 1.0, Draws(1, torch.arange(20_000), 0))
    assert found.isfinite().all()
    assert (float(found.min()), float(found.max())) == (0, 1)
    assert ((found > 0.01) & (found < 0.99)).double().mean() < 0.02
    assert abs(float(found.mean()) - 0.5) < 0.02


def test_a_probability_leaves_the_other_samples_as_they_are() -> None:
    source = images()
    batch = Loader(Samples.all_of(source), NUMBER, seed=3, views=Mixup(1, 0.5)).batch(0)
    whole = mixed(batch)[2] == 1
    assert 0.2 < whole.mean() < 0.8
    assert torch.equal(batch.inputs[whole], source.inputs[batch.ids[whole]])


def test_partners_are_drawn_evenly_from_the_selection_and_from_nothing_else() -> None:
    loader = Loader(SOME, 7, seed=0, views=Mixup(1))
    found = torch.cat([mixed(batch)[0] for view in range(200) for batch in loader.in_order(view)])
    ids, counts = found.unique(return_counts=True)
    assert ids.tolist() == SOME.ids.tolist()
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize("views", SUMS)
def test_a_mixed_sample_does_not_depend_on_its_batch(views: str) -> None:
    whole = {}
    for batch in Loader(SOME, len(SOME), seed=1, views=as_view(views)).in_order(view=3):
        for place, id in enumerate(batch.ids.tolist()):
            whole[id] = batch.inputs[place], *(found[place] for found in mixed(batch))
    shuffled = SOME.select(torch.randperm(len(SOME), generator=torch.Generator().manual_seed(0)))
    for samples, size in ((SOME, 1), (SOME, 5), (shuffled, 4)):
        loader = Loader(samples, size, seed=1, views=as_view(views))
        trained = [loader.batch(3 * loader.steps_per_epoch + at) for at in range(loader.steps_per_epoch)]
        for batch in [*loader.in_order(view=3), *(part for one in trained for part in one.parts(2))]:
            for place, id in enumerate(batch.ids.tolist()):
                inputs, *others = whole[id]
                assert torch.equal(batch.inputs[place], inputs)
                assert others == [found[place] for found in mixed(batch)]


def test_another_seed_or_view_draws_other_partners() -> None:
    found = [
        tuple(mixed(next(Loader(SOME, len(SOME), seed=seed, views=Mixup(1)).in_order(view)))[0].tolist())
        for seed in (0, 1)
        for view in (0, 1)
    ]
    assert len(set(found)) == 4


def test_views_before_are_those_of_each_sample_alone_and_views_after_are_of_the_mixture() -> None:
    sum_of_views = Crop(2) + Mixup(1) + Flip()
    batch = Loader(SOME, len(SOME), seed=1, views=sum_of_views).batch(0)
    partners, _, ratios = mixed(batch)
    # the first view of a sum draws as it does alone, so the crops are those of a loader without mixing
    cropped = next(Loader(SOME, len(SOME), seed=1, views=Crop(2)).in_order(0))
    crops = dict(zip(cropped.ids.tolist(), cropped.inputs, strict=True))
    flips = Flip()(
        torch.stack([torch.arange(6.0).expand(3, 8, 6)] * len(SOME)),
        Draws(derive(derive(1, "views"), "part", 2), batch.ids, 0),
    )
    for place, (id, partner) in enumerate(zip(batch.ids.tolist(), partners.tolist(), strict=True)):
        ratio = float(ratios[place])
        expected = (ratio * crops[id].double() + (1 - ratio) * crops[partner].double()).round()
        is_flipped = flips[place, 0, 0, 0] == 5
        assert torch.equal(batch.inputs[place].double(), expected.flip(-1) if is_flipped else expected)


def test_labels_that_are_hidden_or_without_a_loss_are_missing_at_the_partner_too() -> None:
    mask = torch.arange(NUMBER) % 5 != 0
    samples = Samples.all_of(images(mask=mask)).drop_labels(0.3, seed=0)
    batch = Loader(samples, NUMBER, seed=0, views=Mixup(1)).batch(0)
    partners, labels, _ = mixed(batch)
    expected = torch.where(mask, samples.labels, UNLABELLED)[partners]
    assert 0 < int((expected == UNLABELLED).sum()) < NUMBER
    np.testing.assert_array_equal(labels, expected)


def test_batches_that_are_made_ahead_are_mixed_alike() -> None:
    plain, early = (Loader(SOME, 5, seed=3, views=as_view(SUMS[3])) for _ in range(2))
    early._ahead = 3  # what an accelerator would choose
    for step in random.Random(0).sample(range(12), 12):
        expected, found = plain.batch(step), early.batch(step)
        assert torch.equal(expected.inputs, found.inputs)
        assert all(np.array_equal(one, other) for one, other in zip(mixed(expected), mixed(found), strict=True))


def test_inputs_that_stay_on_the_host_are_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "MAX_DEVICE_INPUT_BYTES", 0)
    batch = Loader(SOME, 5, seed=3, device="meta", views=Crop(1) + CutMix() + Flip()).batch(0)
    assert batch.inputs.shape == (5, 3, 8, 6)
    assert batch.mixture is not None
    assert {found.device.type for found in (batch.inputs, batch.mixture.partners, batch.mixture.labels)} == {"meta"}


def test_rows_of_numbers_may_be_mixed_but_have_no_box() -> None:
    rows = Samples.all_of(Source("table", torch.randn(9, 4), torch.arange(9) % 2, ("a", "b")))
    batch = Loader(rows, 9, seed=0, views=Mixup()).batch(0)
    assert batch.inputs.shape == (9, 4)
    with pytest.raises(MismatchError, match=r"view 'CutMix' needs images .*got inputs of shape \[9, 4\]"):
        Loader(rows, 9, seed=0, views=CutMix()).batch(0)


TOKENS = Source("reviews", torch.arange(12).reshape(4, 3), torch.tensor([0, 1, 0, 1]), ("bad", "good"))
FRAMES = Source("frames", torch.randn(4, 3, 2), torch.zeros(4, 3, dtype=torch.long), ("a", "b"))
HALVES = Samples(SOME.source, SOME.ids, SOME.labels, special=SOME.ids > 20)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (Samples.all_of(TOKENS), "Mixup.* cannot mix the samples of 'reviews', because they are tokens; leave it out"),
        (Samples.all_of(FRAMES), "'frames', because they have labels at positions"),
        (HALVES, "'pictures', because they are drawn half from special classes"),
    ],
)
def test_what_cannot_be_mixed_is_refused_by_its_name(samples: Samples, said: str) -> None:
    with pytest.raises(MismatchError, match=said):
        Loader(samples, 2, seed=0, views=Flip() + Mixup())


def test_two_mixing_views_and_a_view_without_a_loader_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"only one view of a sum may mix samples, got Mixup\(.* and CutMix\("):
        Loader(SOME, 2, seed=0, views=Mixup() + Flip() + CutMix())
    with pytest.raises(ConfigError, match="only a Loader can apply it"):
        (Flip() + Mixup())(SOME.inputs(), Draws(0, SOME.ids, 0))
    with pytest.raises(ConfigError, match=r"Mixup\(alpha\) must be from 0.001 to 1000, got 0"):
        Mixup(0)
    with pytest.raises(ConfigError, match=r"CutMix\(probability\) must be at most 1, got 1.5"):
        CutMix(1, 1.5)


def test_nothing_is_mixed_where_no_view_mixes() -> None:
    for views in (Identity(), Crop(2) + Flip()):
        loader = Loader(SOME, 5, seed=0, views=views)
        assert loader.batch(0).mixture is None
        assert loader.origin.partners is None
