"""Log-mel frames: by the definition, by sums, and by sounds whose frames are known."""

import cmath
import math

import numpy as np
import pytest

from instar.data.log_mel import MIN_ENERGY, NUM_BANDS, log_mel, mel_bands


def tone(frequency: float, samples: int = 2000, rate: int = 8000, height: float = 0.5) -> np.ndarray:
    return height * np.sin(2 * np.pi * frequency * np.arange(samples) / rate)


def tops(rate: int) -> list[float]:
    """The frequencies at which the bands are highest."""
    step = 1127 * math.log(1 + rate / 2 / 700) / (NUM_BANDS + 1)
    return [700 * (math.exp(step * band / 1127) - 1) for band in range(1, NUM_BANDS + 1)]


def by_definition(wave: np.ndarray, rate: int, transform: int) -> list[list[float]]:
    """The equations of the docstring, sum by sum."""
    width, hop = round(0.025 * rate), round(0.01 * rate)
    feet = [0.0, *tops(rate), rate / 2]
    mel = [1127 * math.log(1 + frequency / 700) for frequency in feet]
    frames = []
    for start in range(0, len(wave) - width + 1, hop):
        energies = [0.0] * NUM_BANDS
        for k in range(transform // 2 + 1):
            total = sum(
                wave[start + i]
                * (0.5 - 0.5 * math.cos(2 * math.pi * i / width))
                * cmath.exp(-2j * math.pi * i * k / transform)
                for i in range(width)
            )
            place = 1127 * math.log(1 + k * rate / transform / 700)
            for band in range(NUM_BANDS):
                below, top, above = mel[band : band + 3]
                height = min((place - below) / (top - below), (above - place) / (above - top))
                energies[band] += max(0.0, height) * abs(total) ** 2
        frames.append([math.log(max(energy, 1e-10)) for energy in energies])
    return frames


@pytest.mark.parametrize(("rate", "transform"), [(8000, 256), (5120, 128)])
def test_frames_are_those_of_the_definition(rate: int, transform: int) -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, round(0.048 * rate))
    found = log_mel(wave, rate)
    assert (found.shape, found.dtype) == ((3, NUM_BANDS), np.float32)
    np.testing.assert_allclose(found, by_definition(wave, rate, transform), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(2, 1), (199, 1), (200, 1), (279, 1), (280, 2), (359, 2), (360, 3), (8000, 98)],
)
def test_there_are_as_many_frames_as_whole_windows_and_at_least_one(samples: int, frames: int) -> None:
    assert log_mel(np.ones(samples), 8000).shape == (frames, NUM_BANDS)


def test_a_recording_shorter_than_a_window_has_silence_after_it() -> None:
    short = tone(440, samples=90)
    np.testing.assert_array_equal(log_mel(short, 8000), log_mel(np.concatenate([short, np.zeros(110)]), 8000))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("band", [0, 3, 11, 20, 33, 39])
def test_a_tone_is_loudest_in_the_band_of_its_frequency(rate: int, band: int) -> None:
    frames = log_mel(tone(tops(rate)[band], samples=rate // 4, rate=rate), rate)
    assert (np.abs(frames.argmax(1) - band) <= (1 if band == 0 else 0)).all()  # frequency 0 mirrors the lowest tone


def test_a_tone_twice_as_high_has_four_times_the_energy() -> None:
    quiet, loud = (log_mel(tone(1000, height=height), 8000) for height in (0.2, 0.4))
    np.testing.assert_allclose(loud[:, 20:24] - quiet[:, 20:24], math.log(4), atol=1e-4)


def test_silence_is_the_logarithm_of_the_floor() -> None:
    np.testing.assert_array_equal(
        log_mel(np.zeros(1000), 8000), np.full((11, NUM_BANDS), np.log(np.float32(MIN_ENERGY)))
    )


def test_the_rounding_of_sixteen_bits_is_above_the_floor() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000) / 32768
    assert (log_mel(noise, 8000) > math.log(MIN_ENERGY)).all()


@pytest.mark.parametrize("rate", [4000, 5119, 5120, 5121, 8000, 11025, 16000, 22050, 44100, 48000])
def test_every_band_has_a_frequency_and_bands_share_what_lies_between_their_tops(rate: int) -> None:
    weights = mel_bands(rate)
    assert (weights.max(0) > 0).all()
    frequencies = np.linspace(0, rate / 2, len(weights))
    between = (frequencies >= tops(rate)[0]) & (frequencies <= tops(rate)[-1])
    np.testing.assert_allclose(weights[between].sum(1), 1)
    assert (weights >= 0).all()
    assert (weights <= 1).all()
