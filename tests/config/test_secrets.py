import os
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.describe import plan_lines
from gateway.config.model import BrokerSection, Configuration, SensorSection, TlsSection
from gateway.config.secrets import (
    broker_password,
    check_secrets,
    driver_options,
    expand,
    expand_tls,
    read_secret,
)
from gateway.errors import ConfigError, ConfigErrors
from tests.config.fakes import DRIVERS, Dust, Locked, driver, load_with_fakes

CANARY = "canary-7d1f"
MINIMAL = '[gateway]\nid = "dokk1"\n'
BROKER = '[[broker]]\nname = "aarhus"\nurl = "mqtts://mqtt.example.org"\n'
SENSOR = '[[sensor]]\nname = "a"\ndriver = "sds011"\nport = "/dev/ttyUSB0"\n'
TAG = '[[sensor]]\nname = "a"\ndriver = "locked"\naddress = "C4:7F:51:00:00:01"\n'
SECRET_KEYS = [
    "password",
    "Password",
    "passwd",
    "passwort",
    "pwd",
    "pass",
    "mqtt_password",
    "mqttPassword",
    "secret",
    "client-secret",
    "token",
    "access_token",
    "apiKey",
    "api_key",
    "key",
    "psk",
    "passphrase",
    "adgangskode",
    "credentials",
]
TABLES = [
    MINIMAL,
    MINIMAL + "[mqtt]\n",
    MINIMAL + "[buffer]\n",
    MINIMAL + "[http]\n",
    MINIMAL + BROKER,
    MINIMAL + BROKER + "[broker.tls]\n",
    MINIMAL + BROKER + "[broker.select]\n",
    MINIMAL + BROKER + "[broker.auth]\n",
    MINIMAL + SENSOR,
    MINIMAL + SENSOR + "[sensor.options]\n",
    MINIMAL + TAG + "[sensor.options]\n",
    MINIMAL + SENSOR + '[sensor.filter."air.pm25"]\n',
    MINIMAL + SENSOR + '[sensor.filter."air.pm25"]\ndeadband = 1\n[sensor.filter."*".range]\n',
]
VALUES = [f'"{CANARY}"', f'["{CANARY}"]', f'{{ value = "{CANARY}" }}', f'[{{ a = "{CANARY}" }}]']


def secret_file(path: Path, content: bytes = b"sesame\n", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def everything_told(error: BaseException) -> str:
    """Return all that could reach a log: the text, the fields, and every chained error."""
    told = ["".join(traceback.format_exception(error)), repr(error)]
    seen: BaseException | None = error
    while seen is not None:
        told += [str(seen), repr(seen), repr(seen.args)]
        seen = seen.__cause__ or seen.__context__
    for each in getattr(error, "errors", ()):
        told.append(repr(vars(each)))
    return "\n".join(told)


@pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_literal_secret_is_refused_and_never_shown(tmp_path: Path, table: str, key: str) -> None:
    path = tmp_path / "gateway.toml"
    for value in VALUES:
        path.write_text(f"{table}{key} = {value}\n", encoding="utf-8")
        with pytest.raises(ConfigErrors) as caught:
            load_with_fakes(path)
        assert CANARY not in everything_told(caught.value)


@pytest.mark.parametrize("key", ["password", "secret", "mqtt_password", "access_token"])
@pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
def test_the_reason_is_given_anywhere(tmp_path: Path, table: str, key: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'{table}{key} = "{CANARY}"\n', encoding="utf-8")
    with pytest.raises(ConfigErrors, match="a secret never stands in this file"):
        load_with_fakes(path)


@pytest.mark.parametrize(
    "line",
    [
        f'url = "mqtts://dokk1:{CANARY}@mqtt.example.org"',
        f'url = "mqtts://dokk1:{CANARY}"',
        f'url = "mqtts://mqtt.example.org?password={CANARY}"',
        f'url = "mqtts://mqtt.example.org/{CANARY}"',
        f'password_file = "{CANARY}"',
        f'password_env = "{CANARY}"',
        f'passwordfile = "{CANARY}"',
        f"password_file = ['{CANARY}']",
        f'password = {CANARY}"',
        f'password = "{CANARY}',
        f'tls = {{ key_file = "{CANARY}" }}',
        f'colour = "{CANARY}"',
    ],
)
def test_no_slip_of_the_hand_shows_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "gateway.toml"
    broker = BROKER if not line.startswith("url") else '[[broker]]\nname = "aarhus"\n'
    path.write_text(MINIMAL + broker + line, encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_with_fakes(path)
    assert CANARY not in everything_told(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    table=st.sampled_from(TABLES),
    key=st.from_regex(r"[a-z_]{0,8}(password|secret|token|credential)[a-z_]{0,8}", fullmatch=True),
)
def test_whatever_the_key_is_called(tmp_path: Path, table: str, key: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'{table}{key} = "{CANARY}"\n', encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_with_fakes(path)
    assert CANARY not in everything_told(caught.value)


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"sesame\n", "sesame"), (b"sesame", "sesame"), (b"a b \n\n", "a b \n"), (b"x\r\n", "x")],
)
def test_one_newline_at_the_end_is_taken_off(tmp_path: Path, content: bytes, secret: str) -> None:
    assert read_secret(str(secret_file(tmp_path / "s", content))) == secret


