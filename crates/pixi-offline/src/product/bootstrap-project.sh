#!/usr/bin/env bash
# Installs the project of this product from the product's own package cache,
# without a network. Needs bash, coreutils and pixi.
set -euo pipefail

usage() {
  cat <<'END_OF_USAGE'
Usage: ./bootstrap-project.sh [--project-name NAME] [--pixi PIXI] [--] [pixi install arguments…]

Installs the project beside this script with `pixi install`, from pkg-cache/,
without a network.

  --project-name NAME  the project's folder; found by itself when there is one
  --pixi PIXI          the pixi to use [default: the one on PATH]
  -h, --help           this text

Everything else is handed to `pixi install`: -e NAME or --all for other
environments than the default one, for example. Afterwards: source envs.sh, go
into the project's folder, and use `pixi run`.

Exit codes: 2 wrong use, 127 no pixi, else that of `pixi install`.
END_OF_USAGE
}

fail() {
  local code=$1
  shift
  printf 'ERROR: %s\n' "$*" >&2
  exit "$code"
}

name=
pixi=pixi
while [ $# -gt 0 ]; do
  case $1 in
    --project-name | --pixi)
      [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
      if [ "$1" = --pixi ]; then pixi=$2; else name=$2; fi
      shift 2
      ;;
    --project-name=*) name=${1#*=} && shift ;;
    --pixi=*) pixi=${1#*=} && shift ;;
    -h | --help) usage && exit 0 ;;
    --) shift && break ;;
    *) break ;;
  esac
done

script=${BASH_SOURCE[0]}
case $script in */*) ;; *) script=./$script ;; esac
root=$(CDPATH='' cd -P -- "${script%/*}/" >/dev/null && pwd -P && printf x)
root=${root%?x}

is_project() {
  [ -f "$1/pixi.toml" ] || [ -f "$1/pyproject.toml" ]
}

if [ -z "$name" ]; then
  found=()
  for folder in "$root"/*/ "$root"/.[!.]*/; do
    folder=${folder%/}
    case ${folder##*/} in res | pkg-cache | bin) continue ;; esac
    if is_project "$folder"; then found+=("${folder##*/}"); fi
  done
  case ${#found[@]} in
    1) name=${found[0]} ;;
    0) fail 2 "no project beside $0: no folder in $root has a pixi.toml or pyproject.toml" ;;
    *) fail 2 "several projects beside $0 (${found[*]}); name one with --project-name" ;;
  esac
fi
case $name in */* | . | ..) fail 2 "--project-name '$name' is not the name of a folder in $root" ;; esac
project=$root/$name
is_project "$project" || fail 2 "$project has no pixi.toml or pyproject.toml; is --project-name right?"
[ -f "$project/pixi.lock" ] || fail 2 "$project has no pixi.lock; without one nothing can be installed offline: make the product again"
[ -d "$root/pkg-cache" ] || fail 2 "$root has no pkg-cache; copy the product again, whole"
# pixi opens the locks of its cache for writing.
for folder in "$root/pkg-cache" "$project"; do
  [ -w "$folder" ] || fail 2 "$folder is not writable for this user; copy the product to a place that is"
done
command -v "$pixi" >/dev/null 2>&1 || fail 127 "pixi not found ($pixi); put pixi on PATH, or name it with --pixi PATH"
# The working directory changes before pixi is started.
case $pixi in */*) pixi=$(CDPATH='' cd -- "${pixi%/*}/" && pwd)/${pixi##*/} ;; esac

# shellcheck source=/dev/null
. "$root/envs.sh"
for argument in "$@"; do
  # Both would contradict each other.
  if [ "$argument" = --locked ]; then unset PIXI_FROZEN; fi
done

cd -- "$project"
exec "$pixi" install "$@"
