import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.units import duration_text, parse_duration, parse_size, size_text

TEN_YEARS_S = 10 * 365 * 86400


@given(st.one_of(st.integers(0, TEN_YEARS_S), st.floats(1e-6, TEN_YEARS_S)))
def test_a_duration_survives_the_way_to_text_and_back(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


@given(st.integers(0, 1 << 50))
def test_a_size_survives_the_way_to_text_and_back(size: int) -> None:
    assert parse_size(size_text(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5 s", 5),
        ("5s", 5),
        (" 250 ms ", 0.25),
        ("1.001 s", 1.001),
        ("2 h", 7200),
        ("1.5 d", 129600),
        ("0 s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (60, "1 min"),
        (90, "90 s"),
        (86400, "1 d"),
        (0.0005, "0.0005 s"),
    ],
)
def test_a_duration_is_written_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5 s", "5 x", "1e3 s", "5 s s", "\u0665 s", 5, None, True]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1 B", 1), ("64 KiB", 65536), ("0.5 GiB", 1 << 29), ("256MiB", 256 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["256 MB", "1.5 B", "0.0001 KiB", "many", 256])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)
