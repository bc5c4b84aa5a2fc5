"""A teacher whose reader cannot suit the data is warned about or refused before the first step."""

import numpy as np
import pytest
from PIL import Image
from torch import nn

import instar as package
from instar.errors import MismatchError
from instar.stages.teacher_readers import find_reader_faults
from instar.teachers import Ensemble, Module

RANDOM = np.random.default_rng(0)
IMAGES = [Image.fromarray(RANDOM.integers(0, 256, (20, 24, 3), dtype=np.uint8)) for _ in range(8)]
LABELS = ["cat", "dog"] * 4


def teacher(reader, inputs=3 * 16 * 16):
    return Module(nn.Sequential(nn.Flatten(), nn.Linear(inputs, 2)), reader=reader)


def test_a_reader_that_enlarges_resized_images_is_warned_about(tmp_path, capsys):
    small = package.load_data((IMAGES, LABELS), image_size=8, test=0.25, validation=0)
    ensemble = Ensemble([teacher("Pixels(16)"), teacher("Pixels(16)")])
    told = ["the teacher enlarges images to 16 x 16 pixels, which data.image_size has made 8 x 8; set"]
    assert [sentence[: len(told[0])] for sentence in find_reader_faults(ensemble, small)] == told
    package.distill(small, ensemble, package.models.MLP([2]), out=tmp_path / "run", epochs=1)
    assert "warning: the teacher enlarges images to 16 x 16 pixels" in capsys.readouterr().err
    large = package.load_data((IMAGES, LABELS), image_size=16, test=0.25, validation=0)
    given = np.stack([np.asarray(image.resize((8, 8))) for image in IMAGES])
    own = package.load_data((given, LABELS), test=0.25, validation=0)  # they hold no more
    for data in (large, own):
        assert list(find_reader_faults(teacher("Pixels(16)"), data)) == []


@pytest.mark.parametrize(("mean", "std"), [([123.7, 116.3, 103.5], [0.2] * 3), ([0.0] * 3, [255.0] * 3)])
def test_statistics_of_pixels_up_to_255_are_refused(mean, std, tmp_path):
    data = package.load_data((IMAGES, LABELS), image_size=16, test=0.25, validation=0)
    with pytest.raises(MismatchError, match=r"mean and std of pixels 0\.\.1; .* divided by 255"):
        package.distill(
            data, teacher(f"Pixels(16, {mean}, {std})"), package.models.MLP([2]), out=tmp_path / "run", show=False
        )


def test_floats_up_to_255_do_not_fit_statistics_of_pixels_up_to_1():
    pixels = RANDOM.uniform(0, 255, (8, 3, 16, 16)).astype(np.float32)
    reader = "Pixels(16, [0.5], [0.25])"
    for scale, count in ((1, 1), (1 / 255, 0)):
        data = package.load_data((pixels * scale, LABELS), test=0.25, validation=0)
        assert len(list(find_reader_faults(teacher(reader), data))) == count
