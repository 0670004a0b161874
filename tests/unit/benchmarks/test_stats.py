"""The statistics of the benchmark."""

import pytest

from benchmarks import stats


def test_percentiles_are_in_milliseconds():
    found = stats.percentiles(stats.histogram(value / 1000 for value in range(1, 1001)))
    assert found is not None
    assert found.p50 == pytest.approx(500, rel=0.002)
    assert found.p99 == pytest.approx(990, rel=0.002)
    assert found.p999 == pytest.approx(999, rel=0.002)


def test_nothing_has_no_percentiles():
    assert stats.percentiles(stats.histogram(())) is None


def test_a_duration_beyond_the_histogram_counts_as_its_highest():
    found = stats.percentiles(stats.histogram([3600.0]))
    assert found is not None
    assert found.p50 == pytest.approx(60_000, rel=0.002)


def test_merging_keeps_every_value():
    parts = [stats.histogram([0.001] * 30), stats.histogram([0.1] * 70)]
    assert stats.merged(parts).get_total_count() == 100


def test_a_ratio_pairs_the_rounds():
    """A disturbance that doubles both arms of a round does not show."""
    found = stats.ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    assert (found.median, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_is_as_wide_as_the_rounds_differ():
    found = stats.ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert found.median == 3
    assert 1 <= found.low < 3 < found.high <= 5


def test_the_interval_is_the_same_every_time():
    rounds = [1.0, 1.5, 0.7, 1.1, 2.0], [1.0] * 5
    assert stats.ratio(*rounds) == stats.ratio(*rounds)


def test_rounds_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        stats.ratio([1.0, 2.0], [1.0])
