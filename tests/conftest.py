"""Fixtures that the tests of every layer share."""

import gc
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

# Read when `datasets` is first imported: no test may reach the network or write outside temporary folders.
os.environ["HF_HUB_OFFLINE"] = "1"
_datasets_cache = tempfile.TemporaryDirectory(prefix="instar-tests-", ignore_cleanup_errors=True)
os.environ["HF_DATASETS_CACHE"] = _datasets_cache.name
# Read when gRPC is first imported, by Ray's client: its hooks can crash the processes that Ray starts (docs/jobs.md).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
# Processes that tests start have one thread too: on small tensors, more threads mostly wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collection, which would look through all of torch again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded data go to a temporary folder that all tests share, those of other processes too."""
    folder = tmp_path_factory.getbasetemp()
    # the folders of several processes lie in one
    root = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTAR_CACHE", str(root / "instar-cache"))
        yield


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of decoded data of the test's own, empty at its start."""
    cache = tmp_path / "instar-cache"
    monkeypatch.setenv("INSTAR_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def write_recordings() -> Callable[..., Path]:
    """Write recordings of two words in turn, by split, from int16 `[samples]` or `[samples, channels]` each."""
    import datasets
    import soundfile

    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "word": datasets.ClassLabel(names=["yes", "no"]),
            "speaker": datasets.Value("string"),
        }
    )

    def write(folder: Path, splits: Mapping[str, Sequence[np.ndarray]], rate: int = 8000) -> Path:
        folder.mkdir(parents=True)
        for split, waves in splits.items():
            rows: dict[str, Any] = {"audio": []}
            for wave in waves:
                file = io.BytesIO()
                soundfile.write(file, wave, rate, format="FLAC")
                rows["audio"].append({"bytes": file.getvalue(), "path": None})
            rows["word"] = [at % 2 for at in range(len(waves))]
            rows["speaker"] = [("ada", "bob", "eve")[at % 3] for at in range(len(waves))]
            datasets.Dataset.from_dict(rows, features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return folder

    return write


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Write a module of the user's into the folder where the command is given, and return the folder."""
    written = []

    def write(name: str, code: str) -> Path:
        (tmp_path / f"{name}.py").write_text(code)
        sys.modules.pop(name, None)
        written.append(name)
        return tmp_path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield write
    for name in written:
        sys.modules.pop(name, None)


def _folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not beside the repository (shared/data/{name})")
    return folder


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    return _folder("mnist")


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    return _folder("cifar10")


@pytest.fixture(scope="session")
def cifar100_folder() -> Path:
    return _folder("cifar100")


@pytest.fixture(scope="session")
def churn_folder() -> Path:
    return _folder("churn")


@pytest.fixture(scope="session")
def diamonds_folder() -> Path:
    return _folder("diamonds")


@pytest.fixture(scope="session")
def omniglot_folder() -> Path:
    return _folder("omniglot")


@pytest.fixture(scope="session")
def ptb_folder() -> Path:
    return _folder("ptb")


@pytest.fixture(scope="session")
def spoken_digits_folder() -> Path:
    return _folder("spoken_digits")


class StoppedError(Exception):
    """What a test stops a run with."""


@pytest.fixture
def stop_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], type[Exception]]:
    """Let the loop fail once, before it takes a step, counted from 0 over all runs since; return the error."""
    from instar.training import loop

    original = loop.learning_rate

    def arrange(step: int) -> type[Exception]:
        left = iter(range(step))

        def fail_once(*arguments: object) -> float:
            if next(left, None) is None:
                monkeypatch.setattr(loop, "learning_rate", original)
                raise StoppedError
            rate: float = original(*arguments)
            return rate

        monkeypatch.setattr(loop, "learning_rate", fail_once)
        return StoppedError

    return arrange


@pytest.fixture
def instar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; return its exit code, stdout and stderr."""
    from instar import cli

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["instar", *map(str, arguments)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run
