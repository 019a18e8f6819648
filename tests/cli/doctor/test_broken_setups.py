"""A catalogue of broken boxes: doctor names what is wrong with each, what mends it, and no more.

Each line breaks a sound box in one place. ``lost`` is what then cannot be looked at, ``also`` what
follows from it and is told as well.
"""

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from gateway.cli.doctor.areas import AREAS
from gateway.cli.doctor.finding import COMMON, Finding
from tests.cli.doctor import breaks as b
from tests.cli.doctor.world import World

pytestmark = [pytest.mark.timeout(120), pytest.mark.mosquitto, pytest.mark.dbus]

Break = Callable[[World], AbstractContextManager[None] | None]
Told = tuple[str, str, str]
"""State, code, subject."""

SOUND = {
    "citylab-gateway", "libraries", "data files", "drivers", "configuration", "secrets", "service",
    "sensor air", "bluetooth", "adapter hci0", "clock", "disk", "ring", "card", "wear", "supply",
    "network", "DNS", "broker aarhus",
}  # fmt: skip
"""All that is looked at on a sound box."""
CONFIGURED = {
    "secrets", "sensor air", "bluetooth", "adapter hci0", "ring", "card", "wear", "DNS",
    "broker aarhus",
}  # fmt: skip
"""What is not looked at without a configuration."""
NO_PASSWORD = ("skip", "not_seen", "broker aarhus")
"""Without its password the way to a broker ends before the login."""
REFUSED = ("fail", "config_refused", "configuration")
MISSING_UNIT = ("warn", "unit_missing", "service")
AIR, AARHUS, SERVICE = "sensor air", "broker aarhus", "service"


@dataclass(frozen=True)
class Case:
    """One broken box, and what has to be said about it."""

    broken: Break | tuple[Break, ...]
    told: Told
    mend: str
    cause: str = ""
    lost: frozenset[str] = frozenset()
    also: tuple[Told, ...] = ()
    as_root: bool = False
    """Only root can break it that way without locking itself out."""

    @property
    def breaks(self) -> tuple[Break, ...]:
        return self.broken if isinstance(self.broken, tuple) else (self.broken,)


def case(
    broken: Break | tuple[Break, ...],
    state: str,
    code: str,
    subject: str,
    mend: str,
    *,
    cause: str = "",
    lost: set[str] | None = None,
    also: tuple[Told, ...] = (),
    as_root: bool = False,
) -> Case:
    """Return a line of the catalogue."""
    told = (state, code, subject)
    return Case(broken, told, mend, cause, frozenset(lost or ()), also, as_root)


