"""The bounded memory of answers."""

from subgraph.policy.memo import Memo


def test_answer_holds_until_its_deadline() -> None:
    memo: Memo[str, bool] = Memo(2)
    memo.put("a", False, 10)
    assert (memo.get("a", 9.9), memo.get("a", 10)) == (False, None)


def test_oldest_answer_makes_room() -> None:
    memo: Memo[str, int] = Memo(2)
    memo.put("a", 1, 10)
    memo.put("b", 2, 10)
    memo.put("a", 3, 10)
    memo.put("c", 4, 10)
    assert [memo.get(key, 0) for key in "abc"] == [3, None, 4]


def test_size_is_never_exceeded() -> None:
    memo: Memo[int, int] = Memo(3)
    for number in range(10):
        memo.put(number, number, 10)
    assert len(memo) == 3
