"""The adapter to the Bluetooth-Devices family: each way in which its parsers mislead is closed."""

import json
import logging
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sensor_state_data import SensorUpdate, Units

from drivers.ble_ha import PATIENCE, BleHa
from drivers.ble_ha.border import Raised, guarded
from drivers.ble_ha.heard import Heard
from drivers.ble_ha.meanings import CONVERSIONS, LIMITS, QUANTITIES, USUAL, Meanings
from drivers.ble_ha.packages import USUAL_OF
from drivers.ble_ha.parsers import LibraryError, library
from drivers.ble_ha.whose import MAX_DEVICES, REST, Whose
from gateway.config.load import load
from gateway.driver import Advert, Beacon
from gateway.errors import ConfigErrors
from gateway.quantities import registry
from gateway.reading import Fault
from gateway.transports.advert_entry import AdvertEntry
from gateway.transports.stats import ScannerStats
from tests.drivers.driver_cases import FOLDER, Case, faults, full_uuid, make, parse_case, readings
from tests.transports.parts import Recorder

ADDRESS = "C0:FF:EE:00:00:01"
KEY = "00112233445566778899aabbccddeeff"
CASES = {
    path.stem: parse_case("ble_ha", path.stem, json.loads(path.read_text(encoding="utf-8")))
    for path in sorted((FOLDER / "ble_ha" / "testcases").glob("*.json"))
}
ROOT = FOLDER.parent

MODULE = '''
import struct
from bluetooth_sensor_state_data import BluetoothData
from sensor_state_data import DeviceClass, Units

class Odd(Exception):
    pass

ERRORS = [Odd("AA:BB"), struct.error(), IndexError(), AssertionError(), RecursionError()]

class MadeUp(BluetoothData):
    """Company 1: a temperature, then what the rest of the payload says."""

    asked = 0

    def _start_update(self, data):
        type(self).asked += 1
        payload = data.manufacturer_data.get(1)
        if payload is None:
            return
        self.set_device_type("made up")
        self.set_device_name(data.name)
        self.update_sensor("temperature", Units.TEMP_CELSIUS, payload[0] / 2, "temperature")
        if len(payload) > 1:
            if payload[1] == 255:
                raise MemoryError
            raise ERRORS[payload[1]]
        self.update_sensor("humidity", Units.PERCENTAGE, payload[0], "humidity")
'''


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Make packages of the family that exist in this test only."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make_package(name: str, text: str) -> str:
        module = name.replace("-", "_")
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text, encoding="utf-8")
        made.append(module)
        return name

    yield make_package
    library.cache_clear()
    for module in made:
        sys.modules.pop(module, None)


def advert(manufacturer: dict[int, str] | None = None, **more: Any) -> Advert:
    data = {company: bytes.fromhex(text) for company, text in (manufacturer or {}).items()}
    return Advert(more.pop("address", ADDRESS), -60, manufacturer_data=data, **more)


def said(driver: Any, *adverts: Advert) -> list[list[tuple[str, float]]]:
    """Return the readings of each advertisement."""
    return [[each[:2] for each in readings(driver.decode(one))] for one in adverts]


# -- the optional extra ---------------------------------------------------------------------------


def test_nothing_of_the_family_is_imported_before_it_is_configured_and_no_gpl_code_after() -> None:
    program = """if True:
        import sys
        import drivers.ble_ha
        family = ("bluetooth_sensor_state_data", "sensor_state_data", "habluetooth", "govee_ble")
        assert not sys.modules.keys() & set(family)
        driver = drivers.ble_ha.BleHa(drivers.ble_ha.BleHaOptions(package="govee-ble"))
        assert "govee_ble" in sys.modules
        from gateway.driver import Advert
        data = {0xEC88: bytes.fromhex("0003519a5a00")}
        heard = Advert("C0:FF:EE:00:00:01", -60, "GVH5075_0001", data)
        assert len(driver.decode(heard)) == 3
        assert not [name for name in sys.modules if name.lower().startswith("pyric")]
    """
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_the_core_and_its_lock_have_nothing_of_it() -> None:
    run = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    extra = (ROOT / "requirements" / "ble-ha.txt").read_text(encoding="utf-8")
    for package in ("pyric==", "habluetooth==", "sensor-state-data==", "xiaomi-ble=="):
        assert f"\n{package}" in extra
        assert f"\n{package}" not in run


