"""Who a port is on the USB, by a made-up sysfs over real pseudo-terminals."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.transports import usb
from gateway.transports.usb import Located, locate, reset_usb, usb_port
from tests.transports.usb_world import UsbWorld


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsbWorld]:
    with UsbWorld(tmp_path, monkeypatch) as made:
        yield made


def test_a_port_is_known_by_vendor_product_serial_number_and_interface(world: UsbWorld) -> None:
    port = world.plug("ttyUSB0", "1-1", serial="A1")
    found = usb_port(str(port))
    assert found is not None
    assert found.identity == "0403:6001:A1:00:0"
    assert found.folder == world.device("1-1")


def test_without_a_serial_number_it_is_not_recognised(world: UsbWorld) -> None:
    port = world.plug("ttyUSB0", "1-1", serial="")
    found = usb_port(str(port))
    assert found is not None
    assert found.identity == ""


def test_what_is_no_usb_port_is_nothing(world: UsbWorld, tmp_path: Path) -> None:
    ours, hosts = os.openpty()
    assert usb_port(os.ttyname(hosts)) is None
    os.close(ours)
    os.close(hosts)
    (tmp_path / "file").touch()
    assert usb_port(str(tmp_path / "file")) is None
    assert usb_port(str(tmp_path / "missing")) is None


def test_a_device_is_found_at_another_port(world: UsbWorld) -> None:
    port = str(world.plug("ttyUSB0", "1-1", serial="A1"))
    world.plug("ttyUSB1", "1-2", serial="B2")
    identity = world.identity(port)
    assert locate(port, identity).path == port
    world.unplug("ttyUSB0")
    assert locate(port, identity) == Located(port, None), "nowhere yet"
    there = str(world.plug("ttyUSB2", "1-3", serial="A1"))
    assert locate(port, identity).path == there
    assert locate(port, "").path == port, "nothing is known of the device"
    assert locate("/dev/serial/by-path/x", identity).path == "/dev/serial/by-path/x"


def test_another_device_in_its_place_is_not_taken_for_it(world: UsbWorld) -> None:
    port = str(world.plug("ttyUSB0", "1-1", serial="A1"))
    identity = world.identity(port)
    world.unplug("ttyUSB0")
    world.plug("ttyUSB0", "1-1", serial="B2")
    assert locate(port, identity).path == port, "a new adapter, and the old one is nowhere"
    there = str(world.plug("ttyUSB1", "1-2", serial="A1"))
    assert locate(port, identity).path == there


def test_two_that_are_alike_are_not_guessed_at(world: UsbWorld) -> None:
    port = str(world.plug("ttyUSB0", "1-1", serial="0001"))
    identity = world.identity(port)
    world.unplug("ttyUSB0")
    world.plug("ttyUSB1", "1-2", serial="0001")
    world.plug("ttyUSB2", "1-3", serial="0001")
    assert locate(port, identity).path == port


def test_a_reset_takes_the_permission_away_and_gives_it_back(
    world: UsbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = usb_port(str(world.plug("ttyUSB0", "1-1", serial="A1")))
    assert port is not None
    written: list[tuple[Path, str]] = []
    monkeypatch.setattr(usb, "_write", lambda path, word: written.append((path, word)))
    reset_usb(port)
    switch = world.device("1-1") / "authorized"
    assert written == [(switch, "0"), (switch, "1")]


def test_a_reset_by_usbfs_needs_no_other(world: UsbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    port = usb_port(str(world.plug("ttyUSB0", "1-1", serial="A1")))
    assert port is not None
    node = world.dev / "bus/usb/001/004"
    node.parent.mkdir(parents=True)
    node.touch()
    asked: list[int] = []
    monkeypatch.setattr(
        "gateway.transports.usb.fcntl.ioctl", lambda fd, number, value: asked.append(number)
    )
    monkeypatch.setattr(usb, "_write", lambda path, word: pytest.fail("not needed"))
    reset_usb(port)
    assert asked == [0x5514]


def test_a_reset_that_is_not_permitted_says_so(
    world: UsbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = usb_port(str(world.plug("ttyUSB0", "1-1", serial="A1")))
    assert port is not None
    monkeypatch.setattr("gateway.transports.usb.os.access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="may not reset"):
        reset_usb(port)


def test_a_device_with_several_ports_is_not_reset(world: UsbWorld) -> None:
    port = usb_port(str(world.plug("ttyUSB0", "1-1", serial="A1")))
    world.plug("ttyUSB1", "1-1", serial="A1", number=1)
    assert port is not None
    with pytest.raises(PermissionError, match="other serial ports"):
        reset_usb(port)
