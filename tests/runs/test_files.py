"""Writing whole or not at all, and reading what was damaged: the files of a run folder."""

import errno
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instar.errors import RunError
from instar.runs import files as module
from instar.runs.files import read_json, read_tensors, write_json, write_tensors, write_whole
from instar.runs.run import Run

NO_SPACE = r"the disk has no space left to write '.*'; free some space and run the same command again\."

has_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_then_raise(error: BaseException):
    def write(path: Path, *_: object) -> None:
        Path(path).write_text("half")
        raise error

    return write


@pytest.mark.parametrize("error", [ValueError("in the middle"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    write_json(tmp_path / "a.json", {"old": True})
    with pytest.raises(type(error)) as raised:
        write_whole(tmp_path / "a.json", fill_then_raise(error))
    assert raised.value is error
    assert names(tmp_path) == ["a.json"]
    assert read_json(tmp_path / "a.json") == {"old": True}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, code: int) -> None:
    with pytest.raises(RunError, match=NO_SPACE):
        write_whole(tmp_path / "a.json", fill_then_raise(OSError(code, "full")))
    assert names(tmp_path) == []


@has_full
def test_a_disk_that_is_really_full_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=NO_SPACE):
        write_whole(tmp_path / "a.json", lambda _: Path("/dev/full").write_text("a"))
    assert names(tmp_path) == []


def test_a_full_disk_under_safetensors_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    monkeypatch.setattr(module, "save_file", lambda tensors, path, metadata: fill_then_raise(full)(path))
    with pytest.raises(RunError, match=NO_SPACE):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(3)})
    assert names(tmp_path) == []


@has_full
def test_a_full_disk_under_the_metrics_is_a_sentence(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", {}, {})
    (run.path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match=NO_SPACE):
        run.metrics_log.append({"step": 1})


def test_other_faults_of_safetensors_are_not_called_a_full_disk(tmp_path: Path, monkeypatch) -> None:
    from safetensors import SafetensorError

    other = SafetensorError("something else")
    monkeypatch.setattr(module, "save_file", lambda tensors, path, metadata: fill_then_raise(other)(path))
    with pytest.raises(SafetensorError, match="something else"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(3)})
    assert names(tmp_path) == []


def test_a_reader_never_sees_a_file_that_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("[1,")
        seen.extend([path.exists(), temporary.stat().st_ino])
        temporary.write_text("[1, 2]")

    write_whole(path, write)
    assert seen == [False, path.stat().st_ino]  # renamed, not copied
    assert read_json(path) == [1, 2]


@settings(deadline=None, derandomize=True, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool]),
    st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3),
)
def test_tensors_and_their_header_come_back(tmp_path: Path, shape: list[int], dtype, header: dict) -> None:
    expected = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
    write_tensors(tmp_path / "a.safetensors", {"x": expected}, header)
    tensors, found = read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(tensors["x"], expected)
    assert tensors["x"].dtype == dtype
    assert found == header


def test_tensors_that_share_memory_and_need_gradients_can_be_written(tmp_path: Path) -> None:
    whole = torch.arange(1000.0, requires_grad=True)
    write_tensors(tmp_path / "a.safetensors", {"slice": whole[:3], "again": whole[:3], "steps": whole[::500]})
    tensors, header = read_tensors(tmp_path / "a.safetensors")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "slice": [0, 1, 2],
        "again": [0, 1, 2],
        "steps": [0, 500],
    }
    assert header == {}
    assert (tmp_path / "a.safetensors").stat().st_size < 1000


def test_a_missing_weights_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the weights file '.*w\.safetensors' is missing\."):
        read_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 40, 0.5, 0.99])
def test_a_truncated_weights_file_is_a_sentence(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"w": torch.zeros(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(RunError, match=r"the weights file '.*w\.safetensors' is unreadable or truncated: "):
        read_tensors(path)


def test_a_pickle_is_not_read_as_weights(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(RunError, match="is unreadable or truncated: "):
        read_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"nonsense", b"\xff\xfe\x00"])
def test_damaged_json_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=r"'.*a\.json' is damaged: "):
        read_json(tmp_path / "a.json")


def test_missing_json_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'.*a\.json' is missing\."):
        read_json(tmp_path / "a.json")


def test_a_run_with_a_damaged_configuration_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": 1, "conf')
    with pytest.raises(RunError, match=r"config\.json' is damaged: "):
        Run(tmp_path)


def test_tensors_are_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_tensors(tmp_path / "tensors.safetensors", {"a": torch.zeros(1)})
    assert (tmp_path / "tensors.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_slices_and_shared_tensors_are_written_whole(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    tensors = {"whole": whole, "again": whole, "part": whole[2:4], "turned": whole.view(2, 3).T, "empty": whole[:0]}
    write_tensors(tmp_path / "tensors.safetensors", tensors)
    found, _ = read_tensors(tmp_path / "tensors.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert (tmp_path / "tensors.safetensors").stat().st_size < 1000