# -- what cannot be used is refused at the start --------------------------------------------------


def problems(**options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        BleHa.Options.model_validate(options)
    return " ".join(error["msg"] for error in caught.value.errors(include_url=False))


def test_a_package_that_is_not_installed_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[gateway]\nid = "dokk1"\n[[sensor]]\nname = "shed"\ndriver = "ble_ha"\n'
        f'address = "{ADDRESS}"\noptions = {{ package = "not-there-ble" }}\n',
        encoding="utf-8",
    )
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    told = str(caught.value)
    assert "not-there-ble is not installed" in told
    assert "pip install not-there-ble" in told
    assert "sensor[shed]" in told


def test_without_a_package_there_is_no_driver() -> None:
    with pytest.raises(ValidationError, match="package"):
        BleHa.Options.model_validate({})


@pytest.mark.parametrize("name", ["os", "../x-ble", "Xiaomi-ble", "xiaomi_ble", "-ble", ""])
def test_nothing_but_packages_of_the_family_is_imported(name: str) -> None:
    assert "is no package of the family" in problems(package=name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class Lamp:\n    async def connect(self): ...", "have to be connected to"),
        ("import not_there_at_all", "cannot be imported (ModuleNotFoundError)"),
        ("raise OSError('secret words')", "cannot be imported (OSError)"),
        (MODULE + "\nclass Another(MadeUp): pass", "has several parsers"),
        (
            MODULE.replace("asked = 0", "def __init__(self, needed): super().__init__()"),
            "cannot do without settings",
        ),
    ],
)
def test_a_package_that_cannot_be_driven_is_refused(
    packages: Callable[..., str], text: str, told: str
) -> None:
    problem = problems(package=packages("odd-ble", text))
    assert told in problem
    assert "secret" not in problem


def test_a_key_for_a_package_that_takes_none_is_refused() -> None:
    assert "takes no key" in problems(package="govee-ble", bindkey=KEY)
    assert BleHa.Options.model_validate({"package": "xiaomi-ble", "bindkey": KEY[:24]})
    assert "pattern" in problems(package="xiaomi-ble", bindkey=KEY[:30])


def test_only_quantities_that_can_be_had_may_be_chosen_and_each_once() -> None:
    def told(**meanings: str) -> str:
        return problems(package="govee-ble", meanings=meanings)

    assert "'rain.amount' cannot be had" in told(precipitation="rain.amount")
    assert "there twice" in told(a="air.temperature", b="air.temperature")
    assert BleHa.Options.model_validate({"package": "govee-ble", "meanings": {"a": "", "b": ""}})


# -- fresh or not ---------------------------------------------------------------------------------


def test_an_advert_brings_what_stands_in_it_and_nothing_older() -> None:
    """The parsers hand out all values that they ever saw: these three "report" 25.06 degrees."""
    driver = make("ble_ha", {"package": "bthome-ble"})
    heard = [
        advert(service_data={full_uuid("fcd2"): bytes.fromhex(text)})
        for text in ("4002ca0903bf13", "40ff", "40", "4003bf13", "40")
    ]
    values = said(driver, *heard)
    assert values[0] == [("air.temperature", 25.06), ("air.humidity", 50.55)]
    assert values[1:] == [[], [], [("air.humidity", 50.55)], []]
    assert driver._parser.update(Heard(heard[1], 100.0)).entity_values  # the trap is still there


def test_a_device_without_numbers_says_again_what_has_not_changed() -> None:
    driver = make("ble_ha", CASES["govee"].options)
    heard = CASES["govee"].adverts[0]
    assert said(driver, heard) == said(driver, heard) != [[]]


@pytest.mark.parametrize("name", ["xiaomi_encrypted", "xiaomi_plain", "ruuvi", "bthome_stale"])
def test_a_numbered_packet_that_is_heard_again_says_nothing(name: str) -> None:
    driver = make("ble_ha", CASES[name].options)
    first, *_ = CASES[name].adverts
    assert said(driver, first) != [[]]
    for rssi in range(-80, -40):
        assert list(driver.decode(replace(first, rssi=rssi))) == []


