#!/bin/sh
# Activates the environment of this image, and becomes the command. Needs no pixi.
# The PATH of the image begins with the environment, for what is started past this
# script. Here activation puts it there; build.sh writes the path in place of the mark.
case $PATH in @PREFIX@/bin:*) PATH=${PATH#@PREFIX@/bin:} ;; esac
# Activation scripts are written for bash: it takes over where there is one.
if [ -n "${BASH_VERSION-}" ]; then
  # shellcheck disable=SC3040 # this is bash
  set +o posix
elif command -v bash >/dev/null 2>&1; then
  exec bash "$0" "$@"
fi
if [ "$#" -eq 0 ]; then
  echo "ERROR: no command, and this image has none of its own: docker run IMAGE CMD ARG..." >&2
  exit 2
fi
# shellcheck disable=SC2034 # read by the lines that follow
_pixi_offline_root=${0%/*}
# USER PACKAGES
unset _pixi_offline_root
