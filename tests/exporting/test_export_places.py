"""An export is complete or absent, wherever it is written, and holds the model that was trained."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from instar.config import RunConfig, validate
from instar.data import load_data
from instar.errors import InstarError, MismatchError, RunError
from instar.exporting.recorded_predictions import compare_with_recorded
from instar.models import MLP, TrainedRun
from instar.procedures.export import export
from instar.procedures.inspect import inspect
from instar.procedures.load import load
from instar.procedures.train import train
from instar.runs.files import read_json
from instar.stages.components import GivenObjects
from instar.stages.stage import Stage

DATA = load_data("digits", subset=64)
FORMATS = [
    pytest.param("onnx", marks=pytest.mark.skipif(not pytest.importorskip("onnxruntime"), reason="needs the extra")),
    "torchscript",
    "safetensors",
    "hub",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train(DATA, MLP([64]), out=tmp_path_factory.mktemp("trained") / "run", epochs=1)


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("to", FORMATS)
def test_a_full_disk_is_named_and_leaves_nothing(to: str, trained: TrainedRun, tmp_path: Path) -> None:
    place = tmp_path / "new" / "there"
    with files_of_at_most(4096), pytest.raises(RunError, match=r"there.* cannot be written|the disk has no space left"):
        export(trained, to, out=place, data=DATA)
    assert everything(tmp_path) == {}
    assert export(trained, to, out=place, data=DATA).recorded is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("to", ["safetensors", "hub"])
def test_an_error_of_the_disk_is_a_sentence(
    to: str, number: int, trained: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"the disk has no space left|cannot be written"):
        export(trained, to, out=tmp_path / "there", data=DATA)
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("to", ["safetensors", "hub"])
def test_leftovers_of_a_killed_export_go_and_those_of_a_live_one_stay(
    to: str, trained: TrainedRun, tmp_path: Path
) -> None:
    out = tmp_path / "there"
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os.fsync = lambda _: os.kill(os.getpid(), 9)  # type: ignore[assignment]
        export(trained, to, out=out, data=DATA)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 9
    assert len(list(tmp_path.iterdir())) == 1
    export(trained, to, out=out, data=DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_same_export_to_a_folder_may_be_given_again_and_an_edited_one_is_kept(
    trained: TrainedRun, tmp_path: Path
) -> None:
    first = export(trained, "hub", out=tmp_path / "hub", data=DATA)
    assert export(trained, "hub", out=tmp_path / "hub", data=DATA) == first
    (tmp_path / "hub" / "README.md").write_text("mine")
    with pytest.raises(RunError, match="holds another export, or was edited"):
        export(trained, "hub", out=tmp_path / "hub", data=DATA)
    assert (tmp_path / "hub" / "README.md").read_text() == "mine"


def test_places_that_hold_something_else_are_refused(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    before = everything(trained.path)
    places: list[tuple[str, str | Path]] = [
        ("safetensors", tmp_path / "file" / "below"),
        ("hub", tmp_path / "file"),
        ("hub", tmp_path / "full"),
        ("hub", trained.path),
        ("hub", tmp_path / "pipe"),
        ("safetensors", tmp_path / "full"),
        ("safetensors", tmp_path / "pipe"),
        ("safetensors", "/proc/new/there"),
        ("hub", "/proc/there"),
        ("safetensors", tmp_path / ("n" * 300)),
        ("safetensors", "s3://bucket/model"),
        ("hub", Path("s3://bucket/model")),
        ("safetensors", ""),
        ("safetensors", trained.weights),
        ("torchscript", trained.path / "config.json"),
        ("safetensors", "a\0b"),
    ]
    for to, place in places:
        with pytest.raises(InstarError) as refused:
            export(trained, to, out=place, data=DATA)
        assert "\n" not in str(refused.value), place
    assert everything(trained.path) == before
    assert (tmp_path / "file").read_text() == "text"
    assert not Path("s3:").exists()


def test_links_to_folders_and_missing_folders_are_places(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    export(trained, "hub", out=tmp_path / "link", data=DATA)
    assert (tmp_path / "link").is_symlink()
    load(tmp_path / "real")
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o777 & ~_umask()
    load(export(trained, "safetensors", out=tmp_path / "a" / "b" / "c", data=DATA).path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_model_that_is_not_the_trained_one_is_refused_with_the_numbers(trained: TrainedRun, tmp_path: Path) -> None:
    found = export(trained, "safetensors", out=tmp_path / "there", data=DATA)
    assert found.recorded is not None
    assert (found.recorded.split, found.recorded.samples) == ("test", 256)
    assert found.recorded.difference < 1e-5
    other = load(trained)
    for layer in other.network.modules():
        if isinstance(layer, nn.ReLU):
            layer.forward = torch.tanh  # type: ignore[method-assign]
    with pytest.raises(MismatchError, match=r"a logit differs by [\d.]+ from the predictions .* and [\d.]+ is allow"):
        compare_with_recorded(trained, other, DATA, 1e-4)


def test_other_data_are_not_compared_with_the_predictions_and_that_is_said(trained: TrainedRun, tmp_path: Path) -> None:
    raw, labels = DATA.test.inputs(), DATA.test.labels
    data = load_data((DATA.train.inputs(), DATA.train.labels, raw + 1, labels))
    found = export(trained, "safetensors", out=tmp_path / "there", data=data)
    assert found.recorded is None
    assert "nothing was compared, because the data are not those of the run" in str(found)


def test_a_trial_that_was_judged_on_validation_alone_is_compared_there(trained: TrainedRun, tmp_path: Path) -> None:
    values = read_json(trained.path / "config.json")["config"] | {"judge_test": False}
    run = Stage(validate(RunConfig, values), tmp_path / "run", GivenObjects(DATA)).run()
    found = export(run, "safetensors", data=DATA)
    assert found.recorded is not None
    assert found.recorded.split == "validation"


class Noisy(nn.Module):
    """Draws random numbers in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 10)

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        flat = inputs.flatten(1)
        return {"loss": flat.mean(), "logits": self.last(flat + torch.randn_like(flat))}


