"""Coverage: which facts of a table were shown."""

from callfsm.testing import Coverage, given
from specs.fsm.turnstile import Coin, Maintain, Push, TooLate, Turnstile, turnstile_machine


def test_nothing_is_shown_at_first() -> None:
    """Every row, both outcomes of every guard, and every pair with a policy are to be shown."""
    summary = "turnstile: 0 of 4 rows, 0 of 2 guard outcomes, 0 of 5 policy pairs"
    assert str(Coverage(turnstile_machine)) == summary


def test_missing_facts_are_sentences() -> None:
    """What is missing is said in words, in the order of the table."""
    coverage = Coverage(turnstile_machine)
    with coverage.watching():
        given(turnstile_machine, Turnstile()).after(Coin(50), Push()).when(Maintain())
        given(turnstile_machine, Turnstile(), "open").after(Maintain()).when(Coin(50))
    assert [str(fact) for fact in coverage.missing] == [
        "locked + Coin: the guard of 'locked + Coin [enough] -> open' is never False",
        "locked + Coin: the row 'locked + Coin -> (stay)' is never taken",
        "open + TooLate: the row 'open + TooLate -> locked' is never taken",
        "locked + Push: never left to the policy ignore",
        "locked + TooLate: never left to the policy reject",
    ]


def test_complete() -> None:
    """Nothing is missing when all of it was shown, by whatever model."""
    coverage = Coverage(turnstile_machine)
    with coverage.watching():
        for event in (Coin(10), Coin(50), Push(), Maintain(), TooLate()):
            given(turnstile_machine, Turnstile()).when(event)
        for event in (Coin(50), Push(), Maintain(), TooLate()):
            given(turnstile_machine, Turnstile(), "open").when(event)
    assert coverage.missing == ()


def test_unwatched_steps_do_not_count() -> None:
    """Only what happens while coverage watches is counted."""
    coverage = Coverage(turnstile_machine)
    with coverage.watching():
        pass
    given(turnstile_machine, Turnstile()).when(Push())
    assert coverage.missing == coverage.facts