CASES = (
    # software
    case(b.a_library_is_gone, "fail", "library_missing", "library h11", "apt install --reinstall",
         lost={"libraries"}),
    case(b.a_data_file_is_empty, "fail", "data_missing", "data quantities.csv",
         "apt install --reinstall", lost={"data files"}),
    case(b.a_driver_lacks_its_library, "fail", "driver_broken", "driver strange",
         'driver_class("strange")', lost=CONFIGURED | {"drivers", "configuration"},
         also=(REFUSED,)),
    # configuration
    case(b.a_key_is_misspelt, "fail", "config_refused", "configuration",
         "citylab-gateway check --config", lost=CONFIGURED),
    case(b.there_is_no_configuration, "fail", "config_missing", "configuration",
         "sudo citylab-gateway init --config", lost=CONFIGURED | {"drivers"}),
    case(b.the_daemon_may_not_read_it, "fail", "config_permission", "configuration",
         "sudo chgrp citylab-gateway", as_root=True),
    # secrets
    case(b.others_may_read_the_password, "fail", "secret_open", AARHUS, "sudo chmod 600 /",
         lost={"secrets"}, also=(NO_PASSWORD,)),
    case(b.the_file_of_a_credential_is_missing, "fail", "credential_missing", AARHUS,
         "sudo install -m 600 /dev/stdin", lost={"secrets"}, also=(NO_PASSWORD,)),
    case(b.the_unit_loads_no_credential, "fail", "credential_not_loaded", AARHUS,
         "LoadCredential=aarhus:/etc/citylab-gateway/secrets/aarhus", lost={"secrets"},
         also=(NO_PASSWORD,)),
    case(b.the_password_is_empty, "fail", "secret_unusable", AARHUS,
         "sudo install -m 600 /dev/stdin", lost={"secrets"}, also=(NO_PASSWORD,)),
    case(b.the_password_is_roots, "fail", "secret_permission", AARHUS,
         "sudo chown citylab-gateway /", lost={"secrets"}, as_root=True),
    case(b.the_password_file_is_missing, "fail", "secret_missing", AARHUS,
         "sudo install -m 600 /dev/stdin /no/such/file", lost={"secrets"}, also=(NO_PASSWORD,)),
    # service
    case(b.the_unit_is_masked, "fail", "unit_masked", SERVICE,
         "sudo systemctl unmask citylab-gateway"),
    case(b.it_is_not_started_at_boot, "warn", "unit_disabled", SERVICE,
         "sudo systemctl enable citylab-gateway.service"),
    case(b.somebody_stopped_it, "fail", "unit_inactive", SERVICE,
         "sudo systemctl start citylab-gateway"),
    case(b.it_ends_at_once, "fail", "unit_failed", SERVICE, "journalctl -u citylab-gateway"),
    case(b.systemd_has_not_read_a_drop_in, "warn", "unit_changed", SERVICE,
         "sudo systemctl daemon-reload"),
    case(b.the_program_is_missing, "fail", "unit_program", SERVICE, "ExecStart="),
    case(b.its_user_is_missing, "fail", "unit_user", SERVICE, "sudo systemd-sysusers"),
    case(b.the_watchdog_is_off, "warn", "unit_watchdog", SERVICE, "WatchdogSec="),
    case(b.the_socket_is_not_enabled, "warn", "socket_disabled", "socket",
         "sudo systemctl enable --now citylab-gateway.socket", lost={SERVICE}),
    # serial ports
    case(b.the_adapter_is_unplugged, "fail", "port_missing", AIR, "ls -l /dev/serial/by-id"),
    case(b.a_file_is_in_its_place, "fail", "port_kind", AIR, "replay ="),
    case(b.only_its_group_may_open_it, "fail", "port_permission", AIR,
         "sudo usermod --append --groups"),
    case(b.nobody_may_open_it, "fail", "port_mode", AIR, "70-citylab-gateway.rules"),
    case(b.another_program_has_it_open, "fail", "port_busy", AIR, "sudo kill "),
    case(b.it_is_a_console, "fail", "port_console", AIR,
         "sudo raspi-config nonint do_serial_cons 1"),
    case(b.the_sandbox_hides_it, "fail", "port_sandbox", AIR, "DeviceAllow=char-pts rw"),
    case(b.it_is_named_by_order, "warn", "port_name", AIR,
         'port = "/dev/serial/by-id/usb-Test_Adapter-if00-port0"'),
    # Bluetooth
    case(b.there_is_no_system_bus, "fail", "bus_missing", "bluetooth", "sudo systemctl start dbus",
         lost={"adapter hci0"}),
    case(b.bluez_does_not_run, "fail", "bluez_missing", "bluetooth",
         "sudo systemctl enable --now bluetooth", lost={"adapter hci0"}),
    case(b.the_bus_denies_it, "fail", "bluetooth_permission", "bluetooth",
         "sudo usermod --append --groups bluetooth", lost={"adapter hci0"}),
    case(b.bluez_is_old, "warn", "bluez_old", "bluetooth", "apt install bluez"),
    case(b.bluez_is_not_experimental, "fail", "bluez_not_experimental", "bluetooth",
         "ExecStart=/usr/libexec/bluetooth/bluetoothd --experimental"),
    case(b.the_adapter_is_elsewhere, "fail", "adapter_missing", "bluetooth", "bluetoothctl list",
         lost={"adapter hci0"}),
    case(b.the_adapter_is_off, "fail", "adapter_off", "adapter hci0", "bluetoothctl power on"),
    case(b.rfkill_blocks_it, "fail", "adapter_blocked", "adapter hci0",
         "sudo rfkill unblock bluetooth"),
    case(b.a_switch_blocks_it, "fail", "adapter_switched_off", "adapter hci0", "a switch"),
    # counting people
    case(b.bluez_keeps_addresses, "warn", "bluez_cache", "sensor square",
         "tmpfs /var/lib/bluetooth"),
    case(b.memory_is_swapped_out, "warn", "swap", "sensor square", "sudo swapoff --all"),
    # clock
    case(b.nobody_sets_the_clock, "warn", "clock_unsynced", "clock",
         "sudo timedatectl set-ntp true"),
    case(b.the_clock_is_in_the_past, "warn", "clock_wrong", "clock",
         "sudo timedatectl set-ntp true"),
    case(b.there_is_no_clock_chip, "warn", "clock_no_chip", "clock", "trusted = true"),
    # disk, ring and card
    case(b.the_state_directory_is_read_only, "fail", "disk_permission", "disk",
         "sudo install -d -m 700 -o citylab-gateway /"),
    case(b.the_card_went_read_only, "fail", "disk_read_only", "disk", "mount -o remount,rw /"),
    case(b.the_disk_is_full, "fail", "disk_full", "disk", "sudo journalctl --vacuum-size",
         lost={"wear"}),
    case(b.it_is_a_container, "warn", "file_system", "disk", "on ext4"),
    case(b.barriers_are_off, "warn", "mount_options", "disk", "take barrier=0 out"),
    case(b.run_is_on_the_card, "warn", "runtime_on_disk", "runtime directory", "runtime_directory",
         lost={"disk"}),
    case(b.the_ring_is_none, "warn", "ring_unusable", "ring", "citylab-gateway buffer check",
         lost={"wear"}),
    case(b.a_super_block_is_destroyed, "warn", "ring_damaged", "ring",
         "citylab-gateway buffer check --directory /"),
    case(b.another_process_holds_the_ring, "fail", "ring_in_use", "ring", "ps -fp "),
    case(b.the_card_is_worn, "warn", "disk_worn", "card", "plan a new card"),
    case(b.the_card_is_worn_out, "fail", "disk_worn_out", "card", "change the card"),
    case(b.the_card_is_small, "warn", "disk_wears_fast", "wear", "flush_interval"),
    # power
    case(b.the_voltage_is_low, "fail", "under_voltage", "supply", "a supply made for this model",
         also=(("warn", "throttled", "processor"),)),
    case(b.the_voltage_was_low, "warn", "under_voltage_seen", "supply", "vcgencmd get_throttled"),
    case(b.it_is_hot, "warn", "throttled", "processor", "vcgencmd measure_temp"),
    # network
    case(b.the_cable_is_out, "warn", "network_down", "network", "ip -brief link"),
    case(b.there_is_no_way_out, "warn", "network_no_route", "network", "ip route"),
    case(b.there_is_no_name_server, "warn", "dns_missing", "DNS", "nmcli"),
    # brokers, in the order of the steps
    case(b.the_name_does_not_exist, "fail", "broker_resolve", AARHUS,
         "getent hosts no-such-host.invalid", cause="dns"),
    case(b.nobody_listens, "fail", "broker_connect", AARHUS, "nc -vz", cause="refused"),
    case((b.nobody_listens, b.packets_vanish), "fail", "broker_connect", AARHUS, "nc -vz",
         cause="timeout"),
    case((b.nobody_listens, b.it_says_nothing), "fail", "broker_tls", AARHUS, "openssl s_client",
         cause="timeout"),
    case(b.it_speaks_no_tls, "fail", "broker_tls", AARHUS, "openssl s_client", cause="not_tls"),
    case(b.the_authority_is_another, "fail", "broker_tls", AARHUS, "-CAfile", cause="tls_chain"),
    case(b.the_certificate_has_expired, "fail", "broker_tls", AARHUS, "openssl s_client",
         cause="tls_expired"),
    case(b.the_certificate_is_for_another_name, "fail", "broker_tls", AARHUS,
         "openssl s_client -connect localhost:", cause="tls_name"),
    case(b.the_ca_file_is_missing, "fail", "broker_tls", AARHUS, "no-such-ca.pem",
         cause="tls_files"),
    case(b.the_certificate_ends_soon, "warn", "certificate_ends", AARHUS, "openssl x509 -enddate"),
    case(b.the_password_is_wrong, "fail", "broker_login", AARHUS, "type the password",
         cause="login"),
    case(b.publishing_is_not_allowed, "fail", "broker_publish", AARHUS,
         "citylab-gateway describe --mosquitto-acl", cause="not_authorised"),
    case(b.the_way_is_slow, "warn", "broker_slow", AARHUS, "ping -c 10 localhost"),
    # without systemd's unit
    case(b.the_unit_is_missing, "warn", "unit_missing", SERVICE, "systemd/README.md",
         lost={"secrets"}, also=(("fail", "credential_not_loaded", AARHUS), NO_PASSWORD)),
    case(b.a_variable_is_not_set, "fail", "secret_variable", AARHUS, "export NO_SUCH_PASSWORD",
         lost={"secrets", SERVICE}, also=(MISSING_UNIT, NO_PASSWORD)),
)  # fmt: skip


