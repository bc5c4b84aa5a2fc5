"""The arguments and flags of all commands, each declared once.

A flag that is not given is None, and is left out of the call: defaults belong to the functions. Where a help text names
one in brackets, a test compares it with the function.
"""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.trust import (
    import_all_named,
    import_from_here,
    import_named,
    trust_typed,
    trust_typed_name,
    trust_typed_settings,
)

# what a command is about
DataArgument = Annotated[
    str | None,
    typer.Argument(
        help='"digits", a Hugging Face Hub id, a local folder in the layout of the Hub, a file of rows, or '
        "package.module:function",
        callback=trust_typed_name,
    ),
]
DecodedDataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="Hugging Face Hub id, local folder or file of rows that a run has read")
]
RunArgument = Annotated[str, typer.Argument(help="run folder")]
ExportedArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="run folder, or a file of trees that born-again-tree wrote")
]
SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="run folder, target store, file of a fitted estimator or of trees, or package.module:Name of a teacher",
        callback=trust_typed_name,
    ),
]
LayersArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="run folder, family such as resnet, or package.module:Class", callback=import_named
    ),
]
ShapeDataOption = Annotated[
    str | None,
    typer.Option("--data", help="data that give the shapes; a run folder needs none", callback=trust_typed_name),
]
LossArgument = Annotated[
    str,
    typer.Argument(metavar="FUNCTION", help="package.module:function of a loss", callback=import_named),
]
LossArgumentsOption = Annotated[
    str | None,
    typer.Option(
        "--arguments",
        help="what the loss takes, in its order, such as y_s=student,y_t=teacher,T=temperature,alpha=0.9 "
        "[default: student,teacher,labels,temperature]",
    ),
]
LossTemperatureOption = Annotated[
    float | None, typer.Option("--temperature", help="temperature of the experiments [default: 4.0]")
]
MembersArgument = Annotated[list[str], typer.Argument(metavar="RUNS...", help="complete run folders")]
RunsArgument = Annotated[list[str], typer.Argument(help="run folders, or folders that hold some at any depth")]
MethodsArgument = Annotated[
    list[str],
    typer.Argument(
        help="two or more run folders, or folders with runs that differ only in their seed; the first is the reference"
    ),
]
FilesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUTS...", help="images, recordings, texts, or one file of rows (CSV, JSON, Parquet) or lines (.txt)"
    ),
]
StoreArgument = Annotated[str, typer.Argument(help="target store")]
StoresArgument = Annotated[list[str], typer.Argument(help="target stores made with --share")]
GeneralistArgument = Annotated[str, typer.Argument(help="run folder of the generalist")]
SpecialistsArgument = Annotated[
    list[str], typer.Argument(help="run folders of specialists, or the folder that holds them")
]
CombinedArgument = Annotated[str, typer.Argument(help="run folder that specialists combine made")]

# what comes in
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="family, such as mlp, cnn or wide-resnet, or package.module:Class", callback=import_named
    ),
]
ArgOption = Annotated[
    list[str] | None, typer.Option("--arg", help="argument of the model, as name=value; may be repeated")
]
TeacherOption = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        help="run folder, target store or package.module:Name; repeat the flag for an ensemble",
        callback=import_all_named,
    ),
]
OneTeacherOption = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        help="run folder of a teacher, or package.module:Name; adds the agreement with it",
        callback=import_named,
    ),
]
TeacherArgOption = Annotated[
    list[str] | None, typer.Option("--teacher-arg", help="argument of --teacher, as name=value; may be repeated")
]
TeacherWeightsOption = Annotated[
    str | None,
    typer.Option("--teacher-weights", help="weights of --teacher: safetensors, or a state dict of PyTorch (.pt)"),
]
TeacherReaderOption = Annotated[
    str | None,
    typer.Option(
        "--teacher-reader",
        help='how --teacher reads inputs, such as "Pixels(64, mean=[0.5], std=[0.25])"',
        callback=trust_typed,
    ),
]
TeacherClassesOption = Annotated[
    str | None,
    typer.Option("--teacher-classes", help="classes of --teacher in the order of its outputs, such as [dog,cat]"),
]
CombineOption = Annotated[
    str | None,
    typer.Option(
        "--combine",
        help="how to average several teachers: geometric (mean of logits; default) or arithmetic (of probabilities)",
    ),
]
MembersCombineOption = Annotated[
    str | None,
    typer.Option("--combine", help="arithmetic (mean of probabilities; default) or geometric (mean of logits)"),
]
StartOption = Annotated[
    str | None, typer.Option("--start", help="run folder with the initial weights, or teacher (see start_layers)")
]
OtherDataOption = Annotated[
    str | None,
    typer.Option("--data", help="data to use instead of the recorded data", callback=trust_typed_name),
]
NetworkOption = Annotated[
    str | None,
    typer.Option("--network", help="package.module:name of a function that makes the network of a run; needs --trust"),
]
TeacherNetworkOption = Annotated[
    str | None, typer.Option("--teacher-network", help="--network for the run folder of --teacher")
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="allow imports of classes outside instar.models", callback=import_from_here),
]

