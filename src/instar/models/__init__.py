"""Networks: the built-in families, your own classes by import path, and the normalisation of their inputs."""

from instar.compute.projected import Projected
from instar.models.architecture import Adopting, Architecture
from instar.models.bag import Bag
from instar.models.ban_resnet import BANResNet
from instar.models.boosting import Boosting
from instar.models.build import MODELS, build_network, describe_model, last_layer
from instar.models.carried import Carried
from instar.models.causal_lm import CausalLM
from instar.models.character_lstm import CharacterLSTM
from instar.models.cnn import CNN
from instar.models.copying import copy_network
from instar.models.densenet import DenseNet
from instar.models.dropout import Dropout
from instar.models.estimator import Estimator
from instar.models.fitted import Fitted
from instar.models.forest import Forest
from instar.models.frame_net import FrameNet
from instar.models.imported import import_model
from instar.models.input_statistics import statistics
from instar.models.linear import Linear
from instar.models.lstm import LSTM
from instar.models.mlp import MLP
from instar.models.modes import find_frozen_layers, in_eval_mode, set_train_mode
from instar.models.nearest import Nearest
from instar.models.normalised import Normalised, reader_of
from instar.models.outputs import logits_of
from instar.models.preact_resnet import PreActivationResNet
from instar.models.probe import refuse_another_network, write_probe
from instar.models.rebuilding import why_not_rebuilt
from instar.models.resnet import ResNet
from instar.models.start import start_from
from instar.models.text_lstm import TextLSTM
from instar.models.text_transformer import TextTransformer
from instar.models.trained import (
    TrainedRun,
    attach_network,
    lend_network,
    load_model,
    network_of,
    restore_model,
    save_model,
)
from instar.models.tree import Tree
from instar.models.vgg import VGG
from instar.models.wide_resnet import WideResNet

__all__ = [
    "CNN",
    "LSTM",
    "MLP",
    "MODELS",
    "VGG",
    "Adopting",
    "Architecture",
    "BANResNet",
    "Bag",
    "Boosting",
    "Carried",
    "CausalLM",
    "CharacterLSTM",
    "DenseNet",
    "Dropout",
    "Estimator",
    "Fitted",
    "Forest",
    "FrameNet",
    "Linear",
    "Nearest",
    "Normalised",
    "PreActivationResNet",
    "Projected",
    "ResNet",
    "TextLSTM",
    "TextTransformer",
    "TrainedRun",
    "Tree",
    "WideResNet",
    "attach_network",
    "build_network",
    "copy_network",
    "describe_model",
    "find_frozen_layers",
    "import_model",
    "in_eval_mode",
    "last_layer",
    "lend_network",
    "load_model",
    "logits_of",
    "network_of",
    "reader_of",
    "refuse_another_network",
    "restore_model",
    "save_model",
    "set_train_mode",
    "start_from",
    "statistics",
    "why_not_rebuilt",
    "write_probe",
]
