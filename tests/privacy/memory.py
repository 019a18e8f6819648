"""Looks for addresses in the memory of a running process, and in whatever else there is."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["PREFIX", "digests", "found_in", "memory_of"]

PREFIX = (0xC2, 0x5D, 0xE7)
"""How all addresses of these tests begin: the search for a thousand is the search for one."""
HASHED = 2
"""Of so many addresses the digests are looked for, which have no beginning in common."""
LONGEST_HALF = 12
"""Characters of half an address as text, with separators, and one before it."""
REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")
NO_DIGIT = re.compile(rb"[^0-9a-fA-F]")


def memory_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield all writable memory of a process, with the name of each mapping."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="ascii").splitlines():
            match = REGION.match(line)
            if match is None:
                continue
            start, end = (int(each, 16) for each in match.groups())
            memory.seek(start)
            yield f"{' '.join(line.split()[5:]) or 'heap'} at {start:x}", memory.read(end - start)


def digests(address: str) -> list[bytes]:
    """Return the first octets of what somebody gets who hashes the address without a key."""
    texts = (bytes.fromhex(address.replace(":", "")), address.encode())
    makers = (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.blake2b)
    short = [hashlib.blake2b(text, digest_size=8).digest() for text in texts]
    return [*short, *(make(text).digest()[:8] for make in makers for text in texts)]


def found_in(places: Mapping[str, bytes], addresses: list[str]) -> list[str]:
    """Return where an address is: as octets or as text, also turned round, or hashed."""
    known = {bytes.fromhex(address.replace(":", "")) for address in addresses}
    hashed = [digest for address in addresses[:HASHED] for digest in digests(address)]
    found = []
    for place, content in places.items():
        for name, raw, at in _candidates(content):
            if raw in known:
                found.append(f"{raw.hex()} as {name} in {place}, offset {at:x}")
        found += [
            f"digest {digest.hex()} in {place}"
            for digest in hashed
            if digest in content or digest.hex().encode() in content
        ]
    return found


def _candidates(content: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Yield what may be an address: how it is written, its octets, where."""
    start, turned = bytes(PREFIX), bytes(PREFIX[::-1])
    for match in re.finditer(re.escape(start), content):
        yield "octets", content[match.start() : match.start() + 6], match.start()
    for match in re.finditer(re.escape(turned), content):
        yield "octets turned round", content[match.end() - 6 : match.end()][::-1], match.start()
    folded = content.lower()  # many times faster than to search without regard to case
    for match in re.finditer(_text(start), folded):
        after = NO_DIGIT.sub(b"", content[match.end() : match.end() + LONGEST_HALF])[:6]
        if len(after) == 6:
            yield "text", start + bytes.fromhex(after.decode()), match.start()
    for match in re.finditer(_text(turned), folded):
        before = content[max(0, match.start() - LONGEST_HALF) : match.start()]
        digits = NO_DIGIT.sub(b"", before)[-6:]
        if len(digits) == 6:
            yield "text turned round", start + bytes.fromhex(digits.decode())[::-1], match.start()
    for match in re.finditer(_number_start(), content):
        number = int(match[0])
        if number < 1 << 48:
            yield "a number", number.to_bytes(6, "big"), match.start()


def _text(octets: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"[:_\- ]?".join(b"%02x" % octet for octet in octets))


def _number_start() -> re.Pattern[bytes]:
    """Return a pattern for the decimal number that an address is, by the digits all have."""
    least, most = (int.from_bytes(bytes(PREFIX) + end * 3, "big") for end in (b"\0", b"\xff"))
    common = 0
    while str(least)[common] == str(most)[common]:
        common += 1
    return re.compile(str(least)[:common].encode() + rb"\d{%d}" % (len(str(least)) - common))
