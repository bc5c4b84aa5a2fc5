"""What lies before the first step: statistics, decoding, the memory of a text, and a whole start on MNIST.

Statistics are measured over Pillow's histograms of the same images, and decoding with a thread for each core over one
thread. The start has no reference; its rows have the seconds up to the end of the first step of a warm start, with
Python's compiled files kept as on any user's machine.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image

from instar.data import Samples, Source, in_order
from instar.data.image_form import ImageForm
from instar.data.images import decode_images
from instar.data.text import cut_windows
from instar.models import statistics
from measure import Measured, Topic, parser, seconds
from memory import in_new_process, status

IMAGES, TOKENS = 200, 20_000_000

START = """
import os, resource, sys, time
from instar import cli
from instar.training import loop

take_step = loop.train_step

def take_first_step(*arguments):
    take_step(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(time.time(), used.ru_utime + used.ru_stime, flush=True)
    os._exit(0)

loop.train_step = take_first_step
cli.main()
"""


def measure_statistics(topic: Topic) -> None:
    """Measure the statistics of images over Pillow's histograms."""
    pixels = torch.randint(0, 256, (IMAGES, 3, 224, 224), dtype=torch.uint8)
    samples = Samples.all_of(Source("images", pixels, torch.zeros(IMAGES, dtype=torch.int64), ("a",)))

    def count() -> list[list[int]]:
        return [Image.fromarray(channel).histogram() for image in pixels.numpy() for channel in image]

    case = f"statistics of {IMAGES} images of 224 x 224, over Pillow's histograms"
    topic.compare(case, lambda: seconds(lambda: statistics(samples)), lambda: seconds(count))


def photographs(count: int) -> datasets.Dataset:
    """Return encoded JPEG files of 640 x 480, smooth with a little noise as photographs are."""
    random, rows = np.random.default_rng(0), []
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((640, 480))
        noisy = np.asarray(coarse).astype(int) + random.integers(-12, 13, (480, 640, 3))
        file = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        rows.append({"bytes": file.getvalue(), "path": None})
    return datasets.Dataset.from_dict({"image": rows}, datasets.Features(image=datasets.Image(decode=False)))


def measure_decoding(topic: Topic) -> None:
    """Measure decoding with one thread for each core over one thread."""
    rows, form, cores = photographs(64), ImageForm((224, 224), "crop"), in_order.count_cores()

    def decode(workers: int) -> float:
        in_order.count_cores = lambda: workers
        return seconds(lambda: sum(1 for _ in decode_images(rows, "image", form, [])))

    case = f"decoding of 64 photographs of 640 x 480 to 224 x 224, {cores} threads over one"
    topic.compare(case, lambda: decode(cores), lambda: decode(1))


def grown_by_text(path: str) -> int:
    """Return the bytes of memory, without mapped files, that a text and a few of its windows take."""
    before = status("RssAnon")
    source = cut_windows("text", Path(path), ("a", "b"), 0, 512)
    taken = source.inputs[::1000].clone(), source.labels[::1000].long()
    found = status("RssAnon") - before
    del taken
    return found


def measure_text(topic: Topic) -> None:
    """Measure the memory of a text."""
    case = f"memory of a text of {TOKENS:,} tokens"
    if not topic.wanted(case):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.npy"
        np.save(path, np.zeros(TOKENS, dtype=np.int32))
        grown = in_new_process(grown_by_text, str(path))
    topic.add(Measured(case, grown / TOKENS, "bytes per token", None, None, 1, None))


def measure_start(topic: Topic, data: str) -> None:
    """Measure a warm start on MNIST up to the end of its first step."""
    case = "instar train, from the command to the end of the first step on MNIST"
    if not topic.wanted(case):
        return
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = []
    for _ in range(1 + topic.rounds):  # the first one decodes
        with tempfile.TemporaryDirectory() as folder:
            flags = ["--model", "mlp", "--arg", "widths=[500,300]", "--out", f"{folder}/run"]
            command = [sys.executable, "-c", START, "train", data, *flags]
            begin = time.time()
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            end, processor = map(float, done.stdout.split())
            found.append((end - begin, processor))
    for values, unit in zip(zip(*found[1:], strict=True), ("seconds", "processor seconds"), strict=True):
        value = sorted(values)[topic.rounds // 2]
        topic.add(Measured(f"{case}, {unit}", value, unit, None, None, topic.rounds, (min(values), max(values))))


def main() -> None:
    """Measure all cases."""
    arguments = parser(__doc__, data="../shared/data/mnist").parse_args()
    topic = Topic("first_step", arguments)
    measure_statistics(topic)
    measure_decoding(topic)
    measure_text(topic)
    measure_start(topic, arguments.data)
    topic.write()


if __name__ == "__main__":
    main()
