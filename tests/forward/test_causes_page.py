"""docs/causes.md says what the code says."""

from pathlib import Path

from gateway.forward.causes import EXPLANATIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "causes.md"


def test_every_cause_stands_on_the_page_in_the_words_of_doctor() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert rows == [f"| `{cause}` | {text} |" for cause, text in sorted(EXPLANATIONS.items())]
