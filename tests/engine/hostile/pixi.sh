#!/bin/sh
# Stands in for pixi in a container that is hostile: it installs nothing. `install` and
# `run` hand over to a script that plants what the project's file `plan` lists for them.
set -eu

case ${1-} in
--version | -V)
  echo 'pixi 0.77.0'
  ;;
install)
  mkdir -p .pixi/envs/default/conda-meta
  printf '{}\n' >.pixi/envs/default/conda-meta/history
  exec sh /usr/local/bin/plant install
  ;;
run)
  exec sh /usr/local/bin/plant run
  ;;
*)
  echo "stand-in for pixi: no such command: ${1-}" >&2
  exit 2
  ;;
esac