def test_percent_d_is_the_credential_directory(tmp_path: Path) -> None:
    secret_file(tmp_path / "aarhus")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_secret("%d/aarhus", environ=environ) == "sesame"
    assert expand("/etc/x", environ={}) == Path("/etc/x")
    with pytest.raises(ConfigError) as caught:
        read_secret("%d/aarhus", environ={})
    assert str(caught.value) == (
        "%d/aarhus: %d is the credential directory of the systemd unit, and "
        "CREDENTIALS_DIRECTORY is not set: run it as the unit does, or name the file from /"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602, 0o644, 0o777])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "s", CANARY.encode(), mode)
    with pytest.raises(ConfigError) as caught:
        read_secret(str(path))
    assert str(caught.value) == (
        f"{path}: others may read this secret; mend it with: chmod 600 {path}"
    )
    assert CANARY not in everything_told(caught.value)


def test_in_the_credential_directory_the_group_bits_are_an_access_list(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    secret_file(tmp_path / "s", mode=0o440)
    assert read_secret("%d/s", environ=environ) == "sesame"
    secret_file(tmp_path / "t", mode=0o444)
    with pytest.raises(ConfigError, match="others may read this secret"):
        read_secret("%d/t", environ=environ)


def test_outside_the_credential_directory_the_group_counts_as_ever(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    path = secret_file(tmp_path / "s", mode=0o640)
    with pytest.raises(ConfigError, match="others may read this secret"):
        read_secret(str(path), environ={"CREDENTIALS_DIRECTORY": str(credentials)})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "this secret's file is empty"),
        (b"\n", "this secret's file is empty"),
        (b"\xff\xfe" + CANARY.encode(), "this secret's file is no UTF-8 text"),
        (CANARY.encode() * 10_000, "this secret's file is too long"),
    ],
    ids=["empty", "newline", "binary", "long"],
)
def test_what_cannot_be_a_secret_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = secret_file(tmp_path / "s", content)
    with pytest.raises(ConfigError) as caught:
        read_secret(str(path))
    assert str(caught.value) == f"{path}: {told}"
    assert CANARY not in everything_told(caught.value)


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the secret cannot be read: no such file or directory"):
        read_secret(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="the secret cannot be read: is a directory"):
        read_secret(str(tmp_path))


def test_a_pipe_is_no_secret_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="is no regular file"):
        read_secret(str(tmp_path / "pipe"))


def test_a_variable_that_is_empty_or_missing_is_refused() -> None:
    assert read_secret("AARHUS", environ={"AARHUS": "sesame"}) == "sesame"
    for environ in ({}, {"AARHUS": ""}):
        with pytest.raises(ConfigError) as caught:
            read_secret("AARHUS", environ=environ)
        assert str(caught.value) == "environment variable AARHUS is not set or empty"


def broker(**more: object) -> BrokerSection:
    values = {"name": "aarhus", "url": "mqtts://mqtt.example.org", "username": "dokk1", **more}
    return BrokerSection.model_validate(values)


