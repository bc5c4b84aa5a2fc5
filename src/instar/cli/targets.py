"""`synthesise`, `label`, and `targets info | verify | merge`."""

from __future__ import annotations

import instar
from instar.cli import options, transfer_options
from instar.cli.output import print_result, print_store
from instar.cli.settings import (
    only_given,
    parse_parts,
    parse_predictions,
    parse_settings,
    parse_share,
    parse_shared,
    parse_teachers,
)


def synthesise(
    data: transfer_options.TableArgument,
    *,
    out: transfer_options.RowsFileOption,
    rows: transfer_options.MadeRowsOption,
    method: transfer_options.MethodOption = None,
    first: transfer_options.FirstRowOption = None,
    seed: transfer_options.MadeSeedOption = None,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Make rows like those of a table, without labels.

    Row i depends on the seed and i alone. A teacher labels the file with: instar distill DATA --transfer FILE.

    Example: instar synthesise customers --set data.label_column=left --rows 10000 --out made.parquet
    """
    given = only_given(method=method, first=first, seed=seed, settings=parse_settings(settings), trust=trust)
    found = instar.synthesise(data, rows=rows, out=out, **given)
    count, columns = found.shape
    print_result(
        {"file": out, "rows": count, "columns": columns}, f"{out}\n  {count:,} rows of {columns:,} columns", as_json
    )


def label(
    data: options.DataArgument = None,
    *,
    out: options.StoreOutOption,
    teacher: options.TeacherOption = None,
    teacher_arg: options.TeacherArgOption = None,
    teacher_weights: options.TeacherWeightsOption = None,
    teacher_reader: options.TeacherReaderOption = None,
    teacher_classes: options.TeacherClassesOption = None,
    predictions: options.PredictionsOption = None,
    values: options.ValuesOption = None,
    column: options.ColumnOption = None,
    id_column: options.IdColumnOption = None,
    views: options.ViewsOption = None,
    num_views: options.NumViewsOption = None,
    keep: options.KeepOption = None,
    dtype: options.DtypeOption = None,
    features: options.FeaturesOption = None,
    temperature: options.StoreTemperatureOption = None,
    seed: options.StoreSeedOption = None,
    held_out: options.HeldOutOption = None,
    combine: options.CombineOption = None,
    precision: options.TeacherPrecisionOption = None,
    batch_size: options.BatchSizeOption = None,
    share: options.ShareOption = None,
    shard_rows: options.ShardRowsOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Write a teacher's targets, or predictions from a file (--from), to a target store.

    The teacher labels every sample in every view once; students then learn from the store.

    Example: instar label digits --teacher runs/teacher --keep top:5 --temperature 4 --out runs/targets
    """
    given = parse_parts(teacher_arg, teacher_weights, teacher_reader, teacher_classes) | only_given(
        views=views,
        num_views=num_views,
        keep=keep,
        dtype=dtype,
        features=features,
        temperature=temperature,
        seed=seed,
        held_out=held_out,
        combine=combine,
        precision=precision,
        batch_size=batch_size,
        share=parse_share(share),
        shard_rows=shard_rows,
    )
    reading = only_given(values=values, column=column, id_column=id_column)
    chosen = parse_predictions(predictions, parse_teachers(teacher), reading)
    store = instar.label(data, chosen, out=out, **parse_shared(config, settings, network, trust), **given)
    print_store(store, as_json)


def info(store: options.StoreArgument, as_json: options.JsonOption = False) -> None:
    """Describe a target store: teacher, data, size, and missing shards."""
    print_store(store, as_json)


def verify(
    store: options.StoreArgument,
    teacher: options.TeacherOption = None,
    teacher_arg: options.TeacherArgOption = None,
    teacher_weights: options.TeacherWeightsOption = None,
    teacher_reader: options.TeacherReaderOption = None,
    teacher_classes: options.TeacherClassesOption = None,
    data: options.OtherDataOption = None,
    rows: options.RowsOption = None,
    seed: options.RowsSeedOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Verify checksums, and compare rows with the teacher."""
    given = only_given(teacher=parse_teachers(teacher), data=data, rows=rows, seed=seed, network=network)
    given |= parse_parts(teacher_arg, teacher_weights, teacher_reader, teacher_classes)
    found = instar.verify_targets(store, trust=trust, **given)
    print_result(found.as_dict(), found, as_json)


def merge(stores: options.StoresArgument, out: options.MergedOutOption, as_json: options.JsonOption = False) -> None:
    """Merge the shares of a target store into one store."""
    print_store(instar.merge_targets(stores, out), as_json)
