import os
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.config.model import Configuration
from gateway.errors import ConfigErrors
from tests.config.fakes import Dust, driver_names, load_with_fakes

MINIMAL = '[gateway]\nid = "dokk1"\n'
SENSOR = """
[[sensor]]
name = "{name}"
driver = "sds011"
port = "/dev/{name}"
"""


def write(directory: Path, **files: str) -> Path:
    """Write gateway.toml and, under other names, files of gateway.d; return the first's path."""
    drop_ins = directory / "gateway.d"
    drop_ins.mkdir(exist_ok=True)
    for name, text in files.items():
        path = directory / "gateway.toml" if name == "main" else drop_ins / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
    return directory / "gateway.toml"


def errors_of(path: Path, **look_ups: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(path, **look_ups) if look_ups else load_with_fakes(path)
    return [str(error).replace(f"{path.parent}/", "") for error in caught.value.errors]


def test_the_least_is_a_name(tmp_path: Path) -> None:
    configuration = load_with_fakes(write(tmp_path, main=MINIMAL))
    assert configuration.gateway.id == "dokk1"
    assert configuration.sensor == ()
    assert configuration.http is None


def test_files_are_laid_over_each_other_in_name_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main=MINIMAL + '[buffer]\nsize = "1 MiB"\nflush_interval = "1 s"' + SENSOR.format(name="a"),
        **{
            "20-late": '[buffer]\nsize = "3 MiB"' + SENSOR.format(name="c"),
            "10-early": '[buffer]\nsize = "2 MiB"' + SENSOR.format(name="b"),
        },
    )
    configuration = load_with_fakes(path)
    assert configuration.buffer.size == 3 << 20
    assert configuration.buffer.flush_interval == 1
    assert [sensor.name for sensor in configuration.sensor] == ["a", "b", "c"]


def test_each_problem_names_the_file_it_stands_in(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main=MINIMAL + "colour = 1\n[buffer]\nsize = 1" + SENSOR.format(name="a"),
        **{
            "10-sensors": SENSOR.format(name="b") + SENSOR.format(name="a"),
            "20-buffer": '[buffer]\nflush_interval = "1 h"\n[sensor]',
            "30-buffer": "[buffer]\nbrightness = 1",
        },
    )
    path.with_name("gateway.d").joinpath("20-buffer.toml").write_text(
        '[buffer]\nflush_interval = "1 h"', encoding="utf-8"
    )
    assert errors_of(path) == [
        "gateway.toml: gateway.colour: unknown key; allowed: id, tenant, location",
        (
            "gateway.toml: buffer.size: has no unit, got 1; "
            "allowed: a size such as \"256 MiB\" (B, KiB, MiB, GiB); did you mean '1 MiB'?"
        ),
        "gateway.d/10-sensors.toml: sensor[a].name: is used twice, first in gateway.toml, got 'a'",
        (
            "gateway.d/10-sensors.toml: sensor[a].port: is used twice, first in gateway.toml, "
            "got '/dev/a'"
        ),
        (
            "gateway.d/20-buffer.toml: buffer.flush_interval: is too large, got '1 h'; "
            'allowed: a duration such as "5 s" (ms, s, min, h, d), from 100 ms to 1 min'
        ),
        (
            "gateway.d/30-buffer.toml: buffer.brightness: unknown key; "
            "allowed: directory, runtime_directory, size, flush_interval, flush_interval_max, "
            "persist, open_interval, retention"
        ),
    ]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    assert errors_of(path) == ["gateway.toml: cannot be read: no such file or directory"]
    path.mkdir()
    assert errors_of(path) == ["gateway.toml: cannot be read: is a directory"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'[gateway]\nid = "\xff"', "line 2: is no UTF-8 text; allowed: a file saved as UTF-8"),
        (b"#" * (2 << 20), "is too long for a configuration; allowed: at most 1048576 bytes"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
    ],
    ids=["encoding", "size", "depth"],
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(data)
    assert errors_of(path) == [f"gateway.toml: {told}"]


def test_systemd_directories_win_over_defaults_only(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "RUNTIME_DIRECTORY": "/run/a"}
    buffer = load_with_fakes(write(tmp_path, main=MINIMAL), environ).buffer
    assert (str(buffer.directory), str(buffer.runtime_directory)) == ("/var/lib/a", "/run/a")

    explicit = MINIMAL + '[buffer]\ndirectory = "/data"'
    buffer = load_with_fakes(write(tmp_path, main=explicit), environ).buffer
    assert (str(buffer.directory), str(buffer.runtime_directory)) == ("/data", "/run/a")

    buffer = load_with_fakes(write(tmp_path, main=MINIMAL)).buffer
    assert str(buffer.directory) == "/var/lib/citylab-gateway"


