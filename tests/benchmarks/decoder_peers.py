"""The libraries that users of a device would pick, doing the same work: bytes to named values.

Each is used as its own documentation or its own client does it, without the port: dsmr-parser's
protocol, amshan's frame reader and decoder and pynmea2's stream reader get the same pieces as we
do; pymodbus' framer gets them as its client collects them, and the values are taken out as its
client offers it; PyPMS gets whole frames, as its reader waits for them. Where a way was faster
than the usual one, it was taken. A library that is not installed is left out.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from drivers.modbus.maps import packaged_map
from tests.benchmarks.decoder_loads import Load

__all__ = ["PEERS", "Peer", "Work"]

Work = Callable[[], int]
"""Decodes a load once; returns the number of values."""


class Peer(NamedTuple):
    """One library for one device."""

    name: str
    driver: str
    make: Callable[[Load], Callable[[], Work]]
    """From a load to what makes a fresh decoder; ImportError without the library."""


def _pms(model: str) -> Callable[[Load], Callable[[], Work]]:
    """``Sensor.decode`` of whole frames, which is what its reader calls."""

    def of_load(load: Load) -> Callable[[], Work]:
        core, warning = importlib.import_module("pms.core"), importlib.import_module("pms")
        sensor = core.Sensor[model]
        header = sensor.Commands.passive_read.answer_header
        names = len(sensor.Data.__dataclass_fields__) - 1
        polled = load.polled
        frames = [b"".join(frame) for frame in load.frames]
        frames = [frame for frame in frames if frame.startswith(header)]

        def work() -> int:
            count = 0
            for frame in frames:
                if polled:
                    sensor.command("passive_read")
                try:
                    sensor.decode(frame)
                except warning.SensorWarmingUp:
                    continue
                count += names
            return count

        return lambda: work

    return of_load


def _dsmr(load: Load) -> Callable[[], Work]:
    protocol = importlib.import_module("dsmr_parser.clients.protocol")
    specifications = importlib.import_module("dsmr_parser.telegram_specifications")
    parser = importlib.import_module("dsmr_parser.parsers").TelegramParser(specifications.SWEDEN)

    def make() -> Work:
        telegrams: list[Any] = []
        decoder = protocol.DSMRProtocol(None, parser, telegram_callback=telegrams.append)

        def work() -> int:
            for frame in load.frames:
                for piece in frame:
                    decoder.data_received(piece)
            return sum(len(telegram) for telegram in telegrams)

        return work

    return make


def _pymodbus(load: Load) -> Callable[[], Work]:
    """Whole blocks of registers at once, of which each value is taken by its place."""
    framers = importlib.import_module("pymodbus.framer")
    decoder = importlib.import_module("pymodbus.pdu").DecodePDU(is_server=False)
    mixin = importlib.import_module("pymodbus.client.mixin").ModbusClientMixin
    convert, float32 = mixin.convert_from_registers, mixin.DATATYPE.FLOAT32
    collected = [list(accumulate(frame)) for frame in load.frames]
    blocks = [_block(question) for question in load.questions]
    places = [_places(address, count) for _, address, count in blocks]
    requests = importlib.import_module("pymodbus.pdu.register_message").ReadInputRegistersRequest

    def make() -> Work:
        framer = framers.FramerRTU(decoder)

        def work() -> int:
            count = 0
            for block, frame, wanted in zip(blocks, collected, places, strict=True):
                unit, address, registers = block
                framer.buildFrame(requests(address=address, count=registers, dev_id=unit))
                for data in frame:
                    _, answer = framer.handleFrame(data, unit, 0)
                values = convert(answer.registers, float32)
                count += len({name: values[place] for name, place in wanted})
            return count

        return work

    return make


def _block(question: bytes) -> tuple[int, int, int]:
    """Return unit, first register and number of registers."""
    return question[0], int.from_bytes(question[2:4], "big"), int.from_bytes(question[4:6], "big")


def _places(first: int, count: int) -> Sequence[tuple[tuple[str, str], int]]:
    """Return name and place of each value that the map of the load has in a block."""
    return [
        ((each.quantity, "".join(each.dims.values())), (each.address - first) // 2)
        for each in packaged_map("sdm630").registers
        if first <= each.address < first + count
    ]


def _amshan(load: Load) -> Callable[[], Work]:
    hdlc = importlib.import_module("han.hdlc")
    autodecoder = importlib.import_module("han.autodecoder")

    def make() -> Work:
        reader = hdlc.HdlcFrameReader(False)
        decoder = autodecoder.AutoDecoder()

        def work() -> int:
            count = 0
            for frame in load.frames:
                for piece in frame:
                    for message in reader.read(piece):
                        if message.is_valid:
                            count += len(decoder.decode_message(message))
            return count

        return work

    return make


def _pynmea2(load: Load) -> Callable[[], Work]:
    """Its stream reader; the fields of each sentence that it knows are read by their names."""
    stream = importlib.import_module("pynmea2.stream")
    wanted: Mapping[str, Sequence[str]] = {
        "GGA": ("timestamp", "latitude", "longitude", "gps_qual", "num_sats", "altitude"),
        "RMC": ("datetime", "status", "latitude", "longitude", "spd_over_grnd"),
    }

    def make() -> Work:
        reader = stream.NMEAStreamReader(errors="ignore")

        def work() -> int:
            count = 0
            for frame in load.frames:
                for piece in frame:
                    for sentence in reader.next(piece.decode("ascii")):
                        names = wanted.get(sentence.sentence_type, ())
                        count += len([getattr(sentence, name) for name in names])
            return count

        return work

    return make


PEERS: Sequence[Peer] = (
    Peer("PyPMS", "sds011", _pms("SDS01x")),
    Peer("PyPMS", "plantower", _pms("PMSx003")),
    Peer("PyPMS", "mhz19", _pms("MHZ19B")),
    Peer("PyPMS", "hpma115_polled", _pms("HPMA115C0")),
    Peer("PyPMS", "sps30", _pms("SPS30")),
    Peer("dsmr-parser", "p1", _dsmr),
    Peer("pymodbus", "modbus", _pymodbus),
    Peer("amshan", "han", _amshan),
    Peer("pynmea2", "nmea", _pynmea2),
)
