#!/bin/sh
# Locks the project at $3 in a copy of /source, made at $1, within $2 seconds, and leaves the
# lock file in /out.
set -eu
umask 022

# A pixi that waits for ever must not make a test wait for ever.
limit=$2
limited() {
    if ! command -v timeout >/dev/null; then
        "$@"
    elif ! timeout "$limit" "$@"; then
        echo "$*: failed, or did not end within $limit s" >&2
        return 1
    fi
}

mkdir -p "$1"
cp -R /source/. "$1"
cd "$1/$3"
rm -rf .pixi pixi.lock
if pixi lock --help >/dev/null 2>&1; then
    limited pixi lock
else
    limited pixi install
fi
cp pixi.lock /out/pixi.lock
