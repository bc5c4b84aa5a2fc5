"""What every source of data keeps to. A new source is one new row in CASES."""

import io

import datasets
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from instar.data import UNLABELLED, Loader, load_data

RANDOM = np.random.default_rng(0)
LABELS = np.arange(40) % 4
VECTORS = RANDOM.standard_normal((40, 6))
PIXELS = RANDOM.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)


def image_folder(folder):
    for split in ("train", "test"):
        for index in range(12):
            path = folder / split / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return str(folder)


def recordings(folder):
    """Words of 3 to 8 frames."""
    folder.mkdir()
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "word": datasets.ClassLabel(names=["yes", "no"]),
        }
    )
    for split in ("train", "test"):
        columns = {"audio": [], "word": [index % 2 for index in range(12)]}
        for index in range(12):
            buffer = io.BytesIO()
            soundfile.write(buffer, RANDOM.uniform(-1, 1, 360 + 80 * (index % 6)), 8000, format="FLAC")
            columns["audio"].append({"bytes": buffer.getvalue(), "path": None})
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return str(folder)


CASES = {
    "digits": lambda folder: "digits",
    "two arrays": lambda folder: (VECTORS, LABELS),
    "four arrays": lambda folder: (VECTORS[:30], LABELS[:30], VECTORS[30:], LABELS[30:]),
    "pixels": lambda folder: (PIXELS, LABELS),
    "tensors": lambda folder: (torch.tensor(PIXELS), torch.tensor(LABELS)),
    "partly labelled": lambda folder: (PIXELS[:30], np.where(LABELS < 3, LABELS, -1)[:30], PIXELS[30:], LABELS[30:]),
    "image folder": image_folder,
    "recordings": recordings,
}


@pytest.fixture(params=CASES)
def load(request, tmp_path):
    made = CASES[request.param](tmp_path / "images")
    return lambda **selection: load_data(made, **{"validation": 0.25, "unlabelled": -1} | selection)


def test_ids_count_from_0_and_lie_in_one_split_each(load):
    data = load()
    source = data.train.source
    together = torch.cat([data.train.ids, data.validation.ids])
    assert together.sort().values.tolist() == list(range(len(source)))
    assert data.test.ids.tolist() == list(range(len(data.test.source)))


def test_inputs_are_pixels_or_floats_of_one_shape(load):
    data = load()
    assert data.train.source.inputs.dtype in (torch.uint8, torch.float32)
    assert data.train.input_shape == data.test.input_shape == data.validation.input_shape
    assert torch.isfinite(data.train.inputs().float()).all()


def test_labels_are_indices_of_the_classes(load):
    data = load()
    for samples in (data.train, data.validation, data.test):
        assert samples.labels.dtype == torch.int64
        assert ((samples.labels >= UNLABELLED) & (samples.labels < len(data.classes))).all()
    assert data.train.source.classes == data.test.source.classes
    assert len(set(data.classes)) == len(data.classes)


def test_loads_alike_every_time(load):
    first, again = load(), load()
    assert first.fingerprints() == again.fingerprints()
    assert torch.equal(first.train.ids, again.train.ids)
    assert torch.equal(first.train.inputs(), again.train.inputs())


def test_selection_changes_the_samples_and_not_the_source(load):
    whole, part = load(), load(subset=5)
    assert len(part.train) == 5
    assert set(part.train.ids.tolist()) <= set(whole.train.ids.tolist())
    assert part.fingerprints() == whole.fingerprints()


def test_batches_hold_the_inputs_of_their_ids(load):
    data = load()
    loader = Loader(data.train, 4, seed=0)
    seen, whole = [], data.train.source
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step)
        longest = batch.inputs.shape[1] if whole.lengths is None else int(whole.lengths[batch.ids].max())
        assert torch.equal(batch.inputs, whole.inputs[batch.ids, :longest])
        seen += batch.ids.tolist()
    assert sorted(seen) == sorted(data.train.ids.tolist())
