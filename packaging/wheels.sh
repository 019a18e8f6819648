# Fetch the wheels of a lock file for another machine. Sourced by scripts/deb.
#
# This is the only step that asks a package index: on this machine, by the pip configuration of this
# machine. What is built from the wheels is built without a network.
# shellcheck shell=bash

OLDEST_GLIBC=17 # manylinux2014

# Print the directory with the wheels of a lock: fetch_wheels LOCK [PIP OPTION...]
fetch_wheels() {
    local lock=$1 hash wheels python
    shift
    hash=$(sha256sum "$lock" | cut -c 1-16)
    wheels=$ROOTS/wheels-$(basename "$lock" .txt)-$hash
    if [ ! -d "$wheels" ]; then
        python=$(own_pip)
        say "fetching the wheels of $lock for $ARCH"
        rm -rf "$wheels.new.$$"
        # shellcheck disable=SC2046 # lists of words
        "$python" -m pip --quiet --disable-pip-version-check download --dest "$wheels.new.$$" \
            "$@" --no-deps --require-hashes --requirement "$lock" \
            --implementation cp --python-version "$(root_python)" $(platforms) >&2
        mv --no-target-directory "$wheels.new.$$" "$wheels" 2>/dev/null || rm -rf "$wheels.new.$$"
    fi
    printf '%s\n' "$wheels"
}

# A pip of our own, so that none has to be installed for this.
own_pip() {
    local tools python=${PYTHON:-python3}
    tools=$CACHE/tools-$("$python" -c 'import sys; print(*sys.version_info[:3], sep=".")')
    [ -x "$tools/bin/pip" ] || "$python" -m venv "$tools" >&2 ||
        die "this Python makes no virtual environments. Run: apt-get install python3-venv"
    printf '%s\n' "$tools/bin/python"
}

# The version of the release's Python: 3.11
root_python() { basename "$(find "$ROOTS/build/usr/bin" -name 'python3.[0-9]*[0-9]')" | cut -c 7-; }

# Every kind of wheel that the release can run, newest C library first.
platforms() {
    local machine newest minor
    case $ARCH in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac
    newest=$(dpkg-query --admindir="$ROOTS/build/var/lib/dpkg" \
        --show --showformat='${Version}' "libc6:$ARCH" | sed -E 's/^2\.([0-9]+).*/\1/')
    for ((minor = newest; minor >= OLDEST_GLIBC; minor--)); do
        printf -- '--platform manylinux_2_%s_%s ' "$minor" "$machine"
    done
    printf -- '--platform manylinux2014_%s' "$machine"
}
