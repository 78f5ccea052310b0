"""A call's settings are checked together, once, and a mistake is one clear sentence."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.errors import ConfigError


def test_the_defaults_are_the_users_plan() -> None:
    """5 s windows, 1 s of overlap, 4 s of stride, a buffer of 10 s."""
    plan = WindowSettings()
    assert (plan.window_s, plan.overlap_s, plan.stride_s, plan.buffer_s) == (5.0, 1.0, 4.0, 10.0)
    assert (plan.mode, plan.pause_s) == ("stream", 0.3)


@pytest.mark.parametrize(
    "chosen",
    [
        {"window_s": 8.0, "overlap_s": 2.0, "stride_s": 6.0},
        {"window_s": 1.0, "overlap_s": 0.5, "stride_s": 0.5},
        {"window_s": 29.0, "overlap_s": 0.0, "stride_s": 29.0, "buffer_s": 29.0},
        {"window_s": 5.0, "overlap_s": 0.7, "stride_s": 4.3},
        {"buffer_s": 5.0},
        {"eager_step_s": 0.0},
        {"lead_in_s": 0.0},
    ],
)
def test_what_fits_together_is_accepted(chosen: dict[str, float]) -> None:
    """All three of window, overlap and stride can be chosen."""
    settings = WindowSettings(**chosen)  # type: ignore[arg-type]
    assert {name: getattr(settings, name) for name in chosen} == chosen


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (
            {"window_s": 0.5, "overlap_s": 0.1, "stride_s": 0.4},
            "window is 0.5 s; whisper takes 1 to 30 s",
        ),
        ({"window_s": 31.0, "stride_s": 30.0}, "window is 31.0 s; whisper takes 1 to 30 s"),
        (
            {"overlap_s": 3.0, "stride_s": 2.0},
            "overlap is 3.0 s; it must be 0 to half the window (5.0 s)",
        ),
        (
            {"overlap_s": -0.5, "stride_s": 5.5},
            "overlap is -0.5 s; it must be 0 to half the window (5.0 s)",
        ),
        ({"stride_s": 3.5}, "stride is 3.5 s; it must be window - overlap = 4 s"),
        (
            {"buffer_s": 4.0},
            "buffer is 4.0 s; it must hold a window (5.0 s), and fit into one inference (30 s) "
            "with what still comes in: 29 s at most",
        ),
        (
            {"buffer_s": 40.0},
            "buffer is 40.0 s; it must hold a window (5.0 s), and fit into one inference (30 s) "
            "with what still comes in: 29 s at most",
        ),
        ({"pause_s": 0.05}, "pause is 0.05 s; it must be 0.1 s to less than a window"),
        ({"pause_s": 5.0}, "pause is 5.0 s; it must be 0.1 s to less than a window"),
        ({"lead_in_s": 1.5}, "lead-in is 1.5 s; it must be 0 to 1 s"),
        ({"lead_in_s": -0.1}, "lead-in is -0.1 s; it must be 0 to 1 s"),
        (
            {"chunk_tail_s": 0.0},
            "chunk tail is 0.0 s; it must be more than 0 s and at most the pause (0.3 s)",
        ),
        (
            {"chunk_tail_s": 0.4},
            "chunk tail is 0.4 s; it must be more than 0 s and at most the pause (0.3 s)",
        ),
        ({"eager_step_s": 0.1}, "eager step is 0.1 s; it must be 0 or >= 0.2 s"),
        ({"eager_step_s": -1.0}, "eager step is -1.0 s; it must be 0 or >= 0.2 s"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    chosen: dict[str, float], sentence: str
) -> None:
    """The message names the value and the rule."""
    with pytest.raises(ConfigError) as error:
        WindowSettings(**chosen)  # type: ignore[arg-type]
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "name",
    [
        "window_s",
        "overlap_s",
        "stride_s",
        "buffer_s",
        "pause_s",
        "lead_in_s",
        "chunk_tail_s",
        "eager_step_s",
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_of_seconds_is_refused(name: str, value: float) -> None:
    """NaN and infinity slip past no comparison."""
    chosen: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError):
        WindowSettings(**chosen)


@pytest.mark.parametrize(
    "name",
    [
        "give_up_s",
        "idle_s",
        "grace_s",
        "held_words_s",
        "inference_overdue_s",
        "accept_overdue_s",
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, 0, float("nan"), float("inf")])
def test_every_wait_of_a_call_takes_some_time(name: str, value: float) -> None:
    """A time-out of nothing would end the call before it began."""
    chosen: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        CallSettings(**chosen)


def test_settings_cannot_be_changed_afterwards() -> None:
    """They are validated once, so they must stay."""
    with pytest.raises(FrozenInstanceError):
        WindowSettings().window_s = 7.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        CallSettings().idle_s = 7.0  # type: ignore[misc]