# how a student learns
ReaderOption = Annotated[
    str | None,
    typer.Option(
        "--reader",
        help='how the model reads inputs, such as "Pixels(32)" to resize images; or package.module:Class',
        callback=trust_typed,
    ),
]
ObjectiveOption = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help='weighted sum of terms, such as "SoftTargets(4) + 0.1 * HardLabels()"; a term may be package.module:Class',
        callback=trust_typed,
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option("--temperature", help="T of the objective 'SoftTargets(T) + 0.1 * HardLabels()'; 4 if not given"),
]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        help="online queries the teacher at each step; memory, store or a folder of stores: once per sample and view",
    ),
]
ViewsOption = Annotated[
    str | None,
    typer.Option(
        "--views",
        help='augmentation, such as "Crop(4) + Flip()"; a view may be package.module:Class',
        callback=trust_typed,
    ),
]
NumViewsOption = Annotated[int | None, typer.Option("--num-views", min=1, help="views per sample, used in turn")]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="passes over the training samples")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="seed of initial weights, data order, dropout and views")
]
ConfigOption = Annotated[str | None, typer.Option("--config", help="YAML file with settings")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="any setting, such as training.learning_rate=0.1; may be repeated",
        callback=trust_typed_settings,
    ),
]
JobsOption = Annotated[
    str | None,
    typer.Option("--jobs", help='number of runs at a time, or Ray, as in "ray?gpus=0.5" or "ray://host:port?cpus=2"'),
]

# a search
TemperaturesOption = Annotated[  # text, because Typer's lists repeat the flag, and a grid is one word: 1,2,4
    str | None,
    typer.Option("--temperatures", help="values of T in SoftTargets(T) to try; 1,2,4,8 for classes if left out"),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="values of w to try in SoftTargets(T) + w * HardLabels(), or for numbers in SquaredError('teacher') + "
        "w * SquaredError(); 0: no labels [default: 0,0.1,0.5]",
    ),
]
SearchSeedsOption = Annotated[
    int | None, typer.Option("--seeds", help="seeds of the candidates that are never dropped, at least 2 [default: 3]")
]
CriterionOption = Annotated[
    str | None,
    typer.Option(
        "--criterion", help="validation score to minimise: error (usual) or nll; for numbers rmse (usual) or mae"
    ),
]

