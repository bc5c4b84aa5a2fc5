"""Networks: our families, any class of yours by import path, and the statistics of their inputs."""

from instar.models.architecture import Architecture
from instar.models.build import MODELS, build_network, describe, last_bias, load_model, save_model
from instar.models.cnn import CNN
from instar.models.dropout import Dropout
from instar.models.mlp import MLP
from instar.models.normalised import Normalised, statistics
from instar.models.resnet import ResNet

__all__ = [
    "CNN",
    "MLP",
    "MODELS",
    "Architecture",
    "Dropout",
    "Normalised",
    "ResNet",
    "build_network",
    "describe",
    "last_bias",
    "load_model",
    "save_model",
    "statistics",
]
