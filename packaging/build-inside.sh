#!/bin/sh
# Inside the build root, without a network: the virtual environment, what was compiled, the stage.
#
# Below /citylab-build: src is the source, wheels what requirements/run.txt locks, and in stage the
# package's files are put together. The name is not to be found in the finished package.
set -eu
program=citylab-gateway
home=/opt/$program
build=/citylab-build
stage=$build/stage
pip="/opt/tools/bin/python -m pip --python $home/bin/python --quiet --disable-pip-version-check"
install="$pip install --no-index --no-cache-dir --no-compile --root-user-action=ignore"
export PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1

# The wheels of the lock, and our own, whose hot modules have to be compiled.
make_environment() {
    python3 -m venv --without-pip "$home"
    $install --find-links "$build/wheels" --require-hashes \
        --requirement "$build/src/requirements/run.txt"
    CITYLAB_GATEWAY_CYTHON=require $pip wheel --no-index --no-cache-dir --no-deps \
        --no-build-isolation --wheel-dir "$build/own" "$build/src"
    $install --find-links "$build/own" --no-deps "$program"
}

# What was needed to build, what only tests need, and what belongs to a shell.
prune() {
    packages=$(echo "$home"/lib/python3.*/site-packages)
    $pip uninstall --yes --root-user-action=ignore cython setuptools
    find "$home/bin" -mindepth 1 ! -name "$program" ! -name 'python*' -delete
    rm -rf "$home/include"
    find "$packages" -depth -type d \( -name __pycache__ -o -name testcases -o -name tests \) \
        -exec rm -r {} +
    find "$packages/gateway" -name '*.pxd' -delete
    find "$packages/gateway" -name '*.so' -exec strip --strip-unneeded {} +
    $pip check
    # A file that is newer or older than its bytecode changes nothing here: nobody edits it.
    find "$home" -newermt "@$SOURCE_DATE_EPOCH" \
        -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
    "$home/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$packages"
}

lay_out() {
    cd "$build/src"
    install -d "$stage/opt" "$stage/usr/bin" "$stage/etc"
    cp -a "$home" "$stage/opt/"
    ln -s "$home/bin/$program" "$stage/usr/bin/$program"
    install -d -m 750 "$stage/etc/$program"
    install -d -m 700 "$stage/etc/$program/secrets"
    units=$stage/usr/lib/systemd/system
    install -D -m 644 -t "$units" systemd/$program.service systemd/$program.socket
    install -D -m 644 -t "$stage/usr/lib/udev/rules.d" systemd/70-$program.rules
    install -D -m 644 systemd/$program.sysusers "$stage/usr/lib/sysusers.d/$program.conf"
    install -D -m 644 packaging/debian/lintian-overrides "$stage/usr/share/lintian/overrides/$program"
    lay_out_documents "$stage/usr/share/doc/$program"
}

# As in the repository, so that the links between the pages lead somewhere.
lay_out_documents() {
    install -d "$1"
    cp -r README.md LICENSE docs config "$1/"
    install -D -m 644 systemd/README.md "$1/systemd/README.md"
    find drivers -name README.md -exec cp --parents {} "$1/" \;
    ln -s docs/operate.md "$1/operate.md"
    ln -s config "$1/examples"
    python3 packaging/copyright.py "$home"/lib/python3.*/site-packages packaging/debian/copyright \
        >"$1/copyright"
    gzip -9n <CHANGELOG.md >"$1/NEWS.gz"
    gzip -9n <debian/changelog >"$1/changelog.gz"
    find "$1" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
}

# Dependencies as the release's own tools compute them, and DEBIAN/.
write_control() {
    cd "$build/src"
    minor=$(python3 -c 'import sys; print(sys.version_info[1])')
    install -d "$stage/DEBIAN"
    find "$stage/opt" -name '*.so*' -type f >"$build/libraries"
    bundled=$(find "$stage/opt" -type d -name '*.libs' -printf '-l%p ')
    # shellcheck disable=SC2046,SC2086 # lists of words
    dpkg-shlibdeps --warnings=1 -Tdebian/substvars $bundled $(sed 's/^/-e/' "$build/libraries")
    echo "python3:Depends=python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~)" >>debian/substvars
    dpkg-gencontrol -Tdebian/substvars -P"$stage"
    for script in preinst postinst prerm postrm; do
        install -m 755 packaging/debian/$script "$stage/DEBIAN/$script"
    done
    (cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' |
        LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
}

make_environment
prune
lay_out
write_control
