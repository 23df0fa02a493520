#!/bin/sh
# Runs in a throw-away container of the base image, with the host's network, and leaves in
# /out (a mounted directory): python/ as conda would lay it out, python-version, and busybox.
#
# The conda package must run in any image, so it brings every shared library that Debian's
# python needs except glibc's own, and finds them relative to itself.
set -eu

export DEBIAN_FRONTEND=noninteractive
# Without this apt complains that its unprivileged user cannot write where we download to.
echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/sandbox

apt-get -qq update
# Installed, so that ldd finds the libraries; downloaded, to take the files from.
apt-get -qq --yes --no-install-recommends install \
    patchelf python3.11-minimal libpython3.11-minimal libpython3.11-stdlib
mkdir /tmp/files /tmp/packages
cd /tmp/packages
apt-get -qq download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib busybox-static
for package in *.deb; do
    dpkg-deb --extract "$package" /tmp/files
done

cp /tmp/files/bin/busybox /out/busybox

prefix=/out/python
library=$prefix/lib/python3.11
mkdir -p "$prefix/bin" "$prefix/lib"
cp /tmp/files/usr/bin/python3.11 "$prefix/bin/"
ln -s python3.11 "$prefix/bin/python3"
ln -s python3.11 "$prefix/bin/python"
cp -R /tmp/files/usr/lib/python3.11 "$library"

# What makes it Debian's python rather than one of an environment. The module `site` that
# really runs is frozen into the program; both names are of one length.
rm -f "$library/EXTERNALLY-MANAGED" "$library/sitecustomize.py"
LC_ALL=C sed -i 's/dist-packages/site-packages/g' "$library/site.py" "$prefix/bin/python3.11"
sed -i "s/prefix_scheme = 'posix_local'/prefix_scheme = 'posix_prefix'/" "$library/sysconfig.py"
mkdir "$library/site-packages"
echo 'Packages of this environment.' >"$library/site-packages/README.txt"

# The libraries of the program and of its extension modules, without glibc's.
for file in "$prefix/bin/python3.11" "$library"/lib-dynload/*.so; do
    ldd "$file"
done | sed -n 's/^[[:space:]]*[^ ]* => \(\/[^ ]*\) .*/\1/p' | sort -u >/tmp/libraries
while read -r path; do
    case ${path##*/} in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libresolv.so.* | libutil.so.*) ;;
    *) cp -L "$path" "$prefix/lib/" ;;
    esac
done </tmp/libraries
# shellcheck disable=SC2016 # the dynamic linker replaces $ORIGIN, not the shell
{
    patchelf --set-rpath '$ORIGIN/../lib' "$prefix/bin/python3.11"
    patchelf --set-rpath '$ORIGIN/../..' "$library"/lib-dynload/*.so
    patchelf --set-rpath '$ORIGIN' "$prefix"/lib/*.so*
}

# It works here, without what was installed above, and looks where it should.
mv /usr/lib/python3.11 /usr/lib/python3.11.away
"$prefix/bin/python" -B -c '
import platform, site, sysconfig
import bz2, ctypes, curses, hashlib, json, lzma, readline, sqlite3, ssl, uuid, zlib
assert sysconfig.get_path("purelib") in site.getsitepackages(), site.getsitepackages()
print(platform.python_version())
' >/out/python-version

chown -R "$OWNER" /out
