"""No step waits for the device: numbers are read when a line is logged, and data come once per epoch."""

import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode

from instar.compute.execution import Execution
from instar.config import DataConfig, StoreConfig, TrainingConfig
from instar.data import Data, Loader, Samples, Source, parse_views
from instar.models import CNN, Normalised, statistics
from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.stages.labelling import Labelling
from instar.stages.teacher_description import describe_teacher
from instar.teachers import Ensemble, Module, Remembered, Stored
from instar.training import fit

LABELS = torch.arange(60) % 4
PIXELS = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SAMPLES = Samples.all_of(Source("noise", PIXELS, LABELS, ("a", "b", "c", "d")))
READING = {  # a host that asks for one of these waits for all that was queued before it
    "aten::_local_scalar_dense",
    "aten::bincount",
    "aten::equal",
    "aten::masked_select",
    "aten::nonzero",
    "aten::repeat_interleave",
    "aten::_unique2",
}
COPIES = {"aten::_to_copy", "aten::copy_"}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}  # by a mask: reads its sum
CASES = {
    "labels": ("HardLabels(0.1)", None, {"max_norm": 1.0, "gradient_clip": 1.0}),
    "labels, no smoothing": ("HardLabels()", None, {"optimiser": "sgd", "ema": 0.9}),
    "a module": ("SoftTargets(4) + 0.1 * HardLabels()", "module", {"micro_batches": 2}),
    "a remembered module": ("SoftTargets(4) + 0.1 * HardLabels()", "remembered", {}),
    "an ensemble": ("SoftTargets(2)", "geometric", {}),
    "a mixture": ("LogitMatching() + SoftTargets(2)", "arithmetic", {}),
    "weights of examples": ("ConfidenceWeighted()", "module", {"micro_batches": 2}),
    "permutations": ("PermutedDarkKnowledge()", "module", {}),
    "both parts of DKD, standardised": ("Standardised(DecoupledKD())", "module", {}),
    "a store of all classes": ("SoftTargets(4) + 0.1 * HardLabels()", "all", {"micro_batches": 2}),
    "a store of the largest": ("SoftTargets(1) + ConfidenceWeighted()", "top:2", {}),
    "a store of classes that were drawn": ("SoftTargets(4)", "sample:3", {}),
    "gradients measured": ("SoftTargets(4) + HardLabels()", "module", {"micro_batches": 2, "gradients_every": 1}),
}


def network():
    return Normalised(CNN([4], 8, 0.5, input_shape=(3, 8, 8), num_classes=4), *statistics(SAMPLES))


def stored(keep, loader, folder):
    """A store that has seen the samples: that it knows them is looked at before the first step."""
    choice = StoreConfig(keep=keep, temperature=1.0 if keep == "top:2" else 4.0)
    plain = Loader(SAMPLES, 16, seed=0, views=loader.views, num_views=2)
    data = Data(DataConfig(source="noise"), SAMPLES, None, SAMPLES)
    teacher = Module(network())
    labelling = Labelling(
        teacher,
        describe_teacher(teacher, ("noise",), "geometric", "float32", {"inputs": SAMPLES.source.inputs[:4]}),
        data,
        {"train": plain},
        {"train": choice},
    )
    store = labelling.start(folder)
    labelling.complete(store, "", show=False)
    found = Stored(store)
    found.targets(Loader.batch(loader, 0))
    return found


def make_teacher(kind, loader, device, folder):
    if kind is None:
        return None
    if kind in ("all", "top:2", "sample:3"):
        return stored(kind, loader, folder / "store")
    teacher = Ensemble([network(), network()], kind) if kind in ("geometric", "arithmetic") else Module(network())
    teacher.prepare(Execution(device, "float32"))
    return Remembered(teacher, loader) if kind == "remembered" else teacher


