"""Values that are kept beside inputs in the cache: those of exactly these inputs, or computed again."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.hash_by_hand import hash_by_hand

from instar.data import Samples, Source, load_data, stored
from instar.data.stored import StoredInputs
from instar.errors import DataError
from instar.models import statistics


@pytest.fixture(autouse=True)
def _keep_small_inputs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MIN_STORED_BYTES", 0)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 5, 7), dtype=np.uint8))
    return stored_source(pixels, tmp_path)


def stored_source(pixels: torch.Tensor, folder: Path, checksum: str = "a") -> Source:
    labels = torch.arange(len(pixels)) % 2
    return Source("x", pixels, labels, ("a", "b"), stored=StoredInputs(pixels, folder, checksum))


def never(*_: object) -> bytes:
    raise AssertionError("computed again")


def test_a_kept_fingerprint_is_the_hash_of_all_content(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    masked = replace(source, mask=torch.arange(40) > 3)
    renamed = replace(source, classes=("a", "c"))
    wanted = [hash_by_hand(one) for one in (source, masked, renamed)]
    assert len(set(wanted)) == 3
    assert [one.fingerprint() for one in (source, masked, renamed)] == wanted
    monkeypatch.setattr(Source, "_hash_content", never)
    assert [replace(one).fingerprint() for one in (source, masked, renamed)] == wanted


def test_lengths_and_a_mask_of_the_same_bytes_are_told_apart(tmp_path: Path) -> None:
    frames, labels = torch.ones(2, 8, 3), torch.zeros(2, 8, dtype=torch.int64)
    about = StoredInputs(frames, tmp_path, "a")
    mask, lengths = torch.ones(2, 8, dtype=torch.bool), torch.full((2,), 8)
    sources = [
        Source("x", frames, labels, ("a",), stored=about, **given) for given in ({"mask": mask}, {"lengths": lengths})
    ]
    assert [one.fingerprint() for one in sources] == [hash_by_hand(one) for one in sources]
    assert len(list(tmp_path.iterdir())) == 2


def test_other_inputs_do_not_use_what_is_kept(source: Source) -> None:
    source.fingerprint()
    statistics(Samples.all_of(source))
    brighter = replace(source, inputs=source.inputs // 2)
    part = Samples.all_of(source).select(torch.arange(7)).as_source("part")
    for other in (brighter, part):
        assert other.fingerprint() == hash_by_hand(other)
        plain = replace(other, stored=None)
        assert all(map(torch.equal, statistics(Samples.all_of(other)), statistics(Samples.all_of(plain))))


def test_inputs_with_another_checksum_do_not_use_what_is_kept(source: Source, tmp_path: Path) -> None:
    source.fingerprint()
    other = stored_source(source.inputs + 1, tmp_path, checksum="b")
    assert other.fingerprint() == hash_by_hand(other)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"", lambda content: content[:-1] + b"x"]
)
def test_damaged_values_are_computed_again(
    source: Source, tmp_path: Path, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = source.fingerprint()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert replace(source).fingerprint() == wanted
    assert capsys.readouterr().err == f"instar: '{path}' is damaged; its values are computed again.\n"
    assert path.read_bytes() == content


def test_a_file_under_the_name_of_another_is_not_believed(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.fingerprint()
    (first,) = tmp_path.iterdir()
    other = replace(source, classes=("a", "c"))
    other.fingerprint()
    (second,) = set(tmp_path.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert replace(other).fingerprint() == hash_by_hand(other)
    assert "has values of other data; they are computed again." in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_changes_nothing(source: Source, tmp_path: Path) -> None:
    nowhere = replace(source, stored=StoredInputs(source.inputs, tmp_path / "gone", "a"))
    assert nowhere.fingerprint() == hash_by_hand(source)


def test_small_inputs_are_read_instead(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MIN_STORED_BYTES", source.inputs.nbytes + 1)
    source.fingerprint()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(40, 3, 5, 7), (3, 1, 16, 16), (2, 2, 33, 31), (700, 1, 28, 28)])
def test_statistics_of_pixels_are_exact(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    pixels[:, 0, 0] = 255  # the largest squares
    mean, std = statistics(
        Samples.all_of(Source("x", torch.from_numpy(pixels), torch.zeros(len(pixels)).long(), ("a",)))
    )
    assert mean.shape == std.shape == (shape[1], 1, 1)
    for channel in range(shape[1]):
        values = pixels[:, channel].astype(object).ravel()
        true = Fraction(int(values.sum()), 255 * len(values))
        variance = Fraction(int((values * values).sum()), 255**2 * len(values)) - true**2
        assert mean[channel].item() == np.float32(float(true))
        assert std[channel].item() == np.float32(float(variance) ** 0.5)


def test_a_constant_channel_keeps_its_scale() -> None:
    pixels = torch.full((30, 2, 9, 9), 77, dtype=torch.uint8)
    pixels[0, 1, 0, 0] = 78
    _, std = statistics(Samples.all_of(Source("x", pixels, torch.zeros(30).long(), ("a",))))
    assert std[0].item() == 1
    assert 0 < std[1].item() < 1e-3


def test_constant_features_are_known_in_any_unit() -> None:
    draw = np.random.default_rng(0)
    rows = np.stack([np.full(500, 1000.3), np.full(500, 1e-9), draw.normal(0, 1e-9, 500), draw.normal(1e4, 1, 500)], 1)
    _, std = statistics(Samples.all_of(Source("x", torch.from_numpy(rows).float(), torch.zeros(500).long(), ("a",))))
    assert std[:2].tolist() == [1, 1]
    assert std[2:].numpy() == pytest.approx(rows[:, 2:].astype(np.float32).astype(np.float64).std(0), rel=1e-6)


@pytest.mark.parametrize("weights", [[1e308, 1e308], [0, 0], [-1, 2], [np.nan, 1]])
def test_weights_that_no_sum_can_hold_are_refused(weights: list[float]) -> None:
    with pytest.raises(DataError, match="finite numbers of at least 0, not all 0, with a sum below 3e38; got"):
        load_data((np.eye(2), ["a", "b"], np.eye(2), ["a", "b"]), inputs="numbers", weights={"train": weights})


def test_statistics_are_kept_for_each_selection(source: Source, tmp_path: Path) -> None:
    whole = Samples.all_of(source)
    some = whole.select(torch.arange(0, 40, 3))
    first = [statistics(chosen) for chosen in (whole, some)]
    assert len(list(tmp_path.glob("statistics-*"))) == 2
    source.inputs.zero_()  # what is kept does not look
    for chosen, wanted in zip((whole, some), first, strict=True):
        assert all(map(torch.equal, statistics(chosen), wanted))


def test_a_second_process_reads_what_the_first_one_kept(omniglot_folder: Path, empty_cache: Path) -> None:
    program = (
        "import sys; from instar.data import load_data; from instar.data.source import Source\n"
        "if sys.argv[2] == 'again': Source._hash_content = None\n"
        "print(load_data(sys.argv[1]).fingerprints())"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program, str(omniglot_folder), which], check=True, capture_output=True, text=True
        ).stdout
        for which in ("first", "again")
    ]
    assert found[0] == found[1]
    assert load_data(omniglot_folder).fingerprints() == eval(found[0])
