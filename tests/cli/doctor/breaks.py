"""One way each to break a sound box. Some last only as long as doctor looks: those are contexts."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from unittest import mock

from gateway import plugins
from gateway.cli.doctor import brokers, clock, package
from gateway.cli.doctor.broker_steps import connect, shake_hands
from gateway.cli.doctor.kernel_clock import KernelClock
from gateway.config.model import BrokerSection
from tests.brokers import LOOPBACK
from tests.cli.doctor.world import MOUNTS, PORT, RUNNING, World
from tests.cli.rings import flip

FOOTFALL = (
    '[[sensor]]\nname = "square"\ndriver = "footfall"\naddress = "*"\npurpose = "p"\n'
    'controller = "c"\nlegal_basis = "GDPR Art. 6(1)(e)"\nsign = "https://example.org/sign"\n'
)
SERVICE = "etc/systemd/system/citylab-gateway.service"
DENY = """<policy context="mandatory">
  <deny send_destination="org.bluez" send_type="method_call"/>
</policy>"""
IMPATIENCE_S = 0.5
HOLD_PORT = """
import os, sys
os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
print(1, flush=True)
input()
"""
HOLD_LOCK = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print(1, flush=True)
    input()
"""


@contextlib.contextmanager
def child(code: str, path: Path | str) -> Iterator[int]:
    """Have another process hold something; its number."""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        yield process.pid
        process.communicate(b"\n")


# -- software and configuration --------------------------------------------------------------


@contextlib.contextmanager
def a_library_is_gone(_: World) -> Iterator[None]:
    with mock.patch.dict(sys.modules, {"h11": None}):
        yield


@contextlib.contextmanager
def a_data_file_is_empty(world: World) -> Iterator[None]:
    for name in package.DATA_FILES:
        (world.folder / name).write_bytes((package.DATA / name).read_bytes())
    (world.folder / "quantities.csv").write_bytes(b"")
    with mock.patch.object(package, "DATA", world.folder):
        yield


