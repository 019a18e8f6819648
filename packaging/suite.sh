#!/usr/bin/env bash
# Run the tests against the installed package of another architecture, emulated: make deb-test
#
# ARCH=arm64 packaging/suite.sh [PYTEST ARGUMENT...]. The newest package of dist/ is installed in a
# layer over the build root; the tests find its modules, not those of the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/roots.sh
. packaging/wheels.sh
SUITE_PACKAGES="mosquitto mosquitto-clients dbus procps systemd-standalone-sysusers ca-certificates"
SUITE=$ROOTS/suite-$(sha256sum requirements/dev.txt | cut -c 1-16)
PIP="/opt/tools/bin/python -m pip --quiet install --no-index --find-links /opt/wheels --no-deps"

# The build root with brokers and what the tests import; made once for each lock. Few of these are no
# wheels, so they are built there; setuptools of the lock does it.
make_suite() {
    local wheels=$1 log=$ROOTS/suite.log
    [ ! -d "$SUITE" ] || return 0
    say "adding brokers and Python packages to the build root, once; the log is $log"
    rm -rf "$SUITE.new"
    cp -a "$ROOTS/build" "$SUITE.new"
    cp -r "$wheels" "$SUITE.new/opt/wheels"
    cp requirements/dev.txt "$SUITE.new/opt/"
    # shellcheck disable=SC2086 # lists of words
    if ! { in_root "$SUITE.new" apt-get update --quiet &&
        in_root "$SUITE.new" apt-get install --yes --no-install-recommends $SUITE_PACKAGES &&
        in_root "$SUITE.new" apt-get clean &&
        in_root "$SUITE.new" $PIP --upgrade setuptools &&
        in_root "$SUITE.new" $PIP --target /opt/suite --no-compile --no-build-isolation \
            --require-hashes --requirement /opt/dev.txt; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        die "the root for the tests could not be finished; $log has the whole story"
    fi
    rm -rf "$SUITE.new/opt/wheels"
    mv "$SUITE.new" "$SUITE"
}

run_in_layer() {
    local work=$1 build=$1/root/citylab-build
    shift
    mount -t tmpfs tmpfs "$work"
    mkdir "$work/upper" "$work/tmp" "$work/root"
    mount -t overlay overlay "$work/root" \
        -o "lowerdir=$SUITE,upperdir=$work/upper,workdir=$work/tmp"
    mkdir -p "$build/src" "$work/root/dev/pts"
    mount --bind /dev/pts "$work/root/dev/pts"
    cp "$PACKAGE" "$build/package.deb"
    tar --create --exclude=__pycache__ --exclude='*.so' --exclude=node_modules \
        config docs drivers gateway requirements scripts systemd tests \
        CHANGELOG.md CONTRIBUTING.md LICENSE Makefile README.md SECURITY.md pyproject.toml setup.py |
        tar --extract --directory "$build/src"
    cp packaging/suite-inside.sh packaging/slow_machine.py "$build/"
    in_root "$work/root" unshare --net sh /citylab-build/suite-inside.sh "$@"
}

PACKAGE=$(find dist -name "citylab-gateway_*_$ARCH.deb" -printf '%T@ %p\n' 2>/dev/null |
    sort -rn | head -n 1 | cut -d ' ' -f 2)
if [ "${1:-}" = --in-layer ]; then
    shift
    run_in_layer "$@"
    exit 0
fi
[ -n "$PACKAGE" ] || die "there is no package to test. Run: make deb ARCH=$ARCH"
require_tools
make_roots
make_suite "$(fetch_wheels requirements/dev.txt)"
work=$(mktemp -d "$ROOTS/work.XXXXXX")
trap 'rmdir "$work"' EXIT
say "testing $PACKAGE"
RELEASE=$RELEASE ARCH=$ARCH unshare --mount --propagation private \
    packaging/suite.sh --in-layer "$work" "$@"
