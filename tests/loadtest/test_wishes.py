"""What actors say: each reaction moves a count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallycast_loadtest.wishes import Rule, Wishes

RULES = {
    "like": Rule("toggle", "opinion"),
    "dislike": Rule("toggle", "opinion"),
    "love": Rule("toggle"),
    "clap": Rule("amount", max=2),
    "share": Rule("event"),
}


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.sampled_from(list(RULES))), max_size=40))
def test_each_wish_differs_from_what_stands(picks: list[tuple[int, str, str]]) -> None:
    wishes = Wishes(RULES)
    stands: dict[tuple[int, str, str], int] = {}
    for actor, item, kind in picks:
        value = wishes.next(actor, item, kind)
        if value is None:
            assert kind == "share"
            continue
        assert value != stands.get((actor, item, kind), 0)
        assert 0 <= value <= (2 if kind == "clap" else 1)
        stands[actor, item, kind] = value
        if value and kind in ("like", "dislike"):
            stands[actor, item, "dislike" if kind == "like" else "like"] = 0


def test_toggles_alternate_and_amounts_begin_anew_at_their_end() -> None:
    wishes = Wishes(RULES)
    assert [wishes.next(0, "a", "love") for _ in range(4)] == [1, 0, 1, 0]
    assert [wishes.next(0, "a", "clap") for _ in range(4)] == [1, 2, 0, 1]
    assert wishes.next(1, "a", "love") == 1
