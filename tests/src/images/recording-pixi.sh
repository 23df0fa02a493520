#!/bin/sh
# Stands in for pixi where a test wants to know exactly which words pixi was given:
# `run` writes them, each ended by a NUL, to a file instead of running anything.
set -eu

record=${PIXI_RECORD:-${VERIFY_OUT_DIR:-/tmp}/recorded-argv}

# The directory of the manifest, from --manifest-path or else the current one.
project_dir() {
    while [ $# -gt 0 ]; do
        case $1 in
        --manifest-path) dirname -- "$2"; return ;;
        --manifest-path=*) dirname -- "${1#*=}"; return ;;
        esac
        shift
    done
    printf '.\n'
}

case ${1-} in
--version | -V)
    echo 'pixi 0.77.0'
    ;;
install)
    dir=$(project_dir "$@")
    mkdir -p -- "$dir/.pixi/envs/default/conda-meta"
    printf '{}\n' >"$dir/.pixi/envs/default/conda-meta/history"
    ;;
run)
    shift
    : >"$record"
    if [ $# -gt 0 ]; then
        printf '%s\0' "$@" >>"$record"
    fi
    ;;
*)
    echo "recording pixi: no such command: ${1-}" >&2
    exit 2
    ;;
esac