def test_a_model_that_draws_random_numbers_is_refused_as_such(tmp_path: Path) -> None:
    run = train(DATA, Noisy(), out=tmp_path / "run", epochs=1)
    with pytest.raises(MismatchError, match="returns different logits for the same inputs each time"):
        export(run, "safetensors", data=DATA)


def odd_network(kind: str) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 10))
    if kind == "tied":
        network[3].weight = network[1].weight
    elif kind == "parametrized":
        nn.utils.parametrizations.weight_norm(network[1])
    return network


@pytest.mark.parametrize("kind", ["tied", "parametrized"])
def test_a_network_given_as_an_object_is_given_again_to_load_its_export(kind: str, tmp_path: Path) -> None:
    network = odd_network(kind)
    run = train(DATA, network, out=tmp_path / "run", epochs=1)
    raw = DATA.test.inputs()[:5]
    with torch.no_grad():
        expected = run.model(raw)
    for to in ("torchscript", "safetensors", "hub"):
        path = export(run, to, data=DATA).path
        if to != "torchscript":
            with pytest.raises(InstarError, match="give network="):
                load(path)
            with torch.no_grad():
                torch.testing.assert_close(load(path, network=network)(raw), expected)
    assert "network=network" in (run.path / "export" / "hub" / "README.md").read_text()
    with pytest.raises(InstarError, match="network"):
        export(run.path, "safetensors", data=DATA, out=tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert export(run.path, "safetensors", data=DATA, out=tmp_path / "there", network=network).recorded is not None


def test_an_export_is_refused_where_a_run_folder_is_expected(trained: TrainedRun, tmp_path: Path) -> None:
    for to in ("safetensors", "hub"):
        path = export(trained, to, out=tmp_path / to, data=DATA).path
        with pytest.raises(InstarError, match=r"instar\.load reads what instar export wrote"):
            inspect(path)
