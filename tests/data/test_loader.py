"""Batches as a function of the step: order, views, parts, and where inputs are stored."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.data import Batch, Crop, Flip, Identity, Loader, Samples, Source, View, placement
from instar.data import loader as loader_module
from instar.seeds import Draws, derive

few = settings(deadline=None, derandomize=True, max_examples=30)


def samples(number: int = 23, skip: int = 0) -> Samples:
    """Images that tell their id; the first `skip` ids are not among the samples."""
    inputs = (torch.arange(number + skip) % 256).to(torch.uint8)[:, None, None, None].repeat(1, 1, 6, 6)
    inputs[:, :, 0, 0] = 255  # a corner, so that every augmentation shows
    source = Source("numbered", inputs, torch.arange(number + skip) % 3, ("a", "b", "c"))
    return Samples.all_of(source).select(torch.arange(skip, number + skip))


def epoch(loader: Loader, number: int = 0) -> list[Batch]:
    return [loader.batch(number * loader.steps_per_epoch + at) for at in range(loader.steps_per_epoch)]


def same(one: Batch, other: Batch) -> bool:
    return (
        one.view == other.view
        and torch.equal(one.ids, other.ids)
        and torch.equal(one.inputs, other.inputs)
        and torch.equal(one.labels, other.labels)
    )


@few
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 5), st.integers(0, 1000))
def test_every_epoch_is_a_permutation_in_full_batches_and_two_that_share_the_rest(
    number: int, batch_size: int, which: int, seed: int
) -> None:
    loader = Loader(samples(number, skip=4), batch_size, seed=seed)
    batches = epoch(loader, which)
    ids = torch.cat([batch.ids for batch in batches])
    sizes = [len(batch) for batch in batches]
    assert ids.sort().values.tolist() == list(range(4, number + 4))
    assert all(size == batch_size for size in sizes[:-2])
    assert max(sizes) <= batch_size
    assert max(sizes[-2:]) - min(sizes[-2:]) <= 1
    assert len(batches) == -(-number // batch_size)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def orders(seed: int) -> list[tuple[int, ...]]:
        loader = Loader(samples(), 23, seed=seed)
        return [tuple(loader.batch(step).ids.tolist()) for step in range(3)]

    assert len({*orders(0), *orders(1)}) == 6
    assert tuple(range(23)) not in orders(0)


@pytest.mark.parametrize("views", [Identity(), Crop(2) + Flip()], ids=str)
def test_a_batch_is_a_pure_function_of_its_step(views: View) -> None:
    steps = list(range(30))
    asked_in_turn = Loader(samples(), 5, seed=3, views=views)
    expected = [asked_in_turn.batch(step) for step in steps]
    shuffled = random.Random(0).sample(steps, len(steps))
    asked_anyhow = Loader(samples(), 5, seed=3, views=views)
    assert all(same(asked_anyhow.batch(step), expected[step]) for step in shuffled)
    assert all(same(Loader(samples(), 5, seed=3, views=views).batch(step), expected[step]) for step in shuffled[:5])


def test_inputs_and_labels_belong_to_the_ids() -> None:
    hidden = samples(skip=4).drop_labels(0.5, seed=0)
    label_of = dict(zip(hidden.ids.tolist(), hidden.labels.tolist(), strict=True))
    for batch in epoch(Loader(hidden, 5, seed=0)):
        assert batch.inputs[:, 0, 3, 3].tolist() == batch.ids.tolist()
        assert batch.labels.tolist() == [label_of[i] for i in batch.ids.tolist()]


def test_a_view_of_a_sample_is_the_same_whatever_batch_it_is_in() -> None:
    def views_of_samples(batch_size: int) -> dict[int, list[int]]:
        loader = Loader(samples(), batch_size, seed=9, views=Crop(2) + Flip())
        batches = epoch(loader, 2)
        return {int(i): x.flatten().tolist() for batch in batches for i, x in zip(batch.ids, batch.inputs, strict=True)}

    assert views_of_samples(4) == views_of_samples(23)


def test_views_come_from_the_seed_the_id_and_the_epoch() -> None:
    some = samples(skip=4)
    batch = Loader(some, 8, seed=9, views=Crop(2)).batch(5)  # three steps an epoch
    plain = some.source.inputs[batch.ids]
    assert batch.view == 1
    assert torch.equal(batch.inputs, Crop(2)(plain, Draws(derive(9, "views"), batch.ids, 1)))


@pytest.mark.parametrize(
    ("views", "num_views", "expected"),
    [(Crop(2), None, [0, 1, 2, 3, 4]), (Crop(2), 2, [0, 1, 0, 1, 0]), (Identity(), None, [0] * 5), (None, 7, [0] * 5)],
)
def test_views_are_used_in_turn(views: View | None, num_views: int | None, expected: list[int]) -> None:
    loader = Loader(samples(), 23, seed=0, views=views, num_views=num_views)
    assert [loader.batch(step).view for step in range(5)] == expected


def test_a_view_comes_back_with_the_same_pixels() -> None:
    loader = Loader(samples(), 23, seed=0, views=Crop(2), num_views=2)
    first, second, third = (batch.inputs[batch.ids.argsort()] for batch in map(loader.batch, range(3)))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_in_order_goes_through_all_ids_in_one_view() -> None:
    loader = Loader(samples(skip=4), 5, seed=0, views=Crop(2))
    batches = list(loader.in_order(view=3))
    trained = Loader(samples(skip=4), 23, seed=0, views=Crop(2)).batch(3)
    assert torch.cat([batch.ids for batch in batches]).tolist() == list(range(4, 27))
    assert {batch.view for batch in batches} == {3}
    assert torch.equal(torch.cat([batch.inputs for batch in batches]), trained.inputs[trained.ids.argsort()])


def test_asking_in_order_does_not_disturb_training() -> None:
    loader = Loader(samples(), 5, seed=0, views=Crop(2))
    expected = loader.batch(7)
    list(loader.in_order(view=2))
    assert same(loader.batch(7), expected)


@few
@given(st.integers(1, 20), st.integers(1, 25))
def test_parts_of_a_batch_are_the_batch(number: int, parts: int) -> None:
    mask = torch.arange(number)[:, None] % 3 >= torch.arange(3)
    ids = torch.arange(number)
    batch = Batch(ids, 4, ids.float()[:, None], ids % 3, mask)
    found = list(batch.parts(parts))
    assert torch.equal(torch.cat([part.ids for part in found]), batch.ids)
    assert torch.equal(torch.cat([part.inputs for part in found]), batch.inputs)
    assert torch.equal(torch.cat([part.labels for part in found]), batch.labels)
    assert {part.view for part in found} == {4}
    assert len(found) == min(parts, number)
    assert max(map(len, found)) - min(map(len, found)) <= 1
    assert sum(part.count() for part in found) == batch.count() == int(mask.sum())


def test_without_a_mask_every_sample_counts() -> None:
    assert Loader(samples(), 5, seed=0).batch(0).count() == len(Loader(samples(), 5, seed=0).batch(0))


@pytest.mark.parametrize("ahead", [2, 3, 100])
def test_batches_that_are_made_ahead_are_the_same(ahead: int) -> None:
    plain, early = (Loader(samples(), 5, seed=3, views=Crop(2) + Flip()) for _ in range(2))
    early._ahead = ahead  # what an accelerator would choose
    steps = list(range(12))
    for step in steps + random.Random(0).sample(steps, len(steps)):
        expected, found = plain.batch(step), early.batch(step)
        assert same(expected, found)
        assert (found.step, found.seed) == (step, 3)


def test_loaders_of_one_source_share_its_copy_on_a_device() -> None:
    some = samples()
    train, validation = some.split(0.5, seed=0)
    loaders = [Loader(part, 5, seed=0, device="meta") for part in (train, validation)]
    assert loaders[0]._inputs is loaders[1]._inputs
    assert loaders[0]._inputs.device.type == "meta"


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device has memory for what has more than one dimension."""
    original = placement.copy_to_device

    def copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        if tensor.dim() > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate too much")
        return original(tensor, device)

    monkeypatch.setattr(placement, "copy_to_device", copied)


