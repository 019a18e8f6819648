"""An independent consumer of SenML: resolves packs by the rules of RFC 8428 and complains.

Written from section 4 of the standard alone; shares nothing with the encoder. Numbers become
decimals: a double stands for the shortest decimal that names it.
"""

import io
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import cbor2

__all__ = ["Resolved", "from_cbor", "from_json", "resolve"]

CBOR_LABELS: Mapping[int, str] = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
FIRST_ABSOLUTE = 2**28


class Resolved(NamedTuple):
    """One resolved record."""

    name: str
    time: Decimal
    unit: str
    value: Decimal | bool | str


def from_json(payload: bytes) -> list[dict[str, Any]]:
    """Return the records of a pack; a label that occurs twice in a record is an error."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        assert len(found) == len(items), "a label twice"
        return found

    records: list[dict[str, Any]] = json.loads(
        payload.decode("utf-8"), parse_float=Decimal, parse_int=Decimal, object_pairs_hook=pairs
    )
    return records


def from_cbor(payload: bytes) -> list[dict[str, Any]]:
    """Return the records of a pack with the labels of JSON."""
    stream = io.BytesIO(payload)
    pack = cbor2.CBORDecoder(stream).decode()
    assert stream.read() == b"", "bytes after the pack"
    return [
        {CBOR_LABELS[label]: _decimal(value) for label, value in record.items()} for record in pack
    ]


def _decimal(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value


def resolve(records: list[dict[str, Any]]) -> list[Resolved]:
    """Return what the records say, each for itself. AssertionError for what the RFC forbids."""
    assert records, "an empty pack"
    base: dict[str, Any] = {"bn": "", "bt": Decimal(0), "bu": "", "bver": Decimal(10)}
    found: list[Resolved] = []
    for position, record in enumerate(records):
        assert set(record) <= set(CBOR_LABELS.values()), record
        assert not {"bv", "bs", "s", "ut", "vd"} & set(record), "nothing that we ever send"
        assert "bver" not in record or position == 0
        base |= {label: value for label, value in record.items() if label in base}
        name = base["bn"] + record.get("n", "")
        assert NAME.fullmatch(name), name
        time = base["bt"] + record.get("t", Decimal(0))
        assert time >= FIRST_ABSOLUTE, "relative to now"
        (value,) = (record[label] for label in ("v", "vb", "vs") if label in record)
        kinds = {"v": Decimal, "vb": bool, "vs": str}
        assert all(isinstance(record[k], kind) for k, kind in kinds.items() if k in record)
        found.append(Resolved(name, time, record.get("u", base["bu"]), value))
    assert base["bver"] in (10, 26), "a version that nobody knows"
    times = [record.time for record in found]
    assert times == sorted(times), "not in the order of time"
    return found
