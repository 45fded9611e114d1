"""Parse and format ages."""

import pytest

from ops import ages


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("90s", 90_000), ("30m", 1_800_000), ("1h", 3_600_000), ("2d", 172_800_000), ("0s", 0)]
)
def test_an_age_is_a_number_and_a_unit(text, milliseconds):
    assert ages.parse(text) == milliseconds


@pytest.mark.parametrize("text", ["", "h", "30", "30 m", "1.5h", "-1h", "1h30m", "1w", "1H", "٣h", "9999999d"])
def test_other_ages_are_rejected_with_an_example(text):
    with pytest.raises(ValueError, match="is not an age such as 90s, 30m, 1h or 2d"):
        ages.parse(text)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (-5_000, "0s"),
        (999, "0s"),
        (61_000, "1m1s"),
        (3_600_000, "1h"),
        (3_601_000, "1h"),
        (7_500_000, "2h5m"),
        (90_061_000, "1d1h"),
    ],
)
def test_an_age_is_shown_in_two_units(milliseconds, text):
    assert ages.show(milliseconds) == text
