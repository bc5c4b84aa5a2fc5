"""A generalist and its specialists as one teacher: which specialists it queries, and the combination."""

import pytest
import torch
from torch import nn

from instar.data import Batch
from instar.errors import ConfigError, MismatchError
from instar.teachers import Module, Specialist, Specialists, Teacher
from instar.teachers.combining import Opinion, combine_opinions

CLASSES = 6


class Linear(nn.Module):
    """Logits that are a fixed function of the sample, however it is batched."""

    def __init__(self, width, seed, sharpness=3.0):
        super().__init__()
        table = torch.randn(50, width, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("table", sharpness * table)

    def forward(self, inputs):
        return self.table[inputs[:, 0].long()]


class Asked(Module):
    """A module that records the samples of each query."""

    def __init__(self, network):
        super().__init__(network)
        self.ids = []

    def targets(self, batch):
        self.ids += batch.ids.tolist()
        return super().targets(batch)


def batch_of(ids):
    ids = torch.tensor(ids)
    return Batch(ids, 0, ids[:, None].float(), torch.zeros(len(ids), dtype=torch.int64))


BATCH = batch_of(list(range(40)))
GENERALIST = Linear(CLASSES, 0)


def experts(dustbin=True):
    width = 3 if dustbin else CLASSES
    return [
        Specialist(Asked(Linear(width, 1)), (0, 2), dustbin),
        Specialist(Asked(Linear(width, 2)), (3, 1), dustbin, weight=2.0),
    ]


def log_probs(teacher, batch=BATCH):
    return teacher.targets(batch).log_probs(1.0)


def test_without_specialists_the_prediction_is_the_generalists():
    assert torch.equal(log_probs(Specialists(GENERALIST, [])), log_probs(Module(GENERALIST)))


@pytest.mark.parametrize("top", [1, 2, 6, 99])
def test_a_specialist_is_queried_if_it_has_one_of_the_likeliest_classes(top):
    known = experts()
    log_probs(Specialists(GENERALIST, known, top=top))
    likeliest = log_probs(Module(GENERALIST)).topk(min(top, CLASSES), 1).indices
    for expert in known:
        expected = [i for i, row in enumerate(likeliest.tolist()) if set(row) & set(expert.classes)]
        assert expert.teacher.ids == expected


def test_without_an_active_specialist_the_generalists_prediction_is_unchanged():
    likeliest = log_probs(Module(GENERALIST)).argmax(1)
    alone = torch.isin(likeliest, torch.tensor([4, 5]))
    assert alone.any()
    together = log_probs(Specialists(GENERALIST, experts()))
    assert torch.equal(together[alone], log_probs(Module(GENERALIST))[alone])
    assert not torch.isclose(together[~alone], log_probs(Module(GENERALIST))[~alone]).all(1).any()


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
@pytest.mark.parametrize("dustbin", [True, False])
def test_it_combines_the_predictions_of_active_specialists(divergence, dustbin):
    known = experts(dustbin)
    together = Specialists(GENERALIST, known, top=2, weight=0.5, divergence=divergence)
    said = log_probs(Module(GENERALIST))
    opinions = []
    for expert in known:
        rows = torch.isin(said.topk(2, 1).indices, torch.tensor(expert.classes)).any(1).nonzero()[:, 0]
        theirs = Module(expert.teacher.network).targets(BATCH).log_probs(1.0)[rows]
        classes = torch.tensor(expert.classes if dustbin else range(CLASSES))
        opinions.append(Opinion(rows, theirs, classes, expert.weight))
    torch.testing.assert_close(log_probs(together), combine_opinions(said, opinions, divergence, 0.5).log_softmax(1))


def test_a_batch_is_its_samples_one_by_one():
    together = Specialists(GENERALIST, experts(), top=2)
    one_by_one = torch.cat([log_probs(together, batch_of([i])) for i in range(40)])
    torch.testing.assert_close(log_probs(together), one_by_one)


def test_specialists_are_a_teacher_at_any_temperature():
    together = Specialists(GENERALIST, experts())
    assert isinstance(together, Teacher)
    targets = together.targets(BATCH)
    torch.testing.assert_close(targets.log_probs(3.0), (targets.log_probs(1.0) / 3).log_softmax(1))


def test_targets_may_have_positions():
    class Twice(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, inputs):
            return torch.stack([self.network(inputs), self.network(49 - inputs)], 1)

    known = [Specialist(Module(Twice(expert.teacher.network)), expert.classes) for expert in experts()]
    found = log_probs(Specialists(Twice(GENERALIST), known))
    flat = [Specialist(Module(expert.teacher.network), expert.classes) for expert in experts()]
    plain = Specialists(GENERALIST, flat)
    torch.testing.assert_close(found[:, 0], log_probs(plain))
    torch.testing.assert_close(found[:, 1], log_probs(plain, batch_of([49 - i for i in range(40)])))


def test_fingerprint_depends_on_everything_that_the_prediction_depends_on():
    def fingerprint(generalist=GENERALIST, known=None, **choices):
        return Specialists(generalist, experts() if known is None else known, **choices).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    others = [
        fingerprint(Linear(CLASSES, 9)),
        fingerprint(known=experts()[:1]),
        fingerprint(known=experts()[::-1]),
        fingerprint(known=[Specialist(experts()[0].teacher, (0, 1)), experts()[1]]),
        fingerprint(top=2),
        fingerprint(weight=2.0),
        fingerprint(divergence="reverse"),
    ]
    assert len({first, *others}) == 1 + len(others)


def test_all_networks_are_named():
    known = experts()
    assert Specialists(GENERALIST, known).modules() == [GENERALIST, *(expert.teacher.network for expert in known)]


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"top": 0}, "Specialists\\(top\\) must be at least 1, got 0."),
        ({"weight": 0.0}, "the weights of a generalist and its specialists must be above 0, got 0.0."),
        ({"divergence": "sideways"}, "must be 'forward' or 'reverse', got 'sideways'."),
    ],
)
def test_numbers_out_of_range_are_refused(choices, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Specialists(GENERALIST, experts(), **choices)


def test_a_class_that_the_generalist_does_not_have_is_refused():
    together = Specialists(GENERALIST, [Specialist(Module(Linear(3, 1)), (0, 6))])
    with pytest.raises(MismatchError, match="specialist 0 has class 6, and the generalist 6 classes"):
        together.targets(BATCH)


def test_a_specialist_of_other_classes_is_refused():
    together = Specialists(GENERALIST, [Specialist(Module(Linear(4, 1)), (0, 1))])
    with pytest.raises(MismatchError, match="specialist 0 predicts 4 classes, expected 3: 2 special ones"):
        together.targets(BATCH)


def test_a_specialist_that_is_certain_of_the_dustbin_or_rules_a_class_out_keeps_the_prediction_finite():
    class Sure(nn.Module):
        def __init__(self, row):
            super().__init__()
            self.row = torch.tensor([row])

        def forward(self, inputs):
            return self.row.expand(len(inputs), -1)

    for row in ([-1e4, -1e4, 0.0], [0.0, 0.0, -1e4], [0.0, -torch.inf, 0.0], [-torch.inf, -torch.inf, 0.0]):
        together = Specialists(GENERALIST, [Specialist(Module(Sure(row)), (0, 2))])
        found = together.targets(BATCH)
        assert torch.isfinite(found.values).all()
        torch.testing.assert_close(found.log_probs(1.0).exp().sum(1), torch.ones(40))
