"""Certificates that are renewed while the gateway runs, and their end."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.config.model import TlsSection
from gateway.forward.certificates import CertificateWatch
from gateway.forward.mqtt import open_connection
from tests.forward.pki import FourDoors, make_ca, make_certificate, make_pki

DAY_S = 86_400


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def own(tmp_path: Path, pki: Path) -> TlsSection:
    """Return a section with files of its own, to be changed."""
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copy(pki / "city-ca.pem", folder / "ca.pem")
    install(folder, pki, "gateway")
    return TlsSection(
        ca_file=str(folder / "ca.pem"),
        cert_file=str(folder / "client.pem"),
        key_file=str(folder / "client.key"),
    )


def install(folder: Path, pki: Path, name: str, *kinds: str) -> None:
    """Put a certificate and its key, or one of them, in place as a renewal does: by renaming."""
    for kind in kinds or ("pem", "key"):
        shutil.copy(pki / f"{name}.{kind}", folder / f"new.{kind}")
        (folder / f"new.{kind}").rename(folder / f"client.{kind}")


def test_a_renewed_pair_has_changed_once(own: TlsSection, pki: Path) -> None:
    watch = CertificateWatch(own)
    assert [watch.changed(), watch.changed()] == [False, False]
    install(Path(own.cert_file).parent, pki, "renewed")
    assert [watch.changed(), watch.changed()] == [True, False]


@pytest.mark.parametrize("first", ["pem", "key"])
def test_half_a_pair_has_not_changed_yet(own: TlsSection, pki: Path, first: str) -> None:
    watch, folder = CertificateWatch(own), Path(own.cert_file).parent
    watch.changed()
    install(folder, pki, "renewed", first)
    assert not watch.changed()
    install(folder, pki, "renewed", "key" if first == "pem" else "pem")
    assert watch.changed()


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nMIIB", "garbage"])
def test_a_file_in_the_middle_of_being_written_has_not_changed(
    own: TlsSection, pki: Path, content: str
) -> None:
    watch, certificate = CertificateWatch(own), Path(own.cert_file)
    watch.changed()
    before = certificate.read_bytes()
    certificate.write_text(content, encoding="ascii")
    assert not watch.changed()
    certificate.unlink()
    assert not watch.changed()
    assert watch.expires_s() is None
    certificate.write_bytes(before)
    assert not watch.changed(), "what was used before is back"


def test_a_new_authority_counts_and_a_touched_file_does_not(own: TlsSection, pki: Path) -> None:
    watch = CertificateWatch(own)
    watch.changed()
    os.utime(own.ca_file, (1, 1))
    assert not watch.changed()
    with Path(own.ca_file).open("ab") as file:
        file.write((pki / "other-ca.pem").read_bytes())
    assert watch.changed()


def test_a_link_to_another_file_counts(tmp_path: Path, own: TlsSection, pki: Path) -> None:
    """As Kubernetes and certbot do it: the path stays, what it leads to changes."""
    certificate = Path(own.cert_file)
    certificate.rename(tmp_path / "old.pem")
    certificate.symlink_to(tmp_path / "old.pem")
    make_certificate(pki, "again", "city-ca", "DNS:gateway")
    watch = CertificateWatch(own)
    watch.changed()
    shutil.copy(pki / "again.key", own.key_file)
    certificate.unlink()
    certificate.symlink_to(pki / "again.pem")
    assert watch.changed()


def test_the_first_end_counts(tmp_path: Path, own: TlsSection, pki: Path) -> None:
    watch, now = CertificateWatch(own), time.time()

    def days_left() -> float:
        expires = watch.expires_s()
        assert expires is not None
        return (expires - now) / DAY_S

    assert days_left() == pytest.approx(2, abs=0.1)
    make_ca(tmp_path, "long", days=900)
    shutil.copy(tmp_path / "long.pem", own.ca_file)
    make_certificate(tmp_path, "client40", "long", "DNS:gateway", days=40)
    install(Path(own.cert_file).parent, tmp_path, "client40")
    assert days_left() == pytest.approx(40, abs=0.1)
    with Path(own.ca_file).open("ab") as file:
        file.write(make_ca(tmp_path, "short", days=7).read_bytes())
    assert days_left() == pytest.approx(7, abs=0.1)


def test_without_files_there_is_nothing_to_watch() -> None:
    watch = CertificateWatch(TlsSection())
    assert [watch.changed(), watch.changed()] == [False, False]
    assert watch.expires_s() is None


def test_the_library_for_certificates_is_loaded_only_with_files(pki: Path) -> None:
    """It costs memory that a small box without such files keeps."""
    program = (
        "import sys\n"
        "from gateway.config.model import TlsSection\n"
        "from gateway.forward.certificates import CertificateWatch\n"
        "CertificateWatch(TlsSection()).expires_s()\n"
        "before = 'cryptography' in sys.modules\n"
        "CertificateWatch(TlsSection(ca_file=sys.argv[1])).expires_s()\n"
        "print(before, 'cryptography' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(pki / "city-ca.pem")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.mosquitto
@pytest.mark.timeout(90)
@pytest.mark.parametrize("way", ["mqtts", "wss"])
async def test_sec_03_a_new_connection_uses_the_renewed_files(
    tmp_path: Path, own: TlsSection, pki: Path, way: str
) -> None:
    """During traffic: the old connection goes on until the new one is there."""
    lines = ("require_certificate true", "use_identity_as_username true")
    async with FourDoors(tmp_path, pki, *lines) as broker:
        watch = CertificateWatch(own)
        await asyncio.to_thread(watch.changed)
        old = await open_connection(broker.through(way, tls=own, client_id="before"))
        answers = [old.send("a", b"1")]
        await asyncio.to_thread(install, Path(own.cert_file).parent, pki, "renewed")
        assert await asyncio.to_thread(watch.changed)
        answers.append(old.send("a", b"2"))
        new = await open_connection(broker.through(way, tls=own, client_id="after"))
        answers += [old.send("a", b"3"), new.send("a", b"4")]
        assert {await answer for answer in answers} <= {0, 0x10}
        await old.close()
        await new.close()
    assert re.search(r"as before \(.*u'gateway'\)", broker.log)
    assert re.search(r"as after \(.*u'renewed'\)", broker.log)
