#!/bin/sh
# Inside an emulated root, without a network: install the package, run the tests against it.
#
# What tests import beside it comes last in the search, so that the package's own wheels are tested.
# slow_machine.py beside this file gives each test ten times as long.
set -eu
home=/opt/citylab-gateway

ip link set lo up 2>/dev/null || python3 -c '
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))'

echo '127.0.0.1 localhost' >/etc/hosts

dpkg --install /citylab-build/package.deb
cd /citylab-build/src
packages=$(echo "$home"/lib/python3.*/site-packages)

echo /opt/suite >"$packages/zz-suite.pth"

# The modules of the package, with the recordings that the package leaves out.
for part in gateway drivers; do
    find "$part" \( -path '*/testcases/*' -o -name '*.pxd' \) -exec cp --parents {} "$packages" \;
    rm -r "$part"
    ln -s "$packages/$part" "$part"
done
ln -s "$PWD/docs" "$packages/docs" # where a test looks from the place of the modules
[ $# -gt 0 ] || set -- tests/buffer tests/filters tests/drivers tests/forward
export LC_ALL=C.UTF-8 PYTHONPATH=/citylab-build
exec "$home/bin/python" -m pytest -p no:cacheprovider -p slow_machine --numprocesses 2 "$@"