def name_of(each: Case) -> str:
    return f"{each.told[1]}-{each.breaks[-1].__name__}"


def told(findings: list[Finding]) -> set[Told]:
    return {(each.state, each.code, each.subject) for each in findings if each.state != "ok"}


def sound(findings: list[Finding]) -> set[str]:
    return {each.subject for each in findings if each.state == "ok"}


async def test_a_sound_box_is_all_green(world: World) -> None:
    async with world.running():
        findings = await world.examine()
    assert told(findings) == set()
    assert sound(findings) == SOUND
    assert not any(each.why or each.mend or each.cause for each in findings)


@pytest.mark.parametrize("broken", CASES, ids=name_of)
async def test_a_broken_box_is_named_and_nothing_else(world: World, broken: Case) -> None:
    if broken.as_root and os.geteuid() != 0:
        pytest.skip("only root can break it that way")
    while_running = [each(world) for each in broken.breaks]
    async with world.running():
        with contextlib.ExitStack() as stack:
            for each in while_running:
                if each is not None:
                    stack.enter_context(each)
            findings = await world.examine()
    assert told(findings) == {broken.told, *broken.also}
    found = next(each for each in findings if each.code == broken.told[1])
    assert broken.mend in found.mend
    assert found.why
    assert found.cause == broken.cause
    assert SOUND - broken.lost - {broken.told[2]} <= sound(findings)


def test_every_trouble_is_in_the_catalogue() -> None:
    known = {trouble.code for area in AREAS for trouble in area.troubles}
    shown = {each.told[1] for each in CASES}
    assert known == shown
    assert not known & {trouble.code for trouble in COMMON}
    assert len(known) == sum(len(area.troubles) for area in AREAS), "a code is used twice"
