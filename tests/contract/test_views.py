"""What every view keeps to, so that its targets can be stored. A new view is one new row in CASES."""

import pytest
import torch
from torch import nn

from instar.config import DataConfig
from instar.data import Data, Loader, Samples, Source, Wrapped, load_data, parse_views
from instar.data.views import VIEWS
from instar.procedures.label import label
from instar.targets import TargetStore
from instar.teachers import Module, Stored

CASES = {
    "Identity": "Identity()",
    "Shift": "Shift(2)",
    "Crop": "Crop(3)",
    "Flip": "Flip()",
    "Mixup": "Mixup(0.4)",
    "CutMix": "CutMix(1)",
    "RandomResizedCrop": "RandomResizedCrop(12)",
    "Rotate": "Rotate(30)",
    "ColorJitter": "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "Erase": "Erase()",
    "RandAugment": "RandAugment(2, 9)",
    "Wrapped": Wrapped(lambda image: image + torch.randint(9, image.shape, dtype=torch.uint8)),
    "TimeMask": "TimeMask(4)",
    "FrequencyMask": "FrequencyMask(2)",
    "Speed": "Speed(0.3)",
    "Noise": "Noise(0, 20)",
}
OF_RECORDINGS = ("TimeMask", "FrequencyMask", "Speed", "Noise")


def pictures():
    draws = torch.Generator().manual_seed(0)
    return load_data((torch.randint(256, (40, 3, 12, 12), generator=draws, dtype=torch.uint8), torch.arange(40) % 2))


def recordings():
    draws = torch.Generator().manual_seed(0)
    values, lengths = torch.randn(40, 30, 6, generator=draws), torch.randint(3, 31, (40,), generator=draws)
    source = Source("words", values, torch.zeros(40, 30, dtype=torch.int64), ("a", "b"), lengths=lengths)
    samples = Samples.all_of(source)
    return Data(DataConfig(source="arrays"), samples, None, samples)


def linear(shape):
    torch.manual_seed(0)
    return Module(nn.Sequential(nn.Flatten(), nn.Linear(shape.numel(), 2)) if len(shape) == 3 else nn.Linear(6, 2))


def test_every_view_has_a_case():
    assert CASES.keys() == VIEWS.keys()


@pytest.mark.parametrize("name", CASES)
def test_two_workers_store_what_the_teacher_answers_live_in_batches_of_any_size_and_order(tmp_path, name):
    views = parse_views(CASES[name]) if isinstance(CASES[name], str) else CASES[name]
    number = None if name == "Identity" else 3
    data = recordings() if name in OF_RECORDINGS else pictures()
    teacher = linear(data.train.source.inputs[0].shape)
    for worker in (1, 2):
        label(
            data, teacher, out=tmp_path / "store", views=views, num_views=number, seed=3, dtype="float32", batch_size=7,
            shard_rows=8, share=(worker, 2), show=False, held_out=False,
        )  # fmt: skip
    stored = Stored(TargetStore(tmp_path / "store"))
    loader = Loader(data.train, 16, seed=5, view_seed=3, views=views, num_views=number)  # in an order of its own
    for step in range((number or 1) * loader.steps_per_epoch):
        batch = loader.batch(step)
        batch = batch.rows(torch.arange(len(batch)).flip(0))
        live, kept = (one.targets(batch).logits() for one in (teacher, stored))
        valid = torch.ones(live.shape[:-1], dtype=torch.bool) if batch.mask is None else batch.mask
        torch.testing.assert_close(kept[valid], live[valid], rtol=1e-5, atol=1e-5)
    plain, seen = (next(Loader(data.train, 40, seed=3, views=each).in_order()).inputs for each in (None, views))
    assert torch.equal(plain, seen) == (name == "Identity")
