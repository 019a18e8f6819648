"""``describe``: it prints what the files beside it say, and what the formats really send."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway import __version__
from gateway.cli import main
from gateway.cli.describe.channels import channels
from gateway.cli.describe.leaving import leaving
from gateway.config.load import load
from gateway.forward.formats import format_names
from gateway.quantities import registry

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(__file__).parent / "describe"
CONFIG = FOLDER / "dokk1.toml"
EVERY_FORMAT = FOLDER / "every_format.toml"
WRITE_AGAIN = "citylab-gateway describe --config tests/cli/describe/dokk1.toml"


def described(capsys: pytest.CaptureFixture[str], *arguments: str, config: Path = CONFIG) -> str:
    assert main(["describe", "--config", str(config), *arguments]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def document(
    capsys: pytest.CaptureFixture[str], *arguments: str, config: Path = CONFIG
) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(described(capsys, *arguments, config=config))
    return found


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        ((), "page.txt"),
        (("--data-sheet", "text"), "sign.txt"),
        (("--data-sheet",), "data_sheet.json"),
        (("--mosquitto-acl",), "acl.txt"),
    ],
    ids=["page", "PRIV-13-sign", "PRIV-13-sheet", "acl"],
)
def test_it_prints_the_file_beside_it(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], golden: str
) -> None:
    told = described(capsys, *arguments).replace(__version__, "VERSION")
    assert told == (FOLDER / golden).read_text(encoding="utf-8"), f"{WRITE_AGAIN} {arguments}"


def test_the_page_as_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    portal, university = document(capsys, "--json")["brokers"]
    assert (portal["open"], portal["encrypted"], portal["message_expiry_s"]) == (True, True, 86400)
    assert [sensor["name"] for sensor in portal["sensors"]] == ["air-roof", "street"]
    dust = portal["sensors"][0]["quantities"][0]
    assert dust["quantity"] == "air.pm25"
    assert dust["at_most_one_in_s"] == 60
    assert dust["filters"] == {"range": {"min": 0, "max": 999.9}, "deadband": 0.5}
    assert university["topics"].keys() == {
        "city/aarhus/dokk1/air-roof/json",
        "city/aarhus/dokk1/street/json",
        "city/aarhus/dokk1/flat-12/json",
        "city/aarhus/dokk1/status",
    }
    meter = university["sensors"][2]
    assert (meter["privacy"], meter["retention_s"], meter["location_decimals"]) == ("P3", 86400, 3)
    assert meter["location"] == {"lon": 10.213, "lat": 56.153}
    assert {each["at_most_one_in_s"] for each in meter["quantities"]} == {3600}
    voltage = next(each for each in meter["quantities"] if each["quantity"] == "electric.voltage")
    assert voltage["dims"] == {"phase": ["L1", "L2", "L3"]}
    assert {each["reason"] for each in university["withheld"]} == {
        "privacy P2, of which nothing leaves but counts of devices that pass"
    }


def test_one_broker_alone(capsys: pytest.CaptureFixture[str]) -> None:
    only = document(capsys, "--json", "--broker", "university")
    assert [broker["name"] for broker in only["brokers"]] == ["university"]
    assert main(["describe", "--config", str(CONFIG), "--broker", "univ"]) == 2
    assert "no such broker, got 'univ'; allowed: portal, university" in capsys.readouterr().err


def test_a_bad_configuration_is_told_as_check_tells_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("[gateway]\nidd = 1", encoding="utf-8")
    assert main(["describe", "--config", str(path)]) == 2
    assert "did you mean 'id'?" in capsys.readouterr().err


def test_where_nothing_leaves_it_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nid = "x"', encoding="utf-8")
    assert "no broker: nothing leaves" in described(capsys, config=path)
    assert document(capsys, "--asyncapi", config=path)["channels"] == {}


@pytest.mark.parametrize(
    ("option", "needed"),
    [
        ("--dcat", ["title", "description", "publisher", "contact", "licence"]),
        ("--data-sheet", ["publisher", "contact"]),
    ],
)
def test_what_the_catalogue_lacks_is_named_all_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, needed: list[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nid = "x"', encoding="utf-8")
    assert main(["describe", "--config", str(path), option]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [f"catalogue.{key}" for key in needed]
    assert all("is missing" in line for line in lines)


def test_only_one_document_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["describe", "--config", str(CONFIG), "--json", "--dcat"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_priv_08_the_catalogue_of_open_data_has_no_household_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = described(capsys, "--dcat")
    assert "flat-12" not in text
    assert "energy.active_import" not in text
    assert "urn:citylab:aarhus:dokk1:university:air" in text


def test_every_format_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    """The example has each installed format, and each carries something of each sensor."""
    brokers = document(capsys, "--json", config=EVERY_FORMAT)["brokers"]
    assert sorted(broker["format"] for broker in brokers) == format_names()
    for broker in brokers:
        assert len(broker["sensors"]) == 4, broker["name"]
        kinds = {kind for kinds in broker["topics"].values() for kind in kinds}
        assert "data" in kinds


@pytest.mark.timeout(60)
def test_every_topic_is_in_the_asyncapi_document_and_in_the_acl(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configuration = load(EVERY_FORMAT)
    api = document(capsys, "--asyncapi", config=EVERY_FORMAT)
    for each in leaving(configuration):
        name, found = each.broker.name, channels(each)
        server = {"$ref": f"#/servers/{name}"}
        addresses = {
            channel["address"]
            for channel in api["channels"].values()
            if channel["servers"] == [server]
        }
        published = {sample.message.topic for sample in found.samples}
        assert addresses == published | set(found.subscriptions)
        acl = described(capsys, "--mosquitto-acl", "--broker", name, config=EVERY_FORMAT)
        lines = set(acl.splitlines())
        assert {f"topic write {topic}" for topic in published} <= lines
        assert {f"topic read {topic}" for topic in found.subscriptions} <= lines
        assert len([line for line in lines if line.startswith("topic ")]) == len(addresses)


def test_the_example_of_each_message_fits_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    api = document(capsys, "--asyncapi", config=EVERY_FORMAT)
    seen = 0
    for channel in api["channels"].values():
        for message in channel["messages"].values():
            for example in message.get("examples", ()):
                Draft202012Validator(message["payload"]).validate(example["payload"])
                seen += 1
    assert seen > 20


def test_units_of_the_page_are_those_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    for broker in document(capsys, "--json", config=EVERY_FORMAT)["brokers"]:
        for sensor in broker["sensors"]:
            for each in sensor["quantities"]:
                assert each["unit"] == registry()[each["quantity"]].ucum


def test_an_iot_agent_is_told_types_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--provisioning", config=EVERY_FORMAT)
    assert list(found) == ["fiware-iota"]
    services = {each["entity_type"]: each for each in found["fiware-iota"]["services"]}
    assert set(services) >= {"AirQualityObserved", "WeatherObserved", "TrafficFlowObserved"}
    dust = {each["name"]: each for each in services["AirQualityObserved"]["attributes"]}
    assert dust["pm25"]["metadata"]["unitCode"]["value"] == "GQ"
    golden = json.loads((FOLDER / "provisioning.json").read_text(encoding="utf-8"))
    assert found == golden, "describe --provisioning"


def test_without_the_format_there_is_nothing_to_provision(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["describe", "--config", str(CONFIG), "--provisioning"]) == 2
    assert "no broker has format fiware-iota" in capsys.readouterr().err


def test_what_the_page_of_the_docs_shows_is_what_comes_out() -> None:
    text = (ROOT / "docs" / "describe.md").read_text(encoding="utf-8")
    shown = [block.splitlines() for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL)]
    for lines, golden in zip(shown, ("page.txt", "acl.txt"), strict=True):
        printed = (FOLDER / golden).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line not in printed] == []


def test_every_option_is_on_the_page_of_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "describe.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["describe", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--config"}
    assert options == {each for each in options if each in text}


FILTERED = """
[gateway]
id = "x"
[[sensor]]
name = "meter"
driver = "p1"
port = "/p"
privacy = "P0"
[sensor.filter."power.active"]
window = { every = "15 min", give = ["mean", "max"] }
[sensor.filter."gas.volume"]
counter = { give = "delta" }
[[broker]]
name = "b"
url = "mqtts://b.example"
format = "json"
[broker.select]
quantities = ["power.active", "gas.volume"]
"""


def test_what_filters_make_of_a_series_is_what_is_described(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILTERED, encoding="utf-8")
    (sensor,) = document(capsys, "--json", config=path)["brokers"][0]["sensors"]
    power, gas = sensor["quantities"]
    assert (power["quantity"], power["aggregations"]) == ("power.active", ["mean", "max"])
    assert (gas["quantity"], gas["aggregations"]) == ("gas.volume", ["sum"])
    page = described(capsys, config=path)
    assert "gives mean, max of power.active in W, phase L1/L2/L3: measured every 10 s, " in page
    assert "summed up over each 15 min" in page


def test_a_meter_that_is_asked_is_described_with_its_phases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        """
[gateway]
id = "box"
[[sensor]]
name = "school"
driver = "modbus"
port = "/dev/ttyUSB0"
options = { map = "sdm630" }
[[broker]]
name = "city"
url = "mqtts://mqtt.example.org:8883"
format = "json"
""",
        encoding="utf-8",
    )
    told = described(capsys, config=config)
    assert "gives electric.voltage in V, phase L1/L2/L3: " in told
    assert "gives electric.frequency in Hz: " in told
