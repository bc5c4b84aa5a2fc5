"""Reading of a run's predictions: ids, labels and logits of the samples of each split."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.errors import RunError
from instar.runs.run import Run

PREDICTIONS_FILE = "predictions.safetensors"


def read_predictions(run: Run) -> dict[str, Tensor]:
    """Return the tensors `SPLIT.ids` `[samples]`, `SPLIT.labels` `[samples, (position)]`, both int64, and predictions.

    Predictions are `SPLIT.logits` `[samples, (position), classes]` or, for very many classes, `SPLIT.nll_and_answer`
    `[samples, (position), 2]`.

    Raises:
        RunError: when the file is missing, damaged, belongs to another run or has wrong shapes; names the tensor.
    """
    tensors, _ = run.tensors(PREDICTIONS_FILE)
    for split in {name.partition(".")[0] for name in tensors}:
        if f"{split}.ids" not in tensors:
            raise RunError(f"'{run.path / PREDICTIONS_FILE}' is damaged: it has no '{split}.ids'.")
        ids = tensors[f"{split}.ids"]
        found = "logits" if f"{split}.logits" in tensors else "nll_and_answer"
        # a missing tensor is an error of the reader that needs it, so zeros stand for it here
        predicted = tensors.get(f"{split}.{found}", torch.zeros(*tensors.get(f"{split}.labels", ids).shape, 2))
        labels = tensors.get(f"{split}.labels", torch.zeros(predicted.shape[:-1], dtype=torch.int64))
        for name, tensor, is_valid in (
            ("ids", ids, ids.dtype == torch.int64 and ids.dim() == 1),
            ("labels", labels, labels.dtype == torch.int64 and 1 <= labels.dim() <= 2 and len(labels) == len(ids)),
            (found, predicted, predicted.is_floating_point() and predicted.shape[:-1] == labels.shape),
            # numel, because a tensor without axes has no last one
            (found, predicted, predicted.shape[-1:].numel() == 2 if found == "nll_and_answer" else True),
        ):
            if not is_valid:
                raise RunError(
                    f"'{run.path / PREDICTIONS_FILE}' is damaged: '{split}.{name}' is {tensor.dtype} of shape "
                    f"{list(tensor.shape)}, which does not fit {len(ids)} samples."
                )
        # otherwise gathering the logit of a label would end in an index error; negative labels mean "no label"
        if found == "logits" and labels.numel() and int(labels.max()) >= predicted.shape[-1]:
            raise RunError(f"'{run.path / PREDICTIONS_FILE}' is damaged: '{split}.labels' has classes without a logit.")
    return tensors
