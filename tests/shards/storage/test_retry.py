"""Number of attempts and pauses between them. The resources have tests of their own."""

import pytest

from shards.storage.retry import NUM_ATTEMPTS, pause_s, retry

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.mark.parametrize("num_failures", [0, 1, NUM_ATTEMPTS - 1])
def test_retry_returns_the_first_success(num_failures: int) -> None:
    results = iter([ValueError] * num_failures + ["done"])

    def call() -> str:
        result = next(results)
        if isinstance(result, str):
            return result
        raise result

    assert retry(call, ValueError) == "done"


@pytest.mark.parametrize(("error", "num_calls"), [(ValueError, NUM_ATTEMPTS), (KeyError, 1)])
def test_retry_raises_the_last_error_and_other_errors_at_once(error: type[Exception], num_calls: int) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(error):
        retry(call, ValueError)
    assert len(calls) == num_calls


def test_pauses_double_and_are_spread_over_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.storage.retry.FIRST_PAUSE_S", 1.0)
    assert [pause_s(attempt, 1.0) for attempt in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert [pause_s(attempt, 0.0) for attempt in (1, 2, 3)] == [0.5, 1.0, 2.0]