@contextlib.contextmanager
def a_driver_lacks_its_library(world: World) -> Iterator[None]:
    """A driver from elsewhere, installed without what it imports."""
    site = world.folder / "site"
    (site / "strange-1.0.dist-info").mkdir(parents=True)
    points = "[citylab_gateway.drivers]\nstrange = strange_driver:Driver\n"
    (site / "strange-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "strange-1.0.dist-info" / "METADATA").write_text("Name: strange\nVersion: 1.0\n")
    (site / "strange_driver.py").write_text("import no_such_library\n")
    world.config.write_text(world.config.read_text().replace('"ruuvi"', '"strange"'))
    # What is installed is looked up once in a process, as if this one had started now.
    anew = mock.patch.object(plugins, "_of", plugins._of.__wrapped__)
    with mock.patch.object(sys, "path", [str(site), *sys.path]), anew:
        yield


def a_key_is_misspelt(world: World) -> None:
    world.changes.append(("trusted = true", "trsted = true"))


@contextlib.contextmanager
def there_is_no_configuration(world: World) -> Iterator[None]:
    world.config.unlink()
    yield


@contextlib.contextmanager
def the_daemon_may_not_read_it(world: World) -> Iterator[None]:
    world.config.chmod(0o600)
    yield


# -- secrets ---------------------------------------------------------------------------------


def others_may_read_the_password(world: World) -> None:
    world.secret.chmod(0o644)


def the_file_of_a_credential_is_missing(world: World) -> None:
    world.secret.unlink()


def the_unit_loads_no_credential(world: World) -> None:
    world.remove(f"{SERVICE}.d/init-credentials.conf")


def the_password_is_empty(world: World) -> None:
    world.secret.write_text("")


def the_password_is_roots(world: World) -> None:
    world.changes.append(("%d/aarhus", str(world.secret)))


def the_password_file_is_missing(world: World) -> None:
    world.changes.append(("%d/aarhus", "/no/such/file"))


def a_variable_is_not_set(world: World) -> None:
    the_unit_is_missing(world)
    world.changes.append(('password_file = "%d/aarhus"', 'password_env = "NO_SUCH_PASSWORD"'))


# -- the unit --------------------------------------------------------------------------------


def the_unit_is_missing(world: World) -> None:
    world.remove(SERVICE)


def the_unit_is_masked(world: World) -> None:
    world.link(SERVICE, "/dev/null")


def it_is_not_started_at_boot(world: World) -> None:
    world.remove("etc/systemd/system/multi-user.target.wants/citylab-gateway.service")


def somebody_stopped_it(world: World) -> None:
    world.unit_state = RUNNING | {"ActiveState": "inactive", "SubState": "dead"}


def it_ends_at_once(world: World) -> None:
    failed = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
    world.unit_state = RUNNING | failed | {"ExecMainStatus": "2"}


def systemd_has_not_read_a_drop_in(world: World) -> None:
    world.unit_state = RUNNING | {"NeedDaemonReload": "yes"}


def the_program_is_missing(world: World) -> None:
    world.remove("opt/citylab-gateway/bin/citylab-gateway")


def its_user_is_missing(world: World) -> None:
    world.accounts.clear()


def the_watchdog_is_off(world: World) -> None:
    world.unit("watchdog", "WatchdogSec=0\n")


def the_socket_is_not_enabled(world: World) -> None:
    world.remove("etc/systemd/system/citylab-gateway.service.wants/citylab-gateway.socket")


# -- ports -----------------------------------------------------------------------------------


def the_adapter_is_unplugged(world: World) -> None:
    world.link(PORT[1:], "../../ttyUSB7")


def a_file_is_in_its_place(world: World) -> None:
    world.link(PORT[1:], str(world.put("dev/file", "")))


def _mode(mode: int) -> Callable[[World], "contextlib.AbstractContextManager[None]"]:
    @contextlib.contextmanager
    def the_port_has_that_mode(world: World) -> Iterator[None]:
        Path(world.device).chmod(mode)
        if os.geteuid() == 0:
            os.chown(world.device, 0, 5)
        yield

    return the_port_has_that_mode


only_its_group_may_open_it = _mode(0o060)
nobody_may_open_it = _mode(0o000)


@contextlib.contextmanager
def another_program_has_it_open(world: World) -> Iterator[None]:
    with child(HOLD_PORT, world.device) as pid:
        world.link(f"proc/{pid}", f"/proc/{pid}")
        yield


@contextlib.contextmanager
def it_is_a_console(world: World) -> Iterator[None]:
    world.link("dev/ttyAMA0", world.device)
    yield


def the_sandbox_hides_it(world: World) -> None:
    world.remove(f"{SERVICE}.d/port.conf")


def it_is_named_by_order(world: World) -> None:
    world.changes.append((PORT, "/dev/ttyUSB0"))


# -- Bluetooth -------------------------------------------------------------------------------


def there_is_no_system_bus(world: World) -> None:
    world.bus_runs = False


def bluez_does_not_run(world: World) -> None:
    world.bluez_runs = False


def the_bus_denies_it(world: World) -> None:
    world.bus_policy = DENY


def bluez_is_old(world: World) -> None:
    world.bluez_version, world.monitors = "5.50", False


def bluez_is_not_experimental(world: World) -> None:
    world.monitors = False


def the_adapter_is_elsewhere(world: World) -> None:
    world.changes.append(("[bluetooth]", '[bluetooth]\nadapters = ["hci7"]'))


def the_adapter_is_off(world: World) -> None:
    world.powered = False


def rfkill_blocks_it(world: World) -> None:
    world.powered = False
    world.put("sys/class/rfkill/rfkill0/soft", "1\n")


def a_switch_blocks_it(world: World) -> None:
    rfkill_blocks_it(world)
    world.put("sys/class/rfkill/rfkill0/hard", "1\n")


# -- counting people -------------------------------------------------------------------------


def bluez_keeps_addresses(world: World) -> None:
    world.more = FOOTFALL
    world.put("var/lib/bluetooth/00:00:5E:00:53:01/cache/00:00:5E:00:53:02", "")


def memory_is_swapped_out(world: World) -> None:
    world.more = FOOTFALL
    world.put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/var/swap file 102396 0 -2\n")


# -- clock -----------------------------------------------------------------------------------


def nobody_sets_the_clock(world: World) -> None:
    world.changes.append(("[clock]\ntrusted = true", "[clock]"))
    world.kernel_clock = KernelClock(synced=False, max_error_s=16.0)


@contextlib.contextmanager
def the_clock_is_in_the_past(_: World) -> Iterator[None]:
    """Not this machine's: the day of the release is moved instead."""
    with mock.patch.object(clock, "RELEASED_NS", 1 << 62):
        yield


def there_is_no_clock_chip(world: World) -> None:
    (world.root / "sys/class/rtc/rtc0/name").unlink()
    (world.root / "sys/class/rtc/rtc0").rmdir()


# -- disk, ring and card ---------------------------------------------------------------------


def the_state_directory_is_read_only(world: World) -> None:
    world.state.chmod(0o500)


def _mounted(world: World, old: str, new: str) -> None:
    text = MOUNTS.format(runtime=world.runtime)
    assert old in text
    world.put("proc/self/mountinfo", text.replace(old, new))


def the_card_went_read_only(world: World) -> None:
    _mounted(world, "ext4 /dev/root rw", "ext4 /dev/root ro")


@contextlib.contextmanager
def the_disk_is_full(world: World) -> Iterator[None]:
    """A real small one where this user may mount."""
    options = f"size=64k,uid={world.account.uid}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "small", str(world.state)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", str(world.state)], check=True)
    else:
        world.free_bytes = 1 << 10
        (world.state / "ring").unlink()
        yield


