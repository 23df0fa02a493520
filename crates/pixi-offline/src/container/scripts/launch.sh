#!/bin/sh
# Runs first, in whatever POSIX shell the image has, and hands over to a login
# shell: `bash -lc` where there is bash, since images put pixi on PATH in a
# profile; else `sh -lc`. A login shell starts PATH anew on Debian, so the
# image's own is carried along for the script to append.
# One stream from here on: two would reach the log out of order. The input is the
# script's alone, as descriptor 9: a profile that reads finds nothing.
exec 2>&1 9<&0 </dev/null
script=$1
shift
PIXI_OFFLINE_IMAGE_PATH=$PATH
export PIXI_OFFLINE_IMAGE_PATH
if command -v bash >/dev/null 2>&1; then
  exec bash -lc "$script" pixi-offline bash "$@"
fi
exec sh -lc "$script" pixi-offline sh "$@"