@pytest.mark.usefixtures("no_room")
def test_inputs_that_do_not_fit_on_the_device_stay_on_the_host_and_stderr_is_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    some = samples(number=23, skip=4)
    for _ in range(2):
        loader = Loader(some, 5, seed=0, device="meta", views=Crop(2))
        for batch in [*epoch(loader, 1), *loader.in_order()]:
            assert {batch.inputs.device.type, batch.labels.device.type, batch.ids.device.type} == {"meta"}
            assert batch.inputs.shape == (len(batch), 1, 6, 6)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the inputs of 'numbered' (0 MB) do not fit in the memory of meta; they stay on the host" in said


@pytest.mark.usefixtures("no_room")
def test_inputs_that_stay_on_the_host_are_those_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[torch.Tensor] = []

    def gathered(inputs: torch.Tensor, places: torch.Tensor, device: torch.device) -> torch.Tensor:
        found.append(inputs[places])  # on the CPU, before they go where nobody can read them
        return placement.gather_inputs(inputs, places, device)

    plain = Loader(samples(skip=4), 5, seed=3)
    expected = [batch.inputs for batch in (*epoch(plain, 1), *plain.in_order())]
    monkeypatch.setattr(loader_module, "gather_inputs", gathered)
    far = Loader(samples(skip=4), 5, seed=3, device="meta")
    assert len([*epoch(far, 1), *far.in_order()]) == len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
