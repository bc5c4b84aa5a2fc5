"""What a run folder records of hidden layers for the report, where terms compared some: how alike they are, and maps.

layers.safetensors
  cka                linear CKA of each layer of the student with each of the teacher, float32 `[student, teacher]`
  pictures           a few test images, uint8 `[n, channels, height, width]`
  student.K          where the K-th layer of the pairs is active in them, uint8 `[n, height, width]`
  teacher.K          the same of the teacher's layer
    header: names of the layers of both, the pairs, and the number of weights that terms own
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.layer_similarity import linear_cka
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.models.layer_gradients import GRADIENT, INPUTS
from instar.models.named_layers import Layers
from instar.objectives.features.attention_transfer import attention_map
from instar.objectives.objective import Objective
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.stages.examples import small
from instar.teachers.teacher import Teacher

LAYERS_FILE = "layers.safetensors"
MAX_COMPARED_SAMPLES = 256
MAX_COMPARED_BYTES = 256 << 20
"""Outputs of all layers of both networks, which are held at once."""
MAX_COMPARED_LAYERS = 16
MAX_MAPPED_PICTURES, MAX_MAP_SIDE = 6, 48


def keep_layers(
    run: Run,
    student: Teacher,
    teacher: Teacher | None,
    objective: Objective,
    samples: Samples,
    device: torch.device | str,
    owned: int = 0,
) -> None:
    """Write how alike the layers of student and teacher are, and attention maps of a few test pictures.

    Args:
        run: the folder.
        student: the trained model.
        teacher: its teacher.
        objective: the objective; without terms of hidden layers nothing is written.
        samples: test samples.
        device: device of both networks.
        owned: number of weights that terms own.
    """
    pairs = find_pairs(objective)
    own, theirs = student.layers(), None if teacher is None else teacher.layers()
    # a target store has the layers of training samples alone
    if not pairs or teacher is None or not isinstance(own, Layers) or not isinstance(theirs, Layers):
        return
    names = choose_layers(own, list(pairs)), choose_layers(theirs, list(pairs.values()))
    features = [one.answer(_few(samples, 2, device), names[at]).features for at, one in enumerate((student, teacher))]
    bytes_of_sample = sum(feature.nbytes for found in features for feature in found.values()) // 2
    count = min(MAX_COMPARED_SAMPLES, max(2, MAX_COMPARED_BYTES // max(1, bytes_of_sample)), len(samples))
    batch = _few(samples, count, device)
    first, second = (one.answer(batch, wanted).features for one, wanted in ((student, names[0]), (teacher, names[1])))
    similar = linear_cka([first[name] for name in names[0]], [second[name] for name in names[1]])
    tensors = {"cka": similar.float()} | _maps(batch, pairs, first, second)
    header = {"student": names[0], "teacher": names[1], "pairs": list(pairs.items()), "owned": owned}
    write_tensors(run.path / LAYERS_FILE, tensors, header)


def find_pairs(objective: Objective) -> dict[str, str]:
    """Return the layers of the student that terms compare, with those of the teacher, without inputs."""
    found = {
        own.removeprefix(GRADIENT): theirs.removeprefix(GRADIENT)
        for _, term in objective.parts
        for own, theirs in (term.layers or {}).items()
    }
    return {own: theirs for own, theirs in found.items() if INPUTS not in (own, theirs)}


def choose_layers(layers: Layers, named: list[str]) -> list[str]:
    """Return the layers that terms name and the stages of the network, in its order, at most sixteen."""
    wanted = {*named, *layers.stages}
    # the named ones first, so that a network of many stages does not hide them
    kept = set(sorted(wanted, key=lambda name: name not in named)[:MAX_COMPARED_LAYERS])
    return [name for name in layers.modules if name in kept]


def _few(samples: Samples, count: int, device: torch.device | str) -> Batch:
    some = samples.subset(min(count, len(samples)), seed=0)
    return next(iter(Loader(some, len(some), seed=0, device=device).in_order()))


def _maps(
    batch: Batch, pairs: Mapping[str, str], student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    pictures = small(batch.inputs[:MAX_MAPPED_PICTURES].cpu()) if isinstance(batch.inputs, Tensor) else None
    if pictures is None or pictures.dim() != 4 or pictures.dtype != torch.uint8:
        return {}
    found = {"pictures": pictures}
    for number, (own, theirs) in enumerate(pairs.items()):
        for who, feature in (("student", student[own]), ("teacher", teacher[theirs])):
            if feature.dim() == 4:
                found[f"{who}.{number}"] = _map_of(feature[: len(pictures)])
    return found if len(found) > 1 else {}


def _map_of(feature: Tensor) -> Tensor:
    maps = attention_map(feature.float()).view(len(feature), 1, *feature.shape[2:])
    if max(maps.shape[2:]) > MAX_MAP_SIDE:
        maps = F.adaptive_avg_pool2d(maps, MAX_MAP_SIDE)
    largest = maps.flatten(1).amax(1).clamp(min=1e-12)[:, None, None]
    return (255 * maps[:, 0] / largest).to(torch.uint8).cpu()