def test_addresses_may_be_written_small(tmp_path: Path) -> None:
    text = '[[sensor]]\nname = "a"\ndriver = "ruuvi"\naddress = "c4:7f:51:00:00:01"'
    configuration = load_with_fakes(write(tmp_path, main=MINIMAL + text))
    assert configuration.sensor[0].address == "C4:7F:51:00:00:01"


def test_filters_keep_the_order_in_which_they_are_written(tmp_path: Path) -> None:
    text = SENSOR.format(name="a") + (
        '[sensor.filter."air.pm25"]\ninterval = "1 s"\ndeadband = 1\nrange = { min = 0 }'
    )
    configuration = load_with_fakes(write(tmp_path, main=MINIMAL + text))
    assert list(configuration.sensor[0].filter["air.pm25"]) == ["interval", "deadband", "range"]


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.3.2.1:9469", "[::1]:9469", "localhost:80"])
def test_http_on_loopback_needs_no_token(tmp_path: Path, listen: str) -> None:
    text = MINIMAL + f'[http]\nlisten = "{listen}"'
    http = load_with_fakes(write(tmp_path, main=text)).http
    assert http is not None
    assert http.is_loopback


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.168.1.5:80", "dokk1.example:80"])
def test_http_elsewhere_needs_a_token(tmp_path: Path, listen: str) -> None:
    text = MINIMAL + f'[http]\nlisten = "{listen}"\n'
    assert "without a token" in errors_of(write(tmp_path, main=text))[0]
    load_with_fakes(write(tmp_path, main=text + 'token_file = "%d/token"'))


def test_a_driver_that_cannot_be_imported_is_no_unknown_driver(tmp_path: Path) -> None:
    def broken(name: str) -> type[Dust]:
        raise ModuleNotFoundError(name)

    path = write(tmp_path, main=MINIMAL + SENSOR.format(name="a"))
    assert errors_of(path, drivers=broken, driver_names=driver_names) == [
        "gateway.toml: sensor[a].driver: this driver cannot be imported, got 'sds011'"
    ]


def test_a_format_that_cannot_be_imported_is_no_unknown_format(tmp_path: Path) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError(name)

    broker = '[[broker]]\nname = "b"\nurl = "mqtts://b.example"'
    assert errors_of(write(tmp_path, main=MINIMAL + broker), formats=broken) == [
        "gateway.toml: broker[b].format: this format cannot be imported, got 'ngsi-ld'"
    ]


def test_two_brokers_may_have_the_same_topics(tmp_path: Path) -> None:
    brokers = "".join(
        f'[[broker]]\nname = "{name}"\nurl = "mqtts://{name}.example"\ntopic = "a/{{sensor}}"\n'
        for name in "bc"
    )
    assert len(load_with_fakes(write(tmp_path, main=MINIMAL + brokers)).broker) == 2


def test_an_option_of_a_format_may_be_called_a_key(tmp_path: Path) -> None:
    broker = '[[broker]]\nname = "b"\nurl = "mqtts://b.example"\nformat = "tray"\n'
    path = write(tmp_path, main=f'{MINIMAL}{broker}options = {{ apikey = "4jgg" }}')
    assert load_with_fakes(path).broker[0].options == {"apikey": "4jgg"}
    path = write(tmp_path, main=f'{MINIMAL}{broker}options = {{ apikey = "x", token = "y" }}')
    assert "a secret never stands in this file" in errors_of(path)[0]


def test_where_nothing_is_installed_the_message_says_so(tmp_path: Path) -> None:
    broker = '[[broker]]\nname = "b"\nurl = "mqtts://b.example"\nformat = "json"'
    path = write(tmp_path, main=MINIMAL + SENSOR.format(name="a") + broker)
    found = errors_of(path, drivers=lambda name: None, driver_names=list, format_names=list)
    hint = "allowed: none; is the citylab-gateway package installed?"
    assert found == [
        f"gateway.toml: sensor[a].driver: unknown driver, got 'sds011'; {hint}",
        f"gateway.toml: broker[b].format: unknown format, got 'json'; {hint}",
    ]


def test_the_models_hold_without_the_loader(tmp_path: Path) -> None:
    sensor = {"name": "a", "driver": "sds011", "port": "/dev/a"}
    with pytest.raises(ValueError, match="used twice"):
        Configuration.model_validate({"gateway": {"id": "x"}, "sensor": [sensor, sensor]})


def test_the_environment_is_the_real_one_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "STATE_DIRECTORY", "/var/lib/real")
    configuration = load(write(tmp_path, main=MINIMAL))
    assert str(configuration.buffer.directory) == "/var/lib/real"


def test_sensors_that_are_asked_share_a_port(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    text = '[gateway]\nid = "box"\n'
    for name in ("a", "b"):
        text += f'[[sensor]]\nname = "{name}"\ndriver = "polled"\nport = "/dev/ttyUSB0"\n'
    path.write_text(text, encoding="utf-8")
    assert [each.port for each in load_with_fakes(path).sensor] == ["/dev/ttyUSB0"] * 2