def it_is_a_container(world: World) -> None:
    _mounted(world, "ext4 /dev/root", "overlay overlay")


def barriers_are_off(world: World) -> None:
    _mounted(world, "ext4 /dev/root rw", "ext4 /dev/root rw,barrier=0")


def run_is_on_the_card(world: World) -> None:
    _mounted(world, f"{world.runtime} rw,nosuid - tmpfs", "/elsewhere rw,nosuid - tmpfs")


def the_ring_is_none(world: World) -> None:
    (world.state / "ring").write_bytes(b"\xff" * 16_384)


def a_super_block_is_destroyed(world: World) -> None:
    flip(world.state / "ring", 100)


@contextlib.contextmanager
def another_process_holds_the_ring(world: World) -> Iterator[None]:
    with child(HOLD_LOCK, world.state / "lock"):
        yield


def the_card_is_worn(world: World) -> None:
    world.put("sys/block/mmcblk0/device/life_time", "0x03 0x09\n")


def the_card_is_worn_out(world: World) -> None:
    world.put("sys/block/mmcblk0/device/pre_eol_info", "0x03\n")


def the_card_is_small(world: World) -> None:
    world.put("sys/block/mmcblk0/size", "1000000\n")


# -- power and network -----------------------------------------------------------------------


def _firmware(word: str) -> Callable[[World], None]:
    def the_firmware_says(world: World) -> None:
        world.put("sys/devices/platform/soc/soc:firmware/get_throttled", word)

    return the_firmware_says


the_voltage_is_low = _firmware("50005\n")
the_voltage_was_low = _firmware("50000\n")
it_is_hot = _firmware("80008\n")


def the_cable_is_out(world: World) -> None:
    world.put("sys/class/net/eth0/operstate", "down\n")


def there_is_no_way_out(world: World) -> None:
    world.put("proc/net/route", "Iface\tDestination\n")


def there_is_no_name_server(world: World) -> None:
    world.put("etc/resolv.conf", "search example.org\n")


# -- brokers ---------------------------------------------------------------------------------


def the_name_does_not_exist(world: World) -> None:
    world.changes.append(("localhost", "no-such-host.invalid"))


def nobody_listens(world: World) -> None:
    world.broker_runs = False


Step = Callable[[BrokerSection, float], Awaitable[object]]


def _impatient(step: Step) -> Step:
    """Wait shortly for what never comes; all other steps keep their patience."""
    return lambda broker, _: step(broker, IMPATIENCE_S)


@contextlib.contextmanager
def packets_vanish(world: World) -> Iterator[None]:
    """A queue of connections that is full: the kernel drops the next one without an answer."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(brokers, "connect", _impatient(connect)))
        listening = stack.enter_context(socket.socket())
        listening.bind((LOOPBACK, world.broker_port))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((LOOPBACK, world.broker_port))
        yield


@contextlib.contextmanager
def it_says_nothing(world: World) -> Iterator[None]:
    impatient = mock.patch.object(brokers, "shake_hands", _impatient(shake_hands))
    with socket.socket() as listening, impatient:
        listening.bind((LOOPBACK, world.broker_port))
        listening.listen(8)
        yield


def it_speaks_no_tls(world: World) -> None:
    world.speaks_tls = False


def the_authority_is_another(world: World) -> None:
    world.changes.append(("city-ca.pem", "other-ca.pem"))


def the_certificate_has_expired(world: World) -> None:
    world.certificate = "expired"


def the_certificate_is_for_another_name(world: World) -> None:
    world.certificate = "elsewhere"


def the_certificate_ends_soon(world: World) -> None:
    world.certificate = "ending"


def the_ca_file_is_missing(world: World) -> None:
    world.changes.append(("city-ca.pem", "no-such-ca.pem"))


def the_password_is_wrong(world: World) -> None:
    world.secret.write_text("another-canary")


def publishing_is_not_allowed(world: World) -> None:
    world.acl = "user dokk1\ntopic write city/citylab/another-box/#\n"


@contextlib.contextmanager
def the_way_is_slow(_: World) -> Iterator[None]:
    with mock.patch.object(brokers, "SLOW_S", -1.0):
        yield
