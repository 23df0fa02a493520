#!/bin/sh
# Asks pixi what it makes of a project: whether it takes the manifest, and whether the lock
# fits. It works on copies of these two in a directory of its own, with links to the rest
# of the project, where nothing is written.
# $1 is the shell, $2 has the variables as assignments; the other arguments are paths that
# the lock names, from the top of the staged tree.
eval "$2"
shift 2
# The staged tree, the path of the project in it (empty at the top), the name of the
# manifest and its sha256 (empty when it is not known).
: "${source?}" "${in_root?}" "${manifest?}" "${sha256?}"
# An environment to be installed (pixi compares the whole lock with any); whether the lock
# is compared and whether git is needed: empty means no.
: "${environment?}" "${compares?}" "${needs_git?}"
project=$source${in_root:+/$in_root}
# Pixi 0.15 does not know the name `default`.
[ "$environment" != default ] || environment=

PATH=$PATH:$PIXI_OFFLINE_IMAGE_PATH
export PATH
# A profile may have printed something.
printf '\n%s\n' 'pixi-offline answers:'
if [ -n "$sha256" ]; then
  case $(sha256sum <"$project/$manifest" 2>/dev/null) in
    "$sha256 "*) ;;
    *)
      echo elsewhere
      exit 0
      ;;
  esac
fi
if ! command -v pixi >/dev/null 2>&1; then
  echo 'missing pixi'
  exit 0
fi
if [ -n "$needs_git" ] && ! command -v git >/dev/null 2>&1; then
  echo 'missing git'
  exit 0
fi
echo "pixi $(pixi --version 2>/dev/null)"

scratch=$(mktemp -d 2>/dev/null) || scratch=
if [ -z "$scratch" ]; then
  echo unwritable
  exit 0
fi
trap 'rm -rf -- "$scratch"' EXIT
trap 'exit 143' HUP INT TERM
mkdir "$scratch/project"
cd -- "$scratch/project" || exit 1
ln -s -- "$source"/* . 2>/dev/null
# Makes what is at a path, and the directories on the way, no links: pixi compares real
# paths, and what is beside the project stays where the project looks for it.
uncover() {
  rest=$1 here=$scratch/project there=$source
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    here=$here/$part there=$there/$part
    # What is hidden has no link yet.
    [ -L "$here" ] || [ ! -e "$here" ] || continue
    rm -f -- "$here"
    if [ -d "$there" ]; then
      mkdir -- "$here" && ln -s -- "$there"/* "$here/" 2>/dev/null
    elif [ -e "$there" ]; then
      cp -L -- "$there" "$here"
    fi
  done
}
for path in "$in_root" "$@"; do uncover "$path"; done
cd -- "$scratch/project${in_root:+/$in_root}" || exit 1
rm -f -- "$manifest" pixi.lock
cp -L -- "$project/$manifest" . || exit 1
[ ! -f "$project/pixi.lock" ] || cp -L -- "$project/pixi.lock" .
if [ -f "$project/.pixi/config.toml" ]; then
  mkdir .pixi && cp -L -- "$project/.pixi/config.toml" .pixi/
fi
unset PIXI_FROZEN PIXI_LOCKED PIXI_PROJECT_MANIFEST
export PIXI_CACHE_DIR="$scratch/cache"
limited() {
  if command -v timeout >/dev/null 2>&1; then
    timeout 60 "$@"
  else
    "$@"
  fi
}
ask() {
  what=$1
  shift
  limited "$@" >/dev/null 2>"$scratch/said" </dev/null
  code=$?
  echo "$what $code"
  cat "$scratch/said"
  return "$code"
}
ask manifest pixi task list && [ -n "$compares" ] && ask lock pixi list --locked -v ${environment:+--environment "$environment"}
exit 0
