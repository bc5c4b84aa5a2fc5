"""Data of specialists: what an epoch holds, what becomes of the rest, and what is refused."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.config import DataConfig, validate
from instar.data import UNLABELLED, Batch, Crop, Data, Flip, Loader, Samples, Source, View, load_data
from instar.data.special import DUSTBIN, select_special_classes
from instar.errors import ConfigError, DataError

few = settings(deadline=None, derandomize=True, max_examples=40)
INPUTS = np.arange(100, dtype=np.float64)[:, None].repeat(4, 1)
LABELS = np.arange(100) % 5


def arrays(**selection: object) -> Data:
    return load_data((INPUTS, LABELS, INPUTS[:20], LABELS[:20]), **selection)


def samples(special: int, rest: int) -> Samples:
    """Images that tell their id; ids 0, 1 and 2 are not among the samples, and special ones lie among the others."""
    number = special + rest
    inputs = (torch.arange(number + 3) % 256).to(torch.uint8)[:, None, None, None].repeat(1, 1, 6, 6)
    inputs[:, :, 0, 0] = 255  # a corner, so that every augmentation shows
    source = Source("numbered", inputs, torch.arange(number + 3) % 3, ("a", "b", "c"))
    is_special = torch.zeros(number, dtype=torch.bool)
    is_special[torch.randperm(number, generator=torch.Generator().manual_seed(0))[:special]] = True
    ids = torch.arange(3, number + 3)
    return Samples(source, ids, source.labels[ids], is_special)


def special_ids(some: Samples) -> list[int]:
    assert some.special is not None
    return some.ids[some.special].tolist()


def epoch(loader: Loader, number: int = 0) -> list[Batch]:
    return [loader.batch(number * loader.steps_per_epoch + at) for at in range(loader.steps_per_epoch)]


def halves(loader: Loader, number: int = 0) -> tuple[list[int], list[int]]:
    """Return ids of an epoch in their order: special ones, and those of the rest."""
    known = set(special_ids(loader.samples))
    ids = [i for batch in epoch(loader, number) for i in batch.ids.tolist()]
    return [i for i in ids if i in known], [i for i in ids if i not in known]


def held_out(data: Data) -> Samples:
    assert data.held_out is not None
    return data.held_out


def same(one: Batch, other: Batch) -> bool:
    return one.view == other.view and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in ("ids", "inputs", "labels")
    )


@few
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 70), st.integers(0, 5), st.integers(0, 1000))
def test_half_of_an_epoch_is_every_special_sample_once_and_half_is_drawn_from_the_rest(
    special: int, rest: int, batch_size: int, which: int, seed: int
) -> None:
    some = samples(special, rest)
    loader = Loader(some, batch_size, seed=seed)
    found, drawn = halves(loader, which)
    sizes = [len(batch) for batch in epoch(loader, which)]
    assert sorted(found) == special_ids(some)
    assert len(drawn) == special
    assert not set(drawn) - set(some.ids.tolist())
    times = [drawn.count(i) for i in some.ids.tolist() if i not in found]
    assert max(times) - min(times) <= 1  # none a second time before all were there once
    assert sum(sizes) == some.epoch(1).size == 2 * special
    assert loader.steps_per_epoch == len(sizes) == -(-2 * special // batch_size)
    assert all(size == batch_size for size in sizes[:-2])
    assert max(sizes) <= batch_size
    assert max(sizes[-2:]) - min(sizes[-2:]) <= 1


def test_epochs_and_seeds_draw_a_rest_and_an_order_of_their_own() -> None:
    some = samples(8, 60)
    found = [halves(Loader(some, 5, seed=seed), which) for seed in (0, 1) for which in range(4)]
    assert len({tuple(sorted(drawn)) for _, drawn in found}) == 8
    assert len({tuple(special) for special, _ in found}) == 8
    loader = Loader(some, 16, seed=0)
    assert {i for which in range(60) for i in halves(loader, which)[1]} == set(some.ids.tolist()) - set(found[0][0])


def test_both_halves_are_mixed() -> None:
    some = samples(200, 400)
    shares = [np.isin(batch.ids, special_ids(some)).mean() for batch in epoch(Loader(some, 40, seed=0))]
    assert all(0.2 < share < 0.8 for share in shares)


@pytest.mark.parametrize("views", [None, Crop(2) + Flip()], ids=str)
@pytest.mark.parametrize("rest", [5, 50])
def test_a_batch_is_a_pure_function_of_its_step(rest: int, views: View | None) -> None:
    def loader() -> Loader:
        return Loader(samples(12, rest), 5, seed=3, views=views)

    steps = list(range(20))
    in_turn = loader()
    expected = [in_turn.batch(step) for step in steps]
    shuffled = random.Random(0).sample(steps, len(steps))
    anyhow, early = loader(), loader()
    early._ahead = 3  # what an accelerator would choose
    assert all(same(anyhow.batch(step), expected[step]) for step in shuffled)
    assert all(same(early.batch(step), expected[step]) for step in shuffled)
    assert all(same(loader().batch(step), expected[step]) for step in shuffled[:5])  # as after a kill


def test_inputs_labels_and_order_belong_to_the_ids() -> None:
    some = samples(12, 30)
    for batch in epoch(Loader(some, 5, seed=0), 1):
        assert batch.inputs[:, 0, 3, 3].tolist() == batch.ids.tolist()
        assert torch.equal(batch.labels, batch.ids % 3)
        assert batch.order is not None
        assert len(batch.order) == some.epoch(1).size
        assert torch.equal(batch.order[batch.place : batch.place + len(batch)], batch.ids)


def test_in_order_goes_through_all_samples_once() -> None:
    some = samples(4, 30)
    assert torch.cat([batch.ids for batch in Loader(some, 5, seed=0).in_order()]).tolist() == some.ids.tolist()


def test_a_selection_of_samples_keeps_what_is_special() -> None:
    some = samples(10, 20)
    parts = [*some.split(0.4, seed=0), some.subset(15, seed=0), some.select(some.ids % 2 == 0), some.drop_labels(1, 0)]
    for part in parts:
        assert special_ids(part) == [i for i in part.ids.tolist() if i in special_ids(some)]


def test_without_special_classes_an_epoch_is_all_samples() -> None:
    train = arrays(validation=0.2).train
    assert train.special is None
    assert train.epoch(1).size == len(train) == 80


def test_rows_of_a_batch_are_its_samples_in_no_order() -> None:
    ids = torch.arange(10, 16)
    mask = torch.arange(6)[:, None] % 3 >= torch.arange(3)
    batch = Batch(ids, 4, ids[:, None] + 0.5, ids % 3, mask, step=7, seed=9, order=torch.arange(50), place=10)
    index = torch.tensor([5, 0, 0, 2])
    found = batch.rows(index)
    assert found.ids.tolist() == [15, 10, 10, 12]
    assert found.inputs.flatten().tolist() == [15.5, 10.5, 10.5, 12.5]
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert found.mask is not None
    assert torch.equal(found.mask, mask[index])
    assert (found.view, found.step, found.seed, found.order) == (4, 7, 9, None)
    assert found.count() == int(mask[index].sum())
    assert Batch.of_labels(ids).rows(index).mask is None


@pytest.mark.parametrize("rest", ["labelled", "dustbin", "unlabelled"])
def test_the_digits_of_a_specialist(rest: str) -> None:
    data, whole = load_data("digits", special_classes=["8", "3"], rest=rest), load_data("digits")
    is_special = (whole.train.labels == 8) | (whole.train.labels == 3)
    assert torch.equal(data.train.ids, whole.train.ids)
    assert special_ids(data.train) == whole.train.ids[is_special].tolist()
    assert data.train.epoch(1).size == 2 * int(is_special.sum()) < len(data.train)
    assert torch.equal(data.train.inputs(), whole.train.inputs())
    assert torch.equal(data.test.inputs(), whole.test.inputs())
    assert data.test.special is None
    assert Loader(data.train, 32, seed=0).steps_per_epoch == -(-data.train.epoch(1).size // 32)


def test_a_dustbin_is_one_class_for_all_others_behind_the_named_ones() -> None:
    data, whole = load_data("digits", special_classes=["8", "3"], rest="dustbin"), load_data("digits")
    new = torch.full((10,), 2)
    new[8], new[3] = 0, 1  # in the order in which they were named
    assert data.classes == data.test.source.classes == ("8", "3", DUSTBIN)
    assert data.train.num_classes == 3
    for name in ("train", "validation", "test"):
        part = data.split(name)
        old = dict(enumerate(whole.split(name).source.labels.tolist()))
        expected = new[torch.tensor([old[i] for i in part.ids.tolist()])]
        assert torch.equal(part.labels, expected)
        assert torch.equal(part.source.labels[part.ids], expected)
        assert part.source.name == whole.split(name).source.name


def test_unlabelled_hides_the_labels_of_the_rest_in_train_alone() -> None:
    data, whole = load_data("digits", special_classes=["8", "3"], rest="unlabelled"), load_data("digits")
    special = data.train.special
    assert special is not None
    assert data.classes == whole.classes
    assert torch.equal(data.train.labels[special], whole.train.labels[special])
    assert (data.train.labels[~special] == UNLABELLED).all()
    assert torch.equal(data.test.labels, whole.test.labels)
    assert torch.equal(held_out(data).labels, whole.train.source.labels[held_out(data).ids])
    assert data.train.source.fingerprint() == whole.train.source.fingerprint()


def test_labelled_changes_no_label() -> None:
    data, whole = load_data("digits", special_classes=["8", "3"]), load_data("digits")
    assert data.config.rest == "labelled"
    assert torch.equal(data.train.labels, whole.train.labels)
    assert data.classes == whole.classes


@pytest.mark.parametrize("rest", ["labelled", "dustbin", "unlabelled"])
def test_validation_is_half_special_and_always_the_same(rest: str) -> None:
    chosen = {"special_classes": ["1", "3"], "rest": rest, "validation": 0.4}
    found, whole = held_out(arrays(**chosen)), held_out(arrays(validation=0.4))
    old = torch.from_numpy(LABELS)[found.ids]
    is_special = (old == 1) | (old == 3)
    assert set(found.ids.tolist()) <= set(whole.ids.tolist())
    assert found.ids[is_special].tolist() == whole.ids[(whole.labels == 1) | (whole.labels == 3)].tolist()
    assert len(found) == 2 * int(is_special.sum()) == len(set(found.ids.tolist()))
    assert found.special is None
    assert torch.equal(found.ids, held_out(arrays(**chosen)).ids)


def test_the_split_seed_decides_which_others_are_in_validation() -> None:
    whole = arrays(validation=0.4)
    config = [validate(DataConfig, {"source": "arrays", "special_classes": ["1"], "split_seed": n}) for n in (0, 0, 1)]
    ids = [
        found.ids.tolist()
        for _, found, _ in (select_special_classes(c, whole.train, whole.validation, whole.test) for c in config)
        if found is not None
    ]
    assert ids[0] == ids[1] != ids[2]
    assert {i for i in ids[0] if i % 5 == 1} == {i for i in ids[2] if i % 5 == 1}


def test_validation_without_a_special_sample_is_left_as_it_is() -> None:
    whole = arrays(validation=0.4)
    config = validate(DataConfig, {"source": "arrays", "special_classes": ["1"]})
    others = held_out(whole).omit_classes(["1"])
    _, found, _ = select_special_classes(config, whole.train, others, whole.test)
    assert found is not None
    assert torch.equal(found.ids, others.ids)


@pytest.mark.parametrize("rest", ["labelled", "dustbin", "unlabelled"])
def test_training_on_all_leaves_nothing_to_validate_on(rest: str) -> None:
    data = arrays(special_classes=["1"], rest=rest, validation=0.4, train_on_all=True)
    assert data.held_out is None
    assert len(data.train) == 100
    assert special_ids(data.train) == list(range(1, 100, 5))
    assert arrays(special_classes=["1"], rest=rest, validation=0).held_out is None


def test_fingerprints_tell_the_classes_of_a_dustbin_apart() -> None:
    def found(**chosen: object) -> tuple[str, ...]:
        return tuple(arrays(**chosen).fingerprints().values())

    plain = found()
    assert found(special_classes=["1"]) == found(special_classes=["2"], rest="unlabelled") == plain
    dustbins = [found(special_classes=names, rest="dustbin") for names in (["1"], ["2"], ["1", "2"], ["2", "1"])]
    assert len({*dustbins, plain}) == 5
    assert found(special_classes=["1"], rest="dustbin") == dustbins[0]


def test_hidden_labels_are_of_the_rest() -> None:
    for rest in ("labelled", "dustbin", "unlabelled"):
        train = arrays(special_classes=["1"], rest=rest, drop_labels=0.5, validation=0).train
        label = 0 if rest == "dustbin" else 1
        assert special_ids(train) == train.ids[train.labels == label].tolist()
        assert all(i % 5 == 1 for i in special_ids(train))
        assert 0 < train.epoch(1).size < 40
        assert int((train.labels == UNLABELLED).sum()) >= 50
    dustbin = arrays(special_classes=["1"], rest="dustbin", drop_labels=0.5, validation=0).train
    assert int((dustbin.labels == UNLABELLED).sum()) == 50  # hidden ones do not come to light in the dustbin


def test_unlabelled_samples_of_a_source_are_of_the_rest() -> None:
    labels = np.where(np.arange(100) < 50, LABELS, UNLABELLED)
    data = load_data(
        (INPUTS, labels, INPUTS, LABELS), special_classes=["1"], rest="dustbin", validation=0, unlabelled=-1
    )
    assert special_ids(data.train) == list(range(1, 50, 5))
    assert data.train.labels[50:].unique().tolist() == [UNLABELLED]
    assert data.test.labels.tolist() == [0 if i % 5 == 1 else 1 for i in range(100)]


def test_more_special_samples_than_others_show_the_others_again() -> None:
    data = arrays(special_classes=["0", "1", "2", "3"], validation=0)
    found, drawn = halves(Loader(data.train, 32, seed=0))
    assert len(found) == len(drawn) == 80
    assert [drawn.count(i) for i in range(4, 100, 5)] == [4] * 20


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"special_classes": ["7"]}, r"class '7' is not in 'train arrays'; known are: 0, 1, 2, 3, 4"),
        ({"special_classes": ["1", "2", "1"]}, r"'special_classes' names a class twice\."),
        ({"special_classes": list("01234")}, r"'train arrays' has no training samples of the rest\."),
        ({"special_classes": ["1"], "keep_classes": ["1"]}, "no training samples of the rest"),
        ({"special_classes": ["1"], "omit_classes": ["1"]}, r"no training samples of special class '1'"),
        ({"special_classes": ["1"], "drop_labels": 1.0}, "no training samples of special class '1'"),
        ({"special_classes": [DUSTBIN], "rest": "dustbin"}, r"class '\(all others\)' is not in"),
    ],
)
def test_impossible_specialists_are_refused(chosen: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        arrays(**chosen)


def test_a_class_that_is_called_as_the_dustbin_is_cannot_be_special() -> None:
    source = Source("own", torch.zeros(4, 2), torch.tensor([0, 1, 2, 2]), ("a", "b", DUSTBIN))
    own = Samples.all_of(source)
    config = validate(DataConfig, {"source": "own", "special_classes": ["a", DUSTBIN], "rest": "dustbin"})
    with pytest.raises(DataError, match=r"'\(all others\)' is the name of the dustbin class and cannot be a special"):
        select_special_classes(config, own, None, own)


@pytest.mark.parametrize("rest", ["dustbin", "unlabelled"])
def test_a_rest_beside_nothing_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError, match=rf"rest '{rest}' needs special_classes, got none\."):
        arrays(rest=rest)
    with pytest.raises(ConfigError, match=r"'rest'.*'labelled', 'dustbin' or 'unlabelled'"):
        arrays(rest="dropped", special_classes=["1"])


@pytest.mark.parametrize("rest", ["labelled", "dustbin", "unlabelled"])
def test_the_configuration_makes_the_same_data_again(rest: str) -> None:
    data = load_data("digits", special_classes=["8", "3"], rest=rest, subset=300, drop_labels=0.1)
    again = load_data(validate(DataConfig, data.config.model_dump(mode="json")))
    selected = load_data("digits").select(special_classes=["8", "3"], rest=rest, subset=300, drop_labels=0.1)
    for other in (again, selected):
        assert other.config == data.config
        assert other.fingerprints() == data.fingerprints()
        assert other.classes == data.classes
        for name in ("train", "validation", "test"):
            one, two = data.split(name), other.split(name)
            assert torch.equal(one.ids, two.ids)
            assert torch.equal(one.labels, two.labels)
        assert special_ids(other.train) == special_ids(data.train)
        assert same(Loader(data.train, 32, seed=5).batch(17), Loader(other.train, 32, seed=5).batch(17))


def test_a_special_class_without_training_samples_is_refused_among_others() -> None:
    with pytest.raises(DataError, match="no training samples of special class '2'"):
        arrays(special_classes=["1", "2"], keep_classes=["1", "4"], validation=0)


def test_validation_is_half_and_half_where_most_classes_are_special() -> None:
    data = load_data("digits", special_classes=list("01234567"))
    special = data.validation.labels < 8
    assert 0 < special.sum() == (~special).sum()


def test_only_samples_with_a_label_are_the_other_half_of_validation() -> None:
    labels = LABELS.copy()
    labels[labels == 4] = UNLABELLED
    data = load_data((INPUTS, labels, INPUTS, LABELS), special_classes=["1"], validation=0.3, unlabelled=-1)
    assert (data.validation.labels != UNLABELLED).all()


def test_another_selection_of_reduced_data_is_one_of_the_whole() -> None:
    reduced = load_data("digits", special_classes=["3", "5"], rest="dustbin")
    assert reduced.select(rest="labelled").classes == load_data("digits").classes
    again = reduced.select(special_classes=["4"])
    assert again.classes == ("4", DUSTBIN)
    assert again.fingerprints() == load_data("digits", special_classes=["4"], rest="dustbin").fingerprints()