class Watched(Loader):
    """Calls back before the second batch and before the last: in between are steps and nothing else."""

    def watch(self, last, start, stop):
        self.last, self.start, self.stop = last, start, stop
        return self

    def batch(self, step):
        if step == self.last:
            self.stop()
        found = super().batch(step)
        if step == 0:
            self.start()
        return found


class Watching(TorchDispatchMode):
    """Notes every operation for which a host waits, or for which data travel."""

    def __init__(self):
        super().__init__()
        self.on, self.seen, self.found = False, 0, []

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        result = operation(*arguments, **(named or {}))
        name = operation._schema.name
        tensors = [argument for argument in (*arguments, result) if isinstance(argument, torch.Tensor)]
        if self.on:
            self.seen += 1
            indices = arguments[1] if name in INDEXING else ()
            masks = [index for index in indices if index is not None and index.dtype in (torch.bool, torch.uint8)]
            if name in READING or masks or (name in COPIES and len({tensor.device for tensor in tensors}) > 1):
                self.found.append(name)
        return result


def train(tmp_path, case, start, stop, device="cpu", **more):
    objective, kind, settings = CASES[case]
    config = TrainingConfig(epochs=3, batch_size=16, log_every=1000, checkpoint_seconds=1e6, **settings | more)
    accelerator = Accelerator(cpu=device == "cpu")
    choices = {"seed": 0, "views": parse_views("Crop(2) + Flip()"), "num_views": 2, "device": accelerator.device}
    loader = Watched(SAMPLES, config.batch_size, **choices)
    teacher = make_teacher(kind, loader, accelerator.device, tmp_path)
    run = Run.start(tmp_path / "run", {}, {})
    loader.watch(3 * loader.steps_per_epoch - 1, start, stop)
    fit(network(), parse_objective(objective), loader, config, run, accelerator, teacher=teacher, show=False)


def test_what_waits_is_noticed():
    with Watching() as watching:
        watching.on = True
        values = torch.arange(3.0)
        values.sum().item()
        values[values > 1]
        values.nonzero()
        values.to("meta")
        torch.where(values > 1, values, 0.0)[torch.tensor([0])].to(torch.float64)
    assert watching.found == ["aten::_local_scalar_dense", "aten::index", "aten::nonzero", "aten::_to_copy"]


@pytest.mark.parametrize("case", CASES)
def test_steps_read_no_number(tmp_path, case):
    with Watching() as watching:
        train(tmp_path, case, lambda: setattr(watching, "on", True), lambda: setattr(watching, "on", False))
    assert watching.seen > 500
    assert watching.found == []


@pytest.mark.parametrize("case", CASES)
def test_steps_need_nothing_from_the_host_but_the_order_of_an_epoch_and_what_is_stored_of_it(tmp_path, case):
    """On the device "meta", which holds no numbers, whatever reads one fails, and copies to it show."""
    objective, kind, _ = CASES[case]
    objective, device = 1.0 * parse_objective(objective), torch.device("meta")
    loader = Loader(SAMPLES, 16, seed=0, views=parse_views("Crop(2) + Flip()"), num_views=2, device=device)
    teacher, model = make_teacher(kind, loader, device, tmp_path), network().to(device)
    for first, ahead in ((2, 1), (4, 100)):
        loader._ahead = ahead
        with Watching() as watching:
            watching.on = True
            for step in range(first * loader.steps_per_epoch, (first + 2) * loader.steps_per_epoch):
                batch = loader.batch(step)
                loss, _ = objective(model(batch.inputs), batch, teacher.targets(batch) if teacher else None)
                (loss / batch.count()).backward()
        # a store looks answers up for many batches at once, here for an epoch
        assert watching.found == ["aten::_to_copy"] * (4 if "store" in case else 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU to wait for")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_no_step_waits_for_a_gpu(tmp_path, case, precision):
    try:
        start, stop = (lambda mode=mode: torch.cuda.set_sync_debug_mode(mode) for mode in ("error", "default"))
        train(tmp_path, case, start, stop, device="cuda", precision=precision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
