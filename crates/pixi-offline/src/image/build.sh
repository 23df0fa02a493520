#!/bin/sh
# Runs in the build stage of a production image, without a network: installs one
# environment of the product at the path that it has in the image, captures its
# activation, and lays the project's files ready.
# Words: the project's folder in the product, the environment, the path in the
# image, then the project's files to take; none means all.
set -eu
umask 022

name=$1
environment=$2
app=$3
shift 3

product=/pixi-offline/product
ready=/pixi-offline/project
prefix=$app/.pixi/envs/$environment
# Marks the PATH of this stage: that of the last image, not known here, takes its place.
path_mark=/pixi-offline/path-of-the-build

fail() {
  printf 'ERROR: %s\n' "$*" >&2
  exit 1
}

# ---- The project at its place.

if [ -e "$app" ]; then
  rmdir -- "$app" 2>/dev/null || fail "$app is there already in the build image; choose another --app-dir"
fi
mkdir -p -- "${app%/*}/"
cp -a -- "$product/$name" "$app"
cd -- "$app"
[ "$(pwd -P)" = "$app" ] ||
  fail "$app leads to $(pwd -P) in the build image: conda packages hold the path that they were installed at, and it would be another one in the last image; choose another --app-dir"

# ---- The environment, from the product's cache.

# Without a network there is no proxy either.
unset HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY \
  http_proxy https_proxy ftp_proxy all_proxy no_proxy
# envs.sh reads it where the shell does not tell a script's own path.
# shellcheck disable=SC2034
PRODUCT_ROOT=$product
# shellcheck disable=SC1091
. "$product/envs.sh"
pixi=$(command -v pixi) || fail "the build image has no pixi, and the product brings none"

# pixi 0.15 knows no -e default.
in_environment() {
  if [ "$environment" = default ]; then "$@"; else "$@" -e "$environment"; fi
}
in_environment "$pixi" install

installed=$(cd -P -- "$prefix" 2>/dev/null && pwd) || fail "pixi installed nothing at $prefix"
[ "$installed" = "$prefix" ] ||
  fail "pixi installed the environment at $installed, and in the image it would be at $prefix: conda packages hold their path and do not work at another; remove detached-environments from .pixi/config.toml of the project, and make the product again"
if [ -f "$prefix/conda-meta/pixi_env_prefix" ]; then
  # pixi writes the folder of this very file.
  recorded=$(cat "$prefix/conda-meta/pixi_env_prefix")
  recorded=${recorded%/conda-meta}
  [ "$recorded" = "$prefix" ] ||
    fail "the environment was installed for $recorded, and in the image it would be at $prefix: conda packages hold their path and do not work at another"
fi

# ---- The project's files.

# Sets the mode and the time of a folder that was made here to those in the project.
as_in_project() {
  chmod -- "$(stat -c %a -- "$app/$1")" "$ready/$1"
  touch -r "$app/$1" -- "$ready/$1"
}

take() {
  if [ ! -e "$app/$1" ] && [ ! -L "$app/$1" ]; then fail "--copy $1: the project has no such file"; fi
  case $1 in
    */*)
      [ -d "$ready/${1%/*}" ] || {
        mkdir -p -- "$ready/${1%/*}"
        folder=${1%/*}
        while as_in_project "$folder"; do
          case $folder in */*) folder=${folder%/*} ;; *) break ;; esac
        done
      }
      rm -rf -- "${ready:?}/$1"
      cp -a -- "$app/$1" "$ready/${1%/*}/"
      ;;
    *) cp -a -- "$app/$1" "$ready/" ;;
  esac
}

mkdir -- "$ready"
if [ "$#" -eq 0 ]; then
  find . ! -name . -prune ! -name .pixi -exec cp -a -- {} "$ready/" \;
else
  for path in "$@"; do take "$path"; done
fi

# ---- Its activation.

# Older versions know neither option.
options=
known=$("$pixi" shell-hook --help 2>&1) || known=
case $known in *--no-completions*) options=--no-completions ;; esac
case $known in *--change-ps1*) options="$options --change-ps1 false" ;; esac
hook=$(
  PATH=$path_mark:$PATH
  export PATH
  # shellcheck disable=SC2086 # words
  in_environment "$pixi" shell-hook -s bash $options
)
# What is of use only with a pixi, or at a prompt.
hook=$(
  printf '%s\n' "$hook" | sed -e '/^pixi() {$/,/^}$/d' -e '/^# shellcheck shell=/d' \
    -e '/^export PIXI_EXE=/d' -e '/^export PIXI_PROMPT=/d' -e '/^export PS1=/d' \
    -e "/^export PATH=/s#$path_mark:[^\"]*#\$PATH#"
)
case $hook in
  */pixi-offline/*) fail "the activation names paths of the build, which are not in the image: $hook" ;;
  *"$prefix"*) ;;
  *) fail "pixi shell-hook does not name $prefix: $hook" ;;
esac
printf '%s\n' "$hook" | while read -r word script; do
  [ "$word" = . ] || continue
  # As pixi quotes it for a shell.
  eval "script=$script"
  case $script in
    "$prefix"/*) ;;
    "$app"/*)
      [ -e "$ready/${script#"$app"/}" ] ||
        fail "the activation reads $script, which no --copy names: add --copy ${script#"$app"/}"
      ;;
  esac
done
entrypoint=$app/.pixi/entrypoint.sh
{
  cat /pixi-offline/entrypoint.sh
  printf '%s\nexec "$@"\n' "$hook"
} >"$entrypoint"
chmod 0755 "$entrypoint"

# ---- Editable packages: their source must be there, too.

for file in "$prefix"/lib/python*/site-packages/*.pth; do
  [ -f "$file" ] || continue
  while read -r line || [ -n "$line" ]; do
    case $line in
      "$prefix"/*) ;;
      "$app"/*)
        [ -e "$ready/${line#"$app"/}" ] ||
          fail "${file##*/} of the environment reads $line, which no --copy names: add --copy ${line#"$app"/}"
        ;;
    esac
  done <"$file"
done
