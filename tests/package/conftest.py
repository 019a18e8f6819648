"""What the tests of the Debian package need: root, debootstrap, and the tools of namespaces."""

import os
import platform
import shutil

import pytest

TOOLS = ("debootstrap", "dpkg-deb", "unshare", "nsenter", "ip", "mosquitto", "mosquitto_sub")
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing() -> str:
    """Say why they cannot run here, or need not; empty if they can."""
    if os.environ.get("CITYLAB_GATEWAY_LEG") == "compiled":
        return "the package is the same in both legs: built and tested in the other one"
    if os.geteuid() != 0:
        return "debootstrap and chroot need root"
    if platform.machine() != "x86_64":
        return "CI builds for amd64; for arm64: make deb-test ARCH=arm64"
    absent = [name for name in TOOLS if shutil.which(name, path=SEARCH_PATH) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where they cannot run."""
    reason = missing()
    for item in items:
        if reason and item.get_closest_marker("debootstrap"):
            item.add_marker(pytest.mark.skip(reason=reason))
