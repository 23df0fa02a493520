#!/bin/bash
# What a person does with a product: copies it to a place, installs it, uses it. Here as a user
# that the machine does not know, two days later.

# The image's, and it would keep attempts in the container itself.
unset https_proxy

# How often something had no way to where it wanted.
attempts() {
  awk '$1 == "Ip:" { if (at) print $at; else for (i = 1; i <= NF; i++) if ($i == "OutNoRoutes") at = i }' /proc/net/snmp
}

place=/elsewhere/the-product
mkdir /elsewhere/home "$place"
export HOME=/elsewhere/home
cp -R /carried/it/. "$place"
before=$(attempts)
export FAKETIME_DONT_FAKE_MONOTONIC=1
# How faketime gets into every program; envs.sh would unset it.
export PIXI_OFFLINE_USER_PACKAGES=LD_PRELOAD
cat >/elsewhere/use.sh <<'END'
cd "$1"
./bootstrap-project.sh
. ./envs.sh
cd "${PIXI_OFFLINE_PROJECT:-demo}"
pixi run python prove.py
# What the install left is not taken for damage.
"$1/bootstrap-project.sh" --check
END
faketime -f +2d bash -eu /elsewhere/use.sh "$place"
# Once more from the product itself, which this user may only read.
cat >/elsewhere/into.sh <<'END'
/carried/it/bootstrap-project.sh --into /elsewhere/into
. /elsewhere/into/envs.sh
cd "/elsewhere/into/${PIXI_OFFLINE_PROJECT:-demo}"
pixi run python prove.py
# The environment does not need the product.
if find .pixi/envs -type l -exec readlink -f {} + | grep '^/carried/'; then exit 1; fi
END
faketime -f +2d bash -eu /elsewhere/into.sh
lock=$(cd /carried/it && find demo -name pixi.lock)
if ! cmp "$place/$lock" "/carried/it/$lock"; then
  echo "pixi.lock was changed"
  exit 1
fi
echo "attempts to reach the network: $(($(attempts) - before))"
