"""One operation too many is refused, and places come back."""

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.admission import Admission


def test_full_house_is_refused() -> None:
    admission = Admission(1)
    with admission.places(1), pytest.raises(SubgraphError) as refused:
        admission.check()
    assert refused.value.code is ErrorCode.OVERLOADED


def test_batch_that_does_not_fit_is_refused() -> None:
    admission = Admission(3)
    with admission.places(1), pytest.raises(SubgraphError) as refused, admission.places(3):
        pass
    assert refused.value.code is ErrorCode.OVERLOADED


def test_large_batch_runs_alone() -> None:
    admission = Admission(2)
    with admission.places(5):
        assert admission.running == 5


def test_places_come_back_after_a_failure() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission.places(1):
        raise ZeroDivisionError
    admission.check()
    assert admission.running == 0
