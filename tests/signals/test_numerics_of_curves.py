"""The numerics below the signals, beside scipy, numpy or a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.base.median import median, medians
from advisor.signals import robust
from advisor.signals.curves import View
from advisor.signals.fits import block_medians, fit_curve
from advisor.signals.spikes import find_spikes

stats = pytest.importorskip("scipy.stats")
finite = st.floats(-1e6, 1e6, allow_nan=False)
curves = arrays(np.float64, st.integers(1, 90), elements=finite)
seeds = st.integers(0, 2**32 - 1)


@given(
    arrays(np.float64, st.integers(1, 120), elements=st.floats(-1e300, 1e300) | st.just(math.nan))
)
def test_the_median_is_numpys(values: np.ndarray) -> None:
    expected = float(np.median(values)) if not np.isnan(values).any() else math.nan
    assert median(values) == expected or (math.isnan(median(values)) and math.isnan(expected))
    assert np.array_equal(medians(values[None]), [expected], equal_nan=True)


@given(curves, st.integers(1, 90))
def test_the_running_median_is_the_median_of_each_window(values: np.ndarray, window: int) -> None:
    n, half = values.size, min(window // 2, (values.size - 1) // 2)
    plain = [np.median(values[max(0, i - half) : i + half + 1]) for i in range(n)]
    assert np.allclose(robust.running_median(values, window), plain, rtol=0, atol=0)


@given(arrays(np.float64, st.integers(62, 130), elements=finite), st.sampled_from([5, 61, 62]))
def test_wide_windows_slide_to_the_same_medians(values: np.ndarray, window: int) -> None:
    plain = [np.median(values[i : i + window]) for i in range(values.size - window + 1)]
    assert np.array_equal(robust.sliding_medians(values, window), plain)


@given(curves)
def test_mad_sd_is_scipys(values: np.ndarray) -> None:
    expected = stats.median_abs_deviation(values, scale=1 / robust.MAD_TO_SD)
    assert robust.mad_sd(values) == pytest.approx(expected, rel=1e-12, abs=1e-9)


@given(arrays(np.float64, st.integers(2, 120), elements=st.floats(-1e3, 1e3)), seeds)
def test_theil_sen_is_scipys(values: np.ndarray, seed: int) -> None:
    x = np.sort(np.random.default_rng(seed).uniform(0, 100, values.size))
    x += np.arange(values.size)  # no two alike
    expected = stats.theilslopes(values, x).slope
    assert robust.theil_sen(x, values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(seeds, st.integers(5, 60))
def test_mann_kendall_counts_as_kendall_does(seed: int, n: int) -> None:
    """Of white noise hardly correlated: z times its own variance is the score of Kendall's tau."""
    values = np.random.default_rng(seed).normal(size=n)
    x = np.arange(n, dtype=float)
    score = round(stats.kendalltau(x, values, method="asymptotic").statistic * n * (n - 1) / 2)
    residual = values - stats.theilslopes(values, x).slope * x
    centred = residual - residual.mean()
    r1 = float(np.clip(centred[:-1] @ centred[1:] / (centred @ centred), 0, 0.9)) if n >= 4 else 0
    variance = n * (n - 1) * (2 * n + 5) / 18 * (1 + r1) / (1 - r1)
    expected = (score - math.copysign(1, score)) / math.sqrt(variance) if score else 0.0
    assert robust.mann_kendall_z(values) == pytest.approx(expected, rel=1e-9)


def test_mann_kendall_of_white_noise_is_standard_normal() -> None:
    rng = np.random.default_rng(5)
    found = np.array([robust.mann_kendall_z(rng.normal(size=50)) for _ in range(400)])
    assert abs(found.mean()) < 0.15 and 0.8 < found.std() < 1.1


@given(arrays(np.float64, st.integers(2, 80), elements=st.floats(-1e3, 1e3)), st.integers(0, 9))
def test_the_autocorrelation_is_its_sum(values: np.ndarray, lag: int) -> None:
    centred = values - values.mean()
    variance = centred @ centred
    found = robust.autocorrelation(values, 9)[lag]
    if variance <= 1e-9:
        return
    expected = centred[: values.size - lag] @ centred[lag:] / variance if lag < values.size else 0.0
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    "noise_of",
    [robust.local_noise, robust.bent_noise, robust.noise_around_median, robust.successive_noise],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("sd", [0.01, 2.0])
def test_every_estimate_of_noise_finds_the_deviation_that_was_put_in(noise_of, sd) -> None:  # type: ignore[no-untyped-def]
    """Beside a slope that is a hundred times as steep as the noise from end to end."""
    rng = np.random.default_rng(11)
    found = [
        noise_of(100 * sd * np.linspace(1, 0, 400) + rng.normal(0, sd, 400)) for _ in range(40)
    ]
    assert np.median(found) == pytest.approx(sd, rel=0.12)


