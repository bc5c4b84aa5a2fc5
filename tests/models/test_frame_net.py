"""Networks over frames: the same function at every frame, independent of the padding of a batch."""

import pytest
import torch

from instar.data import Samples, Source
from instar.errors import ConfigError, MismatchError
from instar.models import MLP, FrameNet, Normalised, build_network, describe_model, load_model, save_model, statistics
from instar.runs.run import Run

BANDS, CLASSES = 5, 6
LENGTHS = torch.tensor([4, 9, 1])


def net(context=(3, 2), widths=(8, 7), **options):
    torch.manual_seed(0)
    return FrameNet(widths, context, **options, input_shape=(9, BANDS), num_classes=CLASSES).eval()


def recordings(longest=9):
    """Recordings that are padded with their last frame, as `instar.data` does it."""
    frames = torch.randn(len(LENGTHS), 9, BANDS, generator=torch.Generator().manual_seed(1)) * 3 + 1
    places = torch.minimum(torch.arange(longest), LENGTHS[:, None] - 1)
    return frames.gather(1, places[:, :, None].expand(-1, -1, BANDS))


def source(longest=9):
    valid = torch.arange(longest) < LENGTHS[:, None]
    labels = torch.where(valid, torch.arange(longest) % CLASSES, -1)
    return Source("words", recordings(longest), labels, tuple("abcdef"), lengths=LENGTHS)


@pytest.mark.parametrize("context", [(3, 2), (0, 0), (0, 4), (20, 5)])
def test_each_frame_gets_the_logits_of_an_mlp_on_its_window(context):
    model, (left, right) = net(context), context
    alone = MLP([8, 7], input_shape=(left + 1 + right, BANDS), num_classes=CLASSES)
    alone.load_state_dict(model.state_dict())
    frames = recordings()
    logits, features = model.features(frames)
    assert logits.shape == (3, 9, CLASSES)
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "hidden1": (3, 9, 8),
        "hidden2": (3, 9, 7),
    }
    for frame in range(9):
        window = [frames[:, min(max(place, 0), 8)] for place in range(frame - left, frame + right + 1)]
        torch.testing.assert_close(logits[:, frame], alone(torch.stack(window, 1)))
        torch.testing.assert_close(features["hidden1"][:, frame], alone.features(torch.stack(window, 1))[1]["hidden1"])


@pytest.mark.parametrize("context", [(3, 2), (0, 8), (20, 5)])
def test_logits_of_valid_frames_do_not_depend_on_how_far_a_batch_is_padded(context):
    model = Normalised(net(context), *statistics(Samples.all_of(source())))
    for row, length in enumerate(LENGTHS.tolist()):
        expected = model(recordings()[row : row + 1, :length])  # by itself, without padding
        for longest in (9, 14, 40):
            torch.testing.assert_close(model(recordings(longest))[row : row + 1, :length], expected)


def test_only_frames_in_the_window_change_a_logit():
    model, frames = net((3, 2), widths=()), recordings()[1:2]
    for changed in range(9):
        other = frames.clone()
        other[0, changed] += 1
        differs = (model(other) != model(frames)).any(2)[0].nonzero()[:, 0].tolist()
        reach = [frame for frame in range(9) if frame - 3 <= changed <= frame + 2]
        assert differs == reach


def test_dropout_is_active_in_training_only():
    model, frames = net(widths=(64,), dropout=0.5, input_dropout=0.5), recordings()
    assert torch.equal(model(frames), model(frames))
    model.train()
    assert not torch.equal(model(frames), model(frames))


def test_statistics_are_of_valid_frames_by_band():
    whole = source(14)
    mean, std = statistics(Samples.all_of(whole))
    frames = torch.cat([row[:length] for row, length in zip(whole.inputs, LENGTHS, strict=True)]).double()
    assert mean.shape == std.shape == (BANDS,)
    torch.testing.assert_close(mean.double(), frames.mean(0))
    torch.testing.assert_close(std.double(), frames.std(0, correction=0))
    some = Samples.all_of(whole).select(torch.tensor([0, 2]))
    torch.testing.assert_close(statistics(some)[0].double(), torch.cat([frames[:4], frames[-1:]]).mean(0))


def test_statistics_are_of_all_frames_where_all_are_valid():
    inputs = torch.randn(4, 7, BANDS, generator=torch.Generator().manual_seed(2))
    whole = Source("full", inputs, torch.zeros(4, 7, dtype=torch.int64), ("a", "b"))
    mean, std = statistics(Samples.all_of(whole))
    torch.testing.assert_close(mean, inputs.mean((0, 1)))
    torch.testing.assert_close(std, inputs.flatten(0, 1).std(0, correction=0))


def test_a_model_comes_back_from_its_folder(tmp_path):
    model = Normalised(net(), *statistics(Samples.all_of(source())))
    run = Run.start(tmp_path / "run", {}, {})
    save_model(run, model, describe_model(model.network), (9, BANDS), tuple("abcdef"))
    again = load_model(run)
    assert torch.equal(again(recordings(12)), model(recordings(12)))
    assert again.network.context == [3, 2]


@pytest.mark.parametrize("context", [(3,), (3, 2, 1), (-1, 2), (1.5, 2), ("a", "b")])
def test_an_invalid_context_is_refused(context):
    with pytest.raises(ConfigError, match=r"FrameNet\(context\) must be two whole numbers of at least 0, got \["):
        FrameNet([8], context)


@pytest.mark.parametrize("shape", [(5,), (1, 8, 8)])
def test_inputs_without_frames_are_refused(shape):
    with pytest.raises(MismatchError, match=rf"'FrameNet' needs \(frames, bands\), got inputs .* \{list(shape)}"):
        build_network(describe_model(FrameNet([8])), shape, CLASSES, trust=False)
