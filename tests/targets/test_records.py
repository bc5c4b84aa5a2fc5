"""Records: targets are read as they were written, up to the rounding of their type."""

import math

import pytest
import torch

from instar.errors import ConfigError
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, MixtureTargets, Record, SparseTargets

HALF = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Largest relative difference by rounding to the nearest; bfloat16 has 8 bits, with a hidden one."""

every_number = pytest.mark.parametrize("number", list(HALF))
TEACHER = 3 * torch.randn(6, 20, generator=torch.Generator().manual_seed(0))


def there_and_back(record, values):
    targets = DenseTargets(values)
    records = record.encode(targets, Draws(0, torch.arange(len(values)), 0))
    assert records.dtype == torch.uint8
    assert records.shape == (*values.shape[:-1], record.width)
    return record.decode(records.clone())


@every_number
@pytest.mark.parametrize("shape", [(6, 20), (2, 3, 20), (3, 2, 1, 20)], ids=str)
def test_all_logits_come_back(number, shape):
    values = TEACHER.view(shape)
    found = there_and_back(Record(Keep("all"), number, 20, None), values)
    assert isinstance(found, DenseTargets)
    assert found.temperature is None
    if number == "float32":
        assert torch.equal(found.values, values)
    else:
        below = values - values.amax(-1, keepdim=True)
        assert ((found.values - below).abs() <= HALF[number] * below.abs() + 1e-7).all()
        assert (found.values.amax(-1) == 0).all()


@every_number
@pytest.mark.parametrize("offset", [1e5, -1e5, 3e30])
def test_a_large_offset_of_the_logits_does_not_overflow(number, offset):
    rounded = TEACHER.mul(8).round() if abs(offset) < 1e30 else torch.zeros_like(TEACHER)
    values = rounded + offset  # whole numbers, which the offset leaves as they are
    found = there_and_back(Record(Keep("all"), number, 20, None), values)
    assert torch.isfinite(found.values).all()
    torch.testing.assert_close(
        found.log_probs(4.0), torch.log_softmax(rounded / 4, -1), rtol=0, atol=HALF[number] * 64 + 1e-5
    )


@every_number
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_mixture_comes_back_at_its_temperature(number, temperature):
    mixture = MixtureTargets((DenseTargets(TEACHER), DenseTargets(TEACHER.flip(0))), torch.tensor([0.5, 0.5]).log())
    record = Record(Keep("all"), number, 20, temperature)
    found = record.decode(record.encode(mixture, Draws(0, torch.arange(6), 0)))
    expected = mixture.log_probs(temperature)
    error = 2 * HALF[number] * (expected - expected.amax(-1, keepdim=True)).abs().max().item()
    torch.testing.assert_close(found.log_probs(temperature), expected, rtol=0, atol=error + 1e-6)
    assert found.temperature == temperature


@every_number
@pytest.mark.parametrize("k", [1, 5, 19, 20])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_largest_come_back_with_the_mass_of_the_rest(number, k, temperature):
    found = there_and_back(Record(Keep("top", k), number, 20, temperature), TEACHER)
    assert isinstance(found, SparseTargets)
    assert (found.num_classes, found.temperature) == (20, temperature)
    p = torch.softmax(TEACHER.double() / temperature, -1)
    order = p.argsort(-1, descending=True)
    assert torch.equal(found.ids, order[:, :k])
    ordered = p.gather(1, order)
    expected = torch.cat([ordered[:, :k], ordered[:, k:].sum(-1, keepdim=True)], 1)
    tolerance = 2 * HALF[number] * -expected[expected > 0].log().min().item() + 1e-5  # of a log, once renormalised
    torch.testing.assert_close(found.kept.double(), expected, rtol=math.expm1(tolerance), atol=0)
    torch.testing.assert_close(found.kept.sum(-1), torch.ones(6))
    torch.testing.assert_close(found.entropy, torch.special.entr(found.kept).sum(-1))
    if k == 20:
        assert (found.rest == 0).all()


def test_log_probabilities_are_kept_to_the_bit():
    record = Record(Keep("top", 5), "float32", 20, 3.0)
    records = record.encode(DenseTargets(TEACHER), Draws(0, torch.arange(6), 0))
    kept = torch.log_softmax(TEACHER / 3, -1).sort(-1, descending=True).values[:, :5]
    assert torch.equal(records[:, :20].view(torch.float32), kept)


@every_number
def test_the_entropy_of_drawn_classes_comes_back(number):
    found = there_and_back(Record(Keep("sample", 50), number, 20, 1.0), TEACHER)
    p = torch.softmax(TEACHER.double(), -1)
    rounding = HALF[number] + 1e-5
    torch.testing.assert_close(found.entropy.double(), torch.special.entr(p).sum(-1), rtol=rounding, atol=0)
    torch.testing.assert_close(found.kept, torch.full((6, 50), 0.02))
    assert found.rest is None
    assert found.ids.shape == (6, 50)


@every_number
@pytest.mark.parametrize("gap", [5.0, 20.0, 27.6, 60.0])
def test_the_rest_of_a_teacher_that_is_sure_is_no_rounding_error(number, gap):
    values = torch.zeros(1, 1000)
    values[0, 3] = gap + math.log(999)  # the mass of the rest is exp(-gap) / (1 + exp(-gap)), down to 1e-26
    found = there_and_back(Record(Keep("top", 1), number, 1000, 1.0), values)
    exact = torch.softmax(values.double(), -1)
    expected = exact.sum().item() - exact[0, 3].item() if gap < 20 else math.exp(-gap)
    assert found.rest.item() > 0
    assert found.rest.item() == pytest.approx(expected, rel=math.expm1(HALF[number] * gap + 1e-4))
    assert found.kept[0, 0].item() == pytest.approx(1 - expected, rel=1e-4 + HALF[number] * math.exp(-gap) * 4)


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [(2, torch.uint8), (256, torch.uint8), (257, torch.uint16), (65536, torch.uint16), (65537, torch.int32)],
)
def test_ids_lie_in_the_smallest_type_and_come_back(classes, dtype):
    record = Record(Keep("top", 2), "float16", classes, 1.0)
    assert record.id_dtype == dtype
    values = torch.zeros(2, classes)
    values[0, -1], values[0, 0], values[1, 0], values[1, classes // 2] = 9.0, 8.0, 7.0, 9.0
    expected = [[classes - 1, 0], [classes // 2, 0]]
    assert there_and_back(record, values).ids.tolist() == expected
    drawn = there_and_back(Record(Keep("sample", 3), "float16", classes, 1.0), 100 * values)
    assert drawn.ids.tolist() == [[classes - 1] * 3, [classes // 2] * 3]


@pytest.mark.parametrize(
    ("keep", "number", "classes", "width"),
    [
        ("all", "float32", 10, 40),
        ("all", "float16", 10, 20),
        ("all", "bfloat16", 11, 24),  # 22 bytes, and 2 to the next multiple of 4
        ("all", "float32", 256, 1024),
        ("all", "float16", 513, 1088),  # 1026 bytes, to the next multiple of 64
        ("top:1", "float16", 10, 8),  # 2 numbers of 2, 1 id of 1
        ("top:32", "float16", 1000, 132),  # 33 * 2 + 32 * 2 = 130
        ("top:32", "float32", 256, 164),  # 33 * 4 + 32
        ("top:2", "float16", 70000, 16),  # 3 * 2, and 2 before the ids can begin, 2 * 4
        ("sample:5", "float16", 100, 8),  # 2 + 5 = 7
        ("sample:5", "bfloat16", 1000, 12),  # 2 + 5 * 2
        ("sample:1", "float16", 100000, 8),  # 2, 2 before the id, 4
    ],
)
def test_widths_by_hand(keep, number, classes, width):
    assert Record(Keep.parse(keep), number, classes, 1.0).width == width


def test_positions_of_a_sample_lie_behind_each_other():
    record = Record(Keep("top", 3), "float16", 20, 1.0)
    records = record.encode(DenseTargets(TEACHER.view(2, 3, 20)), Draws(0, torch.arange(2), 0))
    alone = record.encode(DenseTargets(TEACHER), Draws(0, torch.arange(6), 0))
    assert torch.equal(records.view(6, -1), alone)
    assert record.decode(records).ids.shape == (2, 3, 3)
    assert record.decode(records).cross_entropy(TEACHER.view(2, 3, 20), 1.0)[0].shape == (2, 3)


@pytest.mark.parametrize("keep", ["all", "top:3", "sample:3"])
def test_targets_that_are_not_contiguous_have_the_same_records(keep):
    record = Record(Keep.parse(keep), "float16", 20, 1.0)
    turned = TEACHER.T.contiguous().T
    one, other = (record.encode(DenseTargets(values), Draws(0, torch.arange(6), 0)) for values in (TEACHER, turned))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    "text", ["", "most", "top", "top:0", "top:-1", "top:1.5", "sample:", "top:07", "all:3", "top:3 "]
)
def test_a_text_that_is_no_choice_is_refused(text):
    with pytest.raises(ConfigError, match=r"keep must be 'all', 'top:K' or 'sample:N' .*, got '"):
        Keep.parse(text)


@pytest.mark.parametrize("text", ["all", "top:1", "sample:120"])
def test_the_text_of_a_choice_reads_back(text):
    assert str(Keep.parse(text)) == text


def test_too_many_classes_and_unknown_types_are_refused():
    with pytest.raises(ConfigError, match="keep 'top:11' asks for more classes than the 10 that there are"):
        Record(Keep("top", 11), "float16", 10, 1.0)
    with pytest.raises(ConfigError, match="dtype must be float32, float16 or bfloat16, got 'int8'"):
        Record(Keep("all"), "int8", 10, None)
    assert Record(Keep("sample", 11), "float16", 10, 1.0).width == 16  # with replacement, so there may be more


@pytest.mark.parametrize("temperature", [1.0, 4.0, 100.0])
def test_logits_beyond_the_range_of_float16_teach_what_they_did(temperature):
    values = torch.tensor([[3.0, 1.5, -65_000.0, -70_000.0, -1e30, -math.inf]])
    found = there_and_back(Record(Keep("all"), "float16", 6, None), values)
    assert found.values.isfinite().all()
    assert found.values[0, 3:].tolist() == [torch.finfo(torch.float16).min] * 3
    student = torch.zeros(1, 6, requires_grad=True)
    kept, wanted = (
        torch.autograd.grad(targets.cross_entropy(student, temperature)[0].sum(), student)[0]
        for targets in (found, DenseTargets(values))
    )
    torch.testing.assert_close(kept, wanted, rtol=0, atol=2 * HALF["float16"])