@given(st.floats(0.1, 100), st.floats(-50, 50), st.integers(12, 200))
def test_a_line_has_no_noise_and_keeps_its_pace(slope: float, start: float, n: int) -> None:
    x = np.arange(n, dtype=float)
    y = start - slope * x
    assert robust.local_noise(y) <= 1e-9 * slope * n + 1e-12
    assert robust.pace(x, y) == pytest.approx(1.0, rel=1e-6)
    assert robust.line_error(x, y, 0.0) <= 1e-6 * slope * n


def test_the_pace_of_known_shapes() -> None:
    x = np.linspace(0, 1, 3001)
    assert robust.pace(x, np.exp(-5 * x)) == pytest.approx(math.exp(-5 / 3), rel=0.05)
    assert robust.pace(x, -np.log(x + 1e-9)) == pytest.approx(math.log(1.5) / math.log(2), rel=0.05)
    assert robust.pace(x, x) == 0.0


@given(seeds)
@settings(max_examples=30)
def test_persistence_is_one_for_white_noise_and_what_ar1_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    white = rng.normal(size=4000)
    assert robust.persistence(white) == pytest.approx(1.0, abs=0.12)
    slow = np.empty(4000)
    slow[0] = 0.0
    for i in range(1, 4000):
        slow[i] = 0.5 * slow[i - 1] + white[i]
    assert robust.persistence(slow) == pytest.approx(math.sqrt(1.5 / 0.5), rel=0.15)


@given(curves, st.integers(2, 40))
def test_block_medians_are_medians_of_equal_parts(values: np.ndarray, blocks: int) -> None:
    x, y = block_medians(np.arange(values.size, dtype=float), values, blocks)
    if values.size <= blocks:
        assert np.array_equal(y, values)
        return
    expected = [np.median(part) for part in np.array_split(values, blocks)]
    assert np.array_equal(y, expected) and (np.diff(x) > 0).all()


@given(st.sampled_from([1.5, 3.0, 6.0]), st.floats(0.5, 5), st.floats(0.2, 5), st.integers(60, 400))
def test_a_fit_finds_an_exponential_again(rate: float, level: float, fall: float, n: int) -> None:
    t = np.linspace(0, 1, n)
    fit = fit_curve(np.arange(n, dtype=float), level + fall * np.exp(-rate * t))
    assert fit is not None
    assert fit.asymptote == pytest.approx(level, rel=0.02)
    assert fit.now == pytest.approx(level + fall * math.exp(-rate), rel=0.01)
    gain = fall * (math.exp(-rate) - math.exp(-1.5 * rate))
    assert fit.low - 1e-9 <= gain * 1.001 and gain * 0.999 <= fit.high + 1e-9


@given(st.sampled_from([0.3, 0.5, 1.0]), st.floats(0.5, 3), st.floats(0.2, 2))
def test_a_fit_finds_a_power_law_again(power: float, level: float, fall: float) -> None:
    t = np.linspace(0, 1, 300)
    fit = fit_curve(np.arange(300.0), level + fall * (t + 0.03) ** -power)
    assert fit is not None and fit.asymptote == pytest.approx(level, rel=0.02)


def test_too_few_points_are_not_fitted() -> None:
    assert fit_curve(np.arange(7.0), np.ones(7)) is None
    assert fit_curve(np.zeros(9), np.ones(9)) is None


@given(st.integers(20, 170), st.floats(1.0, 20), seeds)
@settings(max_examples=60)
def test_a_jump_is_found_where_it_was_put_and_nowhere_else(
    at: int, height: float, seed: int
) -> None:
    from advisor.rulebook.cases import make_run

    noise = np.random.default_rng(seed).normal(0, 0.01, 200)
    values = 2 + noise
    values[at] += height
    text = " ".join(f"{value:.6f}" for value in values)
    (spike,) = find_spikes(View(make_run({"train/loss": text})).loss, 1.0)
    assert (spike.first, spike.peak, spike.recovery) == (at, at, 1)
    assert spike.height == pytest.approx(height, rel=0.1)


@given(seeds, st.sampled_from(["normal", "uniform"]))
@settings(max_examples=60)
def test_noise_alone_has_no_jump(seed: int, kind: str) -> None:
    from advisor.rulebook.cases import make_run

    values = 2 + 0.05 * getattr(np.random.default_rng(seed), kind)(size=300)
    text = " ".join(f"{value:.6f}" for value in values)
    assert find_spikes(View(make_run({"train/loss": text})).loss, 1.0) == []