def test_through_the_scanners_entry_no_stale_value_is_repeated() -> None:
    """Four packages, one sensor each, their adverts in turn; each also with an empty one after."""
    names = ["bthome_stale", "ruuvi", "xiaomi_plain", "govee"]
    sink = Recorder()
    beacons: dict[str, tuple[str, Beacon]] = {
        f"C0:FF:EE:00:00:0{place}": (name, make("ble_ha", CASES[name].options))
        for place, name in enumerate(names)
    }
    # A MiBeacon has its sender's address in it.
    beacons[ADDRESS], beacons["C0:FF:EE:00:00:02"] = (
        beacons["C0:FF:EE:00:00:02"],
        beacons[ADDRESS],
    )
    entry = AdvertEntry(beacons, sink, ScannerStats())
    for step in range(6):
        for address, (name, _) in beacons.items():
            adverts = CASES[name].adverts
            if step < len(adverts):
                entry.accept(replace(adverts[step], address=address), step)
                entry.accept(Advert(address, -70), step)
    for name in names:
        wanted = [value for _, value, _ in CASES[name].readings]
        assert sink.values(name) == wanted, name
    assert sink.faults() == []


# -- what a parser raises -------------------------------------------------------------------------


def test_whatever_a_parser_raises_is_a_fault_and_half_an_advert_is_never_told(
    packages: Callable[..., str],
) -> None:
    driver = make("ble_ha", {"package": packages("made-up-ble", MODULE)})
    assert said(driver, advert({1: "28"})) == [[("air.temperature", 20.0), ("air.humidity", 40.0)]]
    for number, error in enumerate(
        ["Odd", "error", "IndexError", "AssertionError", "RecursionError"]
    ):
        bad = advert({1: f"5{number}0{number}"})
        assert driver.claims(bad)
        assert list(driver.decode(bad)) == [
            Fault("unknown", f"made-up-ble cannot read it: {error}")
        ]
        # It had taken a temperature over before it raised.
        assert said(driver, advert({2: "00"}), advert()) == [[], []]
    assert said(driver, advert({1: "2a"})) == [[("air.temperature", 21.0), ("air.humidity", 42.0)]]