# target stores
PredictionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="file of predictions, in place of a teacher: .npy, .npz, .parquet, .csv, .tsv, .json or .jsonl; "
        "repeat as SPLIT=FILE",
    ),
]
ValuesOption = Annotated[
    str | None, typer.Option("--values", help="what the numbers of --from are: probabilities or logits")
]
ColumnOption = Annotated[str | None, typer.Option("--column", help="column of --from with a list per row")]
IdColumnOption = Annotated[
    str | None,
    typer.Option("--id-column", help="column of ids in --from and in the data; if not given, rows are in order"),
]
KeepOption = Annotated[str | None, typer.Option("--keep", help="classes to store: all, top:K or sample:N")]
DtypeOption = Annotated[
    str | None, typer.Option("--dtype", help="type of the stored numbers: float32, float16 or bfloat16")
]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="LAYER",
        help="hidden layer to store too: a name, a pattern such as 'blocks.*', or stages; repeat for several",
    ),
]
StoreTemperatureOption = Annotated[
    float | None,
    typer.Option("--temperature", help="temperature of top:K, sample:N and arithmetic means; 1 if not given"),
]
StoreSeedOption = Annotated[int | None, typer.Option("--seed", help="seed of the views and of the drawn classes")]
HeldOutOption = Annotated[
    bool | None,
    typer.Option("--held-out/--no-held-out", help="also label the validation and test samples [default: True]"),
]
TeacherPrecisionOption = Annotated[
    str | None, typer.Option("--precision", help="precision of the teacher: float32, float32-fast or bfloat16")
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="samples that the teacher labels at a time [default: 256]")
]
ShareOption = Annotated[  # for machines without a common disk; processes that see one folder share by locks
    str | None,
    typer.Option(
        "--share", help="i/n: label only the i-th of n shares, to merge later; on one disk, repeat the command instead"
    ),
]
ShardRowsOption = Annotated[int | None, typer.Option("--shard-rows", min=1, help="rows per shard")]
RowsOption = Annotated[
    int | None,
    typer.Option("--rows", min=0, help="rows of each part that the teacher labels again [default: 256]"),
]
RowsSeedOption = Annotated[int | None, typer.Option("--seed", help="seed of the choice of rows [default: 0]")]

# what is measured
SplitOption = Annotated[str | None, typer.Option("--split", help="train, validation or test [default: test]")]
CoverageSplitOption = Annotated[
    str | None, typer.Option("--split", help="test, or validation to choose settings [default: test]")
]
ClusterSplitOption = Annotated[
    str | None, typer.Option("--split", help="train, or validation for a generalist that overfits [default: train]")
]
ClassOption = Annotated[list[str], typer.Option("--class", help="name of a class to shift; may be repeated")]
RuleOption = Annotated[
    str | None,
    typer.Option("--rule", help="prior (needs no labels) or labelled (needs a validation split) [default: prior]"),
]
OffsetOption = Annotated[float | None, typer.Option("--offset", help="offset in nats, instead of a rule")]
PriorOption = Annotated[
    str | None,
    typer.Option("--prior", help="share of every class, separated by commas; the shares in train if not given"),
]
ResamplesOption = Annotated[
    int | None,
    typer.Option("--resamples", min=1, help="resamples of the bootstrap over test samples [default: 10000]"),
]
BootstrapSeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="seed of the bootstrap [default: 0]")]

TopClassesOption = Annotated[
    int | None, typer.Option("--top", min=1, help="classes to show for each file, likeliest first [default: 1]")
]

# what is written: a folder for each verb, because each says what it holds and how to resume
OutOption = Annotated[str, typer.Option("--out", help="run folder; run the same command again to resume")]
SearchOutOption = Annotated[
    str, typer.Option("--out", help="folder of the search; run the same command again to resume")
]
SpecialistsOutOption = Annotated[
    str, typer.Option("--out", help="folder of the specialists' runs; run the same command again to resume")
]
StoreOutOption = Annotated[str, typer.Option("--out", help="target store; run the same command again to resume")]
MergedOutOption = Annotated[str, typer.Option("--out", help="folder of the merged store")]
CorrectedOutOption = Annotated[str, typer.Option("--out", help="folder of the corrected run")]
ClustersOutOption = Annotated[str | None, typer.Option("--out", help="JSON file for the clusters")]
ReportOutOption = Annotated[
    str | None, typer.Option("--out", help="HTML file; report.html in the common folder if not given")
]
ExportOutOption = Annotated[
    str | None, typer.Option("--out", help="file or folder; in the folder export of the run if not given")
]
ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        help="onnx, safetensors, torchscript, hub (a folder for the Hub) or transformers (a folder); of decision trees "
        "also python, c, rules or scikit-learn; of a file of trees python, c or rules",
    ),
]
QuantiseOption = Annotated[
    str | None,
    typer.Option("--quantise", help="int8: an ONNX file with weights of 8 bits, compared with the float one"),
]
ToleranceOption = Annotated[
    float | None,
    typer.Option("--tolerance", help="largest allowed difference of a logit, in nats [default: 0.0001]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON on stdout")]
