"""No device address survives, whatever it is embedded in."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.words import MAX_TEXT, OTHER, redacted, word

octets = st.lists(st.integers(0, 255), min_size=6, max_size=6)
plain = st.text(alphabet="ghijklmnopqrstuvwxyz /.,;()=\n", max_size=30)


@given(octets, st.sampled_from([":", "-", "_", ""]), plain, plain, st.sampled_from(["02X", "02x"]))
def test_addresses_are_taken_out(
    address: list[int], separator: str, before: str, after: str, digits: str
) -> None:
    text = separator.join(format(octet, digits) for octet in address)
    clean = redacted(before + text + after)
    assert text not in clean
    assert "(address)" in clean
    assert word(before + text + after) == OTHER


@given(st.text(alphabet=st.characters(), max_size=500))
def test_text_becomes_one_bounded_line(text: str) -> None:
    clean = redacted(text)
    assert len(clean) <= MAX_TEXT
    assert clean.isprintable()
    assert clean.encode().decode() == clean, "no lone surrogates"


def test_our_own_words_pass() -> None:
    for text in (
        "unreachable",
        "session taken over",
        "link aarhus",
        "sensor:air-roof",
        "tls.expired",
        "0x87",
        "other",
    ):
        assert word(text) == text