def test_a_parser_that_does_not_recover_is_made_anew(
    packages: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make("ble_ha", {"package": packages("made-up-ble", MODULE)})
    broken = driver._parser
    monkeypatch.setattr(broken, "update", lambda data: 1 // 0)
    assert faults(driver.decode(advert({1: "28"}))) == ["unknown"]
    assert said(driver, advert({1: "28"})) == [[("air.temperature", 20.0), ("air.humidity", 40.0)]]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
def test_what_is_about_the_process_goes_on(error: type[BaseException]) -> None:
    def ends() -> None:
        raise error

    with pytest.raises(error):
        guarded(ends)


def test_the_border_returns_what_came_of_it() -> None:
    assert guarded(divmod, 7, 2) == (3, 1)
    assert guarded(divmod, 7, 0) == Raised("ZeroDivisionError")


def test_a_real_parser_that_raises() -> None:
    driver = make("ble_ha", {"package": "ruuvitag-ble"})
    (fault,) = driver.decode(advert({0x0499: "05"}))
    assert fault.kind == "unknown"
    assert fault.detail.startswith("ruuvitag-ble cannot read it: ")
    assert fault.sample == b""


# -- encrypted ------------------------------------------------------------------------------------


def test_an_encrypted_packet_that_was_changed_says_nothing() -> None:
    """Each bit of it; the flags in front are not protected, and say nothing else by themselves."""
    case = CASES["xiaomi_encrypted"]
    heard = case.adverts[0]
    ((uuid, data),) = heard.service_data.items()
    truth = said(make("ble_ha", case.options), heard)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            forged = replace(heard, service_data={uuid: bytes(changed)})
            got = said(make("ble_ha", case.options), forged)
            assert got == [[]] or (place < 2 and got == truth), (place, bit)


def test_a_plain_packet_of_a_device_with_a_key_is_a_forgery() -> None:
    plain = CASES["xiaomi_plain"].adverts[0]
    driver = make("ble_ha", {"package": "xiaomi-ble", "bindkey": KEY})
    assert list(driver.decode(plain)) == [
        Fault("unknown", "not encrypted although there is a bindkey")
    ]
    old = {full_uuid("fe95"): bytes.fromhex("5830aa0101") + bytes(20)}
    assert faults(driver.decode(advert(service_data=old))) == ["unknown"]
    driver = make("ble_ha", {"package": "bthome-ble", "bindkey": KEY})
    forged = advert(service_data={full_uuid("fcd2"): bytes.fromhex("4002ca09")})
    assert faults(driver.decode(forged)) == ["unknown"]


def test_mutated_packets_raise_nothing_and_encrypted_ones_invent_nothing() -> None:
    """A bounded share of what was run by hand (see the decision record)."""
    source = random.Random(7)
    for case in CASES.values():
        encrypted = "bindkey" in case.options
        driver = make("ble_ha", case.options)
        for _ in range(60):
            heard = mutated(source.choice(case.adverts), source)
            driver.claims(heard)
            outcomes = list(driver.decode(heard))
            for reading in readings(outcomes):
                quantity, value, _ = reading
                low, high = LIMITS.get(quantity, (-128.0, 127.0))
                assert low <= value <= high
                # The flags in front of a MiBeacon are not protected; what it holds is.
                assert not encrypted or reading in case.readings


def mutated(heard: Advert, source: random.Random) -> Advert:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(source.randrange(1, 4)):
            how = source.randrange(3)
            place = source.randrange(len(changed)) if changed else 0
            if how == 0 and changed:
                changed[place] ^= source.randrange(1, 256)
            elif how == 1:
                changed.insert(place, source.randrange(256))
            else:
                del changed[place:]
        return bytes(changed) if bytes(changed) != data else data[:-1]

    return replace(
        heard,
        manufacturer_data={key: change(data) for key, data in heard.manufacturer_data.items()},
        service_data={key: change(data) for key, data in heard.service_data.items()},
    )


# -- whose device it is ---------------------------------------------------------------------------


def test_a_device_that_the_package_does_not_know_is_asked_about_seldom(
    packages: Callable[..., str],
) -> None:
    found = library(packages("made-up-ble", MODULE))
    whose = Whose(found.make)
    stranger = advert({7: "00"})
    heard = 10 * REST
    assert not any(whose.ours(stranger) for _ in range(heard))
    assert found.make.asked == len((0, 1, 2, 4, 8, 16, 32)) + heard // REST - 1  # type: ignore[attr-defined]
    # It was changed for one of ours, and is found out before long, once and for all.
    assert any(whose.ours(advert({1: "28"})) for _ in range(REST))
    assert whose.ours(stranger)


def test_devices_are_remembered_by_number_and_not_without_end(
    packages: Callable[..., str],
) -> None:
    whose = Whose(library(packages("made-up-ble", MODULE)).make)
    for number in range(3 * MAX_DEVICES):
        address = f"C0:FF:EE:{number >> 16:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"
        whose.ours(advert({7: "00"}, address=address))
        assert len(whose._heard) <= MAX_DEVICES
    assert all(type(each) is int for each in whose._heard)


@pytest.mark.parametrize("name", ["govee", "ruuvi", "xiaomi_encrypted", "bthome"])
def test_a_package_claims_its_own_and_nobody_elses(name: str) -> None:
    others = [
        advert({0x004C: "0215" + 21 * "00"}),
        advert(service_data={full_uuid("feaa"): bytes(14)}),
        advert(),
    ]
    driver = make("ble_ha", CASES[name].options)
    for place, other in enumerate(others):
        assert not driver.claims(replace(other, address=f"C0:FF:EE:00:01:0{place}"))
    assert driver.claims(CASES[name].adverts[0])


# -- names, units, words --------------------------------------------------------------------------


def usual(key: Any, unit: str | None, device_id: Any = None, **chosen: str) -> Any:
    return Meanings("made-up-ble", chosen).of_sensor(key, device_id, key, unit)


@pytest.mark.parametrize(
    ("key", "unit", "value", "wanted"),
    [
        ("temperature", "°F", 212.0, 100.0),
        ("temperature", "K", 273.15, 0.0),
        ("pressure", "Pa", 101_325.0, 1013.25),
        ("pressure", "inHg", 29.92, 1013.207),
        ("pressure", "mbar", 1013.25, 1013.25),
        ("voltage", "mV", 2987.0, 2.987),
        ("current", "mA", 250.0, 0.25),
        ("power", "kW", 1.5, 1500.0),
        ("energy", "Wh", 1500.0, 1.5),
        ("water", "L", 1500.0, 1.5),
        ("gas", "ft³", 35.314_67, 1.0),
        ("volatile_organic_compounds", "mg/m³", 0.5, 500.0),
        ("carbon_dioxide", "ppb", 420_000.0, 420.0),
    ],
)
def test_units_become_those_of_the_registry(
    key: str, unit: str, value: float, wanted: float
) -> None:
    meaning = usual(key, unit)
    times, per, plus = meaning.conversion
    assert (value + plus) * times / per == pytest.approx(wanted, abs=1e-3)


def test_every_unit_is_one_of_the_family_and_every_quantity_has_one() -> None:
    known = {unit.value for unit in Units} | {None}
    assert {unit for units in CONVERSIONS.values() for unit in units} <= known
    for quantity in QUANTITIES:
        assert registry()[quantity].kind in ("gauge", "counter", "bool")
        assert registry()[quantity].kind == "bool" or registry()[quantity].ucum in CONVERSIONS
    assert set(USUAL.values()) <= set(QUANTITIES)
    overridden = {name for names in USUAL_OF.values() for name in names.values()}
    assert overridden <= {*QUANTITIES, ""}


def test_what_is_not_known_is_nothing() -> None:
    assert usual("temperature", "kg") is None
    assert usual("formaldehyde", "mg/m³") is None
    assert usual((None, "door"), "%") is None  # qingping-ble has such a key
    meanings = Meanings("made-up-ble", {})
    assert meanings.of_sensor("temperature_probe_1", None, "temperature", "°C") is None
    assert meanings.of_sensor("nox_score", None, "nitrogen_monoxide", None) is None
    assert meanings.of_binary("occupancy", None) is None


def test_an_index_is_known_by_its_key_whatever_class_a_package_gives_it() -> None:
    meanings = Meanings("made-up-ble", {})
    for name, device_class in (("nox_index", "nitrogen_monoxide"), ("voc_index", "voc_index")):
        found = meanings.of_sensor(name, None, device_class, None)
        assert found is not None
        assert found.quantity == f"air.{name}"


def test_parts_of_a_device_are_named_unless_the_name_may_be_an_address() -> None:
    assert usual("temperature", "°C", "remote").dims == (("channel", "remote"),)
    assert usual("temperature_2", "°C", "remote") is None  # its key is not its class
    meanings = Meanings("made-up-ble", {})
    numbered = meanings.of_sensor("temperature_2", "remote", "temperature", "°C")
    assert numbered is not None
    assert numbered.dims == (("channel", "remote-2"),)
    for address in ("C0:FF:EE:00:00:01", "c0ffee000001", "Kim's thermometer", 7):
        assert usual("temperature", "°C", address) is None


def test_several_of_a_kind_are_told_apart_by_their_number_unless_each_is_named() -> None:
    chosen = {"temperature_1": "heat.flow_temperature", "temperature": "device.temperature"}
    driver = make("ble_ha", {"package": "bthome-ble", "meanings": chosen})
    heard = advert(service_data={full_uuid("fcd2"): bytes.fromhex("4002580202bc02022003")})
    assert readings(driver.decode(heard)) == [
        ("heat.flow_temperature", 6.0, ()),
        ("device.temperature", 7.0, (("channel", "2"),)),
        ("device.temperature", 8.0, (("channel", "3"),)),
    ]
    assert readings(make("ble_ha", {"package": "bthome-ble"}).decode(heard)) == [
        ("air.temperature", value, (("channel", str(number)),))
        for number, value in enumerate((6.0, 7.0, 8.0), 1)
    ]


def test_a_usual_meaning_gives_way_to_a_chosen_one() -> None:
    meanings = Meanings("made-up-ble", {"temperature_probe": "air.temperature"})
    assert meanings.of_sensor("temperature", None, "temperature", "°C") is None
    probe = meanings.of_sensor("temperature_probe_2", None, "temperature", "°C")
    assert probe is not None
    assert (probe.quantity, probe.dims) == ("air.temperature", (("channel", "2"),))


@pytest.mark.parametrize("value", [None, "error", float("nan"), float("inf"), b"7"])
def test_words_and_missing_values_are_nothing(
    packages: Callable[..., str], value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make("ble_ha", {"package": packages("made-up-ble", MODULE)})
    parser = driver._parser

    def update(data: Any) -> SensorUpdate:
        parser.update_sensor("temperature", Units.TEMP_CELSIUS, value, "temperature")
        parser.update_sensor("humidity", Units.PERCENTAGE, 40, "humidity")
        return parser._finish_update()  # type: ignore[no-any-return]

    monkeypatch.setattr(parser, "update", update)
    assert said(driver, advert()) == [[("air.humidity", 40.0)]]


def test_a_signal_strength_is_told_on_request_and_only_beside_a_value() -> None:
    case = CASES["govee"]
    driver = make("ble_ha", {**case.options, "rssi": True})
    assert ("device.rssi", -60.0) in said(driver, case.adverts[0])[0]
    assert said(driver, advert({0x004C: "0215"}), advert()) == [[], []]


def test_a_model_that_has_to_be_connected_to_says_so_after_a_while() -> None:
    driver = make("ble_ha", {"package": "inkbird-ble"})
    heard = Advert(ADDRESS, -60, "Ink@IHT-2PB#1234", {0x0001: b"\0" * 8})
    told = [outcome for _ in range(2 * PATIENCE) for outcome in driver.decode(heard)]
    assert told == 2 * [Fault("unknown", "no values in advertisements: it has to be connected to")]
    driver = make("ble_ha", CASES["govee"].options)
    assert [o for _ in range(2 * PATIENCE) for o in driver.decode(advert({7: "00"}))] == []


# -- privacy --------------------------------------------------------------------------------------


def test_no_library_writes_to_the_log_whatever_the_level(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """They log addresses and payloads, some of them as warnings."""
    caplog.set_level(logging.DEBUG)
    unknown_model = advert(service_data={full_uuid("fe95"): bytes.fromhex("5058ffff01000000")})
    list(make("ble_ha", {"package": "xiaomi-ble"}).decode(unknown_model))
    for case in CASES.values():
        driver = make("ble_ha", case.options)
        for heard in case.adverts:
            list(driver.decode(heard))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def case_of(package: str) -> Case:
    return next(case for case in CASES.values() if case.options["package"] == package)


@pytest.mark.parametrize("package", ["bthome-ble", "govee-ble", "ruuvitag-ble", "xiaomi-ble"])
def test_a_parser_learns_of_its_own_device_only(package: str) -> None:
    driver = make("ble_ha", case_of(package).options)
    learnt: list[Mapping[str, Any]] = []
    real = driver._parser.update

    def update(data: Any) -> Any:
        names = [*data.__slots__, "source", "device", "advertisement", "raw", "tx_power"]
        learnt.append({name: getattr(data, name) for name in names})
        return real(data)

    driver._parser.update = update
    heard = case_of(package).adverts[0]
    list(driver.decode(heard))
    (seen,) = learnt
    assert seen["address"] == heard.address
    assert seen["name"] == (heard.name or heard.address)
    assert (seen["source"], seen["device"], seen["advertisement"]) == ("local", None, None)
    assert (seen["raw"], seen["tx_power"]) == (None, None)


def test_the_errors_of_a_package_are_of_the_package() -> None:
    with pytest.raises(LibraryError, match="not installed"):
        library("not-there-ble")
