# Build roots: small Debian systems in which the package is built and tested. Sourced by scripts/deb.
#
# Each is made once and kept below the cache; what uses one works in a copy-on-write layer over it.
# shellcheck shell=bash

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/citylab-gateway
RELEASE=${RELEASE:-bookworm}
ARCH=${ARCH:-$(dpkg --print-architecture)}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
BUILD_PACKAGES="python3 python3-venv libpython3-dev gcc libc6-dev dpkg-dev"
TEST_PACKAGES="python3 ca-certificates libgcc-s1"
ROOTS=$CACHE/$RELEASE-$ARCH

say() { printf '%s\n' "deb: $*" >&2; }

die() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

# What the work needs: the right to do it, the tools, and the emulator for another architecture.
require_tools() {
    [ "$(id -u)" = 0 ] || die "debootstrap and chroot need root. Run: sudo make deb ARCH=$ARCH"
    case $ARCH in amd64 | arm64) ;; *) die "ARCH is amd64 or arm64, not $ARCH" ;; esac
    case $RELEASE in bookworm | trixie) ;; *) die "RELEASE is bookworm or trixie, not $RELEASE" ;; esac
    command -v debootstrap >/dev/null ||
        die "debootstrap makes the build root. Run: apt-get install --no-install-recommends debootstrap"
    [ -e "$KEYRING" ] ||
        die "$KEYRING tells real packages from others. Run: apt-get install debian-archive-keyring"
    require_emulator
}

# Programs of another architecture run by qemu-user; the kernel has to be told so.
require_emulator() {
    local machine known=/proc/sys/fs/binfmt_misc
    case $ARCH in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac
    [ "$(uname -m)" != "$machine" ] || return 0
    [ -e /usr/lib/binfmt.d/qemu-$machine.conf ] ||
        die "an emulator is missing. Run: apt-get install --no-install-recommends qemu-user-static"
    [ -e $known/register ] || mount -t binfmt_misc none $known
    [ -e $known/qemu-$machine ] || cat /usr/lib/binfmt.d/qemu-$machine.conf >$known/register
}

# The mirror that this machine itself uses; it is written into the cached roots and nowhere else.
mirror() {
    local found
    found=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)}
    [ -n "$found" ] || die "apt knows no Debian mirror. Name one: make deb MIRROR=http://..."
    printf '%s\n' "$found"
}

# Run a command in a root without leaving a mount behind: in_root DIRECTORY COMMAND...
in_root() {
    local root=$1
    shift
    unshare --mount --propagation private sh -c '
        mount -t proc proc "$0/proc" && exec chroot "$0" env -i \
            PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}" "$@"
    ' "$root" "$@"
}

# Make both roots, once, whoever else wants them at the same time.
make_roots() {
    mkdir -p "$ROOTS"
    exec 9>"$ROOTS/lock"
    flock 9
    [ -d "$ROOTS/base" ] || make_base
    [ -d "$ROOTS/build" ] || make_build
    exec 9>&-
}

# A minimal Debian, as `debootstrap` gives it.
make_base() {
    local source log=$ROOTS/base.log include=""
    source=$(mirror)
    say "making a $RELEASE for $ARCH, once (minutes if it is emulated); the log is $log"
    rm -rf "$ROOTS/base.new"
    case $source in https:*) include=--include=ca-certificates ;; esac
    if ! { debootstrap --foreign --arch="$ARCH" --variant=minbase --keyring="$KEYRING" $include \
        "$RELEASE" "$ROOTS/base.new" "$source" &&
        in_root "$ROOTS/base.new" /debootstrap/debootstrap --second-stage &&
        printf 'deb %s %s main\n' "$source" "$RELEASE" >"$ROOTS/base.new/etc/apt/sources.list" &&
        in_root "$ROOTS/base.new" sh -c 'apt-get clean; rm -f /var/cache/apt/*.bin /var/log/*.log' &&
        echo force-unsafe-io >"$ROOTS/base.new/etc/dpkg/dpkg.cfg.d/fast" &&
        printf '#!/bin/sh\nexit 101\n' >"$ROOTS/base.new/usr/sbin/policy-rc.d" &&
        chmod 755 "$ROOTS/base.new/usr/sbin/policy-rc.d"; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        die "debootstrap failed; $log has the whole story"
    fi
    mv "$ROOTS/base.new" "$ROOTS/base"
}

# The same with Python, a compiler and what packages are made with.
make_build() {
    local log=$ROOTS/build.log
    say "adding a compiler to it, once; the log is $log"
    rm -rf "$ROOTS/build.new"
    cp -a "$ROOTS/base" "$ROOTS/build.new"
    # shellcheck disable=SC2086 # a list of words
    if ! { in_root "$ROOTS/build.new" apt-get update --quiet &&
        in_root "$ROOTS/build.new" apt-get install --yes --no-install-recommends $BUILD_PACKAGES &&
        in_root "$ROOTS/build.new" apt-get clean &&
        in_root "$ROOTS/build.new" python3 -m venv /opt/tools; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        die "the build root could not be finished; $log has the whole story"
    fi
    mv "$ROOTS/build.new" "$ROOTS/build"
}

# A minimal system for tests, as a box is before the installation: what the package depends on lies
# in apt's own store, so that nothing has to be asked for it. No systemctl, on purpose.
make_test() {
    local log=$ROOTS/test.log
    [ ! -d "$ROOTS/test" ] || return 0
    exec 9>"$ROOTS/lock"
    flock 9
    if [ ! -d "$ROOTS/test" ]; then
        say "preparing a root for tests, once; the log is $log"
        rm -rf "$ROOTS/test.new"
        cp -a "$ROOTS/base" "$ROOTS/test.new"
        # shellcheck disable=SC2086 # a list of words
        if ! { in_root "$ROOTS/test.new" apt-get update --quiet &&
            in_root "$ROOTS/test.new" apt-get install --yes --no-install-recommends \
                systemd-standalone-sysusers &&
            in_root "$ROOTS/test.new" apt-get install --yes --no-install-recommends \
                --download-only $TEST_PACKAGES; } >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            die "the root for tests could not be finished; $log has the whole story"
        fi
        mv "$ROOTS/test.new" "$ROOTS/test"
    fi
    exec 9>&-
}
