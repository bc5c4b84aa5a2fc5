"""Files of sound are predicted as the recordings of a run were read, and as loops by hand predict them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import instar
from instar.analysis.viterbi import word_scores
from instar.data.log_mel import log_mel
from instar.errors import DataError
from instar.models import FrameNet
from instar.models.readers.named import Named
from instar.runs.run import Run

WAVES = [np.random.default_rng(at).integers(-9000, 9000, 500 + 160 * at, dtype=np.int16) for at in range(6)]


def logits_by_hand(run: Run, wave: np.ndarray) -> torch.Tensor:
    """Return logits [frames, classes] of one recording alone, at 8000 Hz."""
    model = instar.load(run)
    frames = torch.from_numpy(log_mel((wave / 32768).astype(np.float32), 8000))[None]
    with torch.no_grad():
        if isinstance(model.reader, Named):
            return model({"frames": frames, "mask": torch.ones(frames.shape[:2], dtype=torch.bool)})[0]
        return model(frames)[0]


@pytest.fixture(params=[3, 0], ids=["words", "classes"])
def run(request: pytest.FixtureRequest, tmp_path: Path, write_recordings: Callable[..., Path]) -> Run:
    folder = write_recordings(tmp_path / "data", {"train": WAVES, "test": WAVES})
    data = instar.load_data(folder, label_column="word", states=request.param, validation=0)
    return instar.train(data, FrameNet([8]), out=tmp_path / "run", epochs=1)


def test_files_of_any_length_and_rate(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for at, wave in enumerate(WAVES[:3]):
        files.append(tmp_path / f"{at}.wav")
        soundfile.write(files[-1], wave, 8000)
    found = instar.predict(run, files, top=2)
    assert [one.name for one in found] == list(map(str, files))
    states = run.config["data"]["states"]
    for one, wave in zip(found, WAVES, strict=False):
        logits = logits_by_hand(run, wave)
        if states:
            logits = word_scores(logits.log_softmax(1)[None], torch.tensor([len(logits)]), states)[0]
        wanted = logits.softmax(0)
        assert one.label == ("yes", "no")[int(wanted.argmax())]
        assert dict(one.top) == pytest.approx({"yes": wanted[0].item(), "no": wanted[1].item()}, abs=1e-5)
    assert "resampled" not in capsys.readouterr().err
    soundfile.write(tmp_path / "fast.wav", np.stack([np.repeat(WAVES[0], 2)] * 2, 1), 16000)
    [other] = instar.predict(run, str(tmp_path / "fast.wav"))
    assert other.label in ("yes", "no")
    assert "1 recordings are resampled to 8,000 Hz" in capsys.readouterr().err


def test_what_cannot_be_decoded_is_listed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    file = io.BytesIO()
    soundfile.write(file, WAVES[0], 8000, format="WAV")
    (tmp_path / "good.wav").write_bytes(file.getvalue())
    message = r"2 of 3 recordings cannot be read: '.*bad\.wav' \(Format not recognised\), '.*none\.wav' \(the file"
    with pytest.raises(DataError, match=message):
        instar.predict(run, [tmp_path / name for name in ("bad.wav", "good.wav", "none.wav")])