def test_the_password_of_a_broker(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "s")
    assert broker_password(broker()) is None
    assert broker_password(broker(password_file=str(path))) == "sesame"
    assert broker_password(broker(password_env="PW"), environ={"PW": "x"}) == "x"
    path.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        broker_password(broker(password_file=str(path)))
    assert str(caught.value) == (
        f"broker[aarhus].password_file: {path}: others may read this secret; "
        f"mend it with: chmod 600 {path}"
    )


def test_all_secrets_that_fail_are_told_together(tmp_path: Path) -> None:
    configuration = Configuration.model_validate(
        {
            "gateway": {"id": "dokk1"},
            "http": {"listen": "0.0.0.0:1", "token_file": str(tmp_path / "none")},
            "broker": [
                {"name": "a", "url": "mqtts://a", "password_env": "PW_A"},
                {"name": "b", "url": "mqtts://b", "password_env": "PW_B"},
            ],
        }
    )
    with pytest.raises(ConfigErrors) as caught:
        check_secrets(configuration, environ={"PW_B": "x"})
    assert [error.key for error in caught.value.errors] == [
        "broker[a].password_env",
        "http.token_file",
    ]
    secret_file(tmp_path / "none")
    check_secrets(configuration, environ={"PW_A": "x", "PW_B": "x"})


def test_the_files_of_tls_are_expanded(tmp_path: Path) -> None:
    tls = TlsSection(cert_file="/etc/cert.pem", key_file="%d/key")
    expanded = expand_tls(tls, environ={"CREDENTIALS_DIRECTORY": "/run/c"})
    assert expanded == TlsSection(cert_file="/etc/cert.pem", key_file="/run/c/key")


def tag(**options: object) -> SensorSection:
    return SensorSection.model_validate(
        {"name": "tag", "driver": "locked", "address": "C4:7F:51:00:00:01", "options": options}
    )


def test_a_driver_gets_its_key_from_a_file(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "key")
    options = driver_options(tag(key_file=str(path)), DRIVERS["locked"])
    assert options == Locked.Options(key="sesame")
    options = driver_options(tag(key_env="TAG"), DRIVERS["locked"], environ={"TAG": "sesame-2"})
    assert options == Locked.Options(key="sesame-2")


def test_a_key_that_the_driver_refuses_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        driver_options(tag(key_env="TAG"), DRIVERS["locked"], environ={"TAG": CANARY})
    assert str(caught.value) == "sensor[tag].options: the driver does not accept its options"
    assert CANARY not in everything_told(caught.value)


def test_a_driver_without_secrets_gets_its_options() -> None:
    sensor = SensorSection(name="a", driver="sds011", port="/dev/a", options={"pin": 4})
    assert driver_options(sensor, DRIVERS["sds011"]) == Dust.Options(pin=4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "sensor[a].options: needs key_file or key_env"),
        (
            'key_file = "/k"\nkey_env = "K"',
            "sensor[a].options: has both key_file and key_env; keep one",
        ),
        ("key_file = 5", "sensor[a].options.key_file: must say where key is read from"),
    ],
)
def test_how_a_driver_is_given_its_key_is_checked(tmp_path: Path, options: str, told: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f"{MINIMAL}{TAG}[sensor.options]\n{options}", encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_with_fakes(path)
    assert str(caught.value) == f"{path}: {told}"


def test_an_option_that_only_sounds_like_a_secret_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f"{MINIMAL}{SENSOR}options = {{ pin = 17 }}", encoding="utf-8")
    assert load_with_fakes(path).sensor[0].options == {"pin": 17}


def test_nothing_that_is_shown_of_a_good_configuration_holds_the_secret(tmp_path: Path) -> None:
    secret = secret_file(tmp_path / "s", CANARY.encode())
    path = tmp_path / "gateway.toml"
    path.write_text(f'{MINIMAL}{SENSOR}{BROKER}password_file = "{secret}"', encoding="utf-8")
    configuration = load_with_fakes(path)
    assert broker_password(configuration.broker[0]) == CANARY
    shown = [
        repr(configuration),
        configuration.model_dump_json(),
        *plan_lines(configuration, drivers=driver),
    ]
    assert all(CANARY not in text for text in shown)


def test_under_the_unit_the_mend_is_the_units() -> None:
    with pytest.raises(ConfigError, match=r"add LoadCredential=aarhus:FILE to the unit"):
        expand("%d/aarhus", environ={"INVOCATION_ID": "1"})
