"""What tests of tables share."""

import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile

from instar.papers.hinton2014_speech import SPEAKERS

RANDOM = np.random.default_rng(0)
SECONDS = np.arange(900) / 8000


def recording(word: int) -> bytes:
    """A tone of its own for each word, in noise."""
    length = int(RANDOM.integers(500, 900))
    wave = 0.3 * np.sin(2 * np.pi * 300 * (word + 1) * SECONDS[:length]) + 0.05 * RANDOM.standard_normal(length)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 8000, format="FLAC")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings of three words by six speakers, which are tones in noise."""
    folder = tmp_path_factory.mktemp("recordings")
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.ClassLabel(names=["one", "two", "three"]),
            "speaker": datasets.ClassLabel(names=list(SPEAKERS)),
        }
    )
    for split, count in (("train", 150), ("test", 24)):
        words = [index % 3 for index in range(count)]
        columns = {
            "audio": [{"bytes": recording(word), "path": None} for word in words],
            "label": words,
            "speaker": [index // 3 % 6 for index in range(count)],
        }
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture
def rows(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of the table in a test module's own `folder`, by name and quantity."""
    return {(row["row"], row["quantity"]): row for row in json.loads((folder / "table.json").read_text())}
