#!/bin/sh
# Runs in the build stage of a production image, without a network: installs one
# environment of the product at the path that it has in the image, captures its
# activation, and lays the project's files ready.
# Args: the project's path in the product, the environment, the path in the image, the
# product's digest, then the project's files to take; none means all. A project may be
# deep in the copy of its source root: then that has the path in the image.
set -eu
umask 022

# ---- What is there, for the comparison below, in the form of manifest.json: this very
# script, called by find with a kind and paths.

# A name with % and two hexadecimal digits for what is not plain ASCII.
encoded() {
  case $1 in
    *[\"%\\]* | *[!\ -~]*)
      printf '%s' "$1" | od -An -v -tx1 | tr -d '\n' | LC_ALL=C awk '{
        for (at = 1; at <= NF; at++) {
          byte = (index("0123456789abcdef", substr($at, 1, 1)) - 1) * 16 + index("0123456789abcdef", substr($at, 2, 1)) - 1
          if (byte >= 32 && byte < 127 && byte != 34 && byte != 37 && byte != 92) printf "%c", byte
          else printf "%%%02X", byte
        }
      }'
      ;;
    *) printf '%s' "$1" ;;
  esac
}

if [ "$1" = --names ]; then
  LC_ALL=C
  export LC_ALL
  kind=$2
  shift 2
  newline='
'
  modes=
  # Of the others none is compared.
  case $kind in file | directory) modes=$(stat -c %a -- "$@") ;; esac
  for path in "$@"; do
    # Without a newline of its own, so that none of the target's is lost.
    if [ "$kind" = link ]; then
      target=$(readlink -n -- "$path" && printf x)
      target=$(encoded "${target%x}")
    fi
    case $path in
      *[\"%\\]* | *[!\ -~]*) path=$(encoded "$path") ;;
    esac
    printf '%s"%s"%s\n' "${path#./}" "$kind" "${target-}"
    [ -n "$modes" ] || continue
    printf '%s"%s"%s\n' "${path#./}" "$kind" "${modes%%"$newline"*}" >&3
    modes=${modes#*"$newline"}
  done
  exit 0
fi

name=${1%%/*}
in_root=${1#"$name"}
environment=$2
app=$3
digest=$4
shift 4

product=/pixi-offline/product
ready=/pixi-offline/project
project=$app$in_root
prefix=$project/.pixi/envs/$environment
# Marks the PATH of this stage: that of the last image, not known here, takes its place.
path_mark=/pixi-offline/path-of-the-build

fail() {
  printf 'ERROR: %s\n' "$*" >&2
  exit 1
}

# ---- The product is the one that the Dockerfile names: before anything of it runs.

refuse_product() {
  fail "the product beside the Dockerfile is not the one that it was made for ($digest): $*; put that product there, whole, or make the Dockerfile again"
}

# The lists without resources, where these stayed out of the context.
without_resources() {
  if [ -d "$product/res" ]; then cat; else grep -v "$1" || :; fi
}

for list in SHA256SUMS manifest.json; do
  if [ ! -f "$product/$list" ] || [ -L "$product/$list" ]; then refuse_product "it has no $list"; fi
done
found=$(sha256sum <"$product/SHA256SUMS") || fail "the build image has no sha256sum"
[ "sha256:${found%% *}" = "$digest" ] || refuse_product "its digest is sha256:${found%% *}"
without_resources '^\\\{0,1\}[0-9a-f]\{64\} [ *]res/' <"$product/SHA256SUMS" >/pixi-offline/sums
if ! (cd "$product" && sha256sum -c /pixi-offline/sums) >/pixi-offline/compared 2>&1; then
  refuse_product "$(grep -v ': OK$' /pixi-offline/compared | head -n 20)"
fi
# Now manifest.json is what it was, and names everything: additions, links and directories too.
sed -n '/^  "entries": \[/,$p' "$product/manifest.json" | cut -s -d '"' -f 4,8,12 |
  without_resources '^res["/]' >/pixi-offline/entries
LC_ALL=C sed -e '/^$/d' -e '/^[^"]*"link"/!s/^\([^"]*"[^"]*"\).*$/\1/' </pixi-offline/entries >/pixi-offline/listed
(
  cd "$product"
  # The files that are written after the lists.
  set -- ./manifest.json ./SHA256SUMS ./SHA256SUMS.minisig ./provenance.json ./provenance.json.minisig \
    ./report.html ./verification.json ./verification.json.minisig ./changes.json ./changes.json.minisig
  for path in "$@"; do
    if [ -f "$path" ] && [ ! -L "$path" ]; then rm -f -- "$path"; fi
  done
  # What an install leaves there stays out of the context, but for the directory itself.
  if [ ! -L "$name$in_root/.pixi" ]; then rmdir -- "$name$in_root/.pixi" 2>/dev/null || :; fi
  find . ! -name . -type f -exec sh "$0" --names file {} +
  find . ! -name . -type d -exec sh "$0" --names directory {} +
  find . ! -name . -type l -exec sh "$0" --names link {} +
  find . ! -name . ! -type f ! -type d ! -type l -exec sh "$0" --names special {} +
) >/pixi-offline/found 3>/pixi-offline/modes
# A pipe or the like may be missing: it means nothing in an image, and is not sent.
special='"\(fifo\|socket\|block-device\|character-device\)"$'
sed -n "s/$special/\"special\"/p" /pixi-offline/listed >/pixi-offline/special
other=$(sed "/$special/d" /pixi-offline/listed |
  LC_ALL=C sort - /pixi-offline/found /pixi-offline/special /pixi-offline/special | LC_ALL=C uniq -u | head -n 20)
[ -z "$other" ] || refuse_product "these are not as manifest.json lists them: $other"
# A mode may have lost what a copy under another umask loses; not what the owner needs, and
# nobody may write or run more, as bootstrap-project.sh has it.
other=$(
  LC_ALL=C awk -F '"' '
    function has(mode, place, bit) { return int(substr(mode, place, 1) / bit) % 2 }
    function padded(mode) { mode = "0000" mode; return substr(mode, length(mode) - 3) }
    function gains(place, bit) { return has(found, place, bit) && !has(listed, place, bit) }
    function loses(place, bit) { return has(listed, place, bit) && !has(found, place, bit) }
    NR == FNR { all[$1 FS $2] = padded($3); next }
    {
      listed = all[$1 FS $2]; found = padded($3)
      worse = gains(1, 4) || gains(1, 2) || gains(3, 2) || gains(4, 2) || loses(2, 4) || loses(2, 1)
      if ($2 == "file") worse = worse || gains(2, 1) || gains(3, 1) || gains(4, 1)
      if (worse) print $1 " (" found ", " listed " is listed)"
    }' /pixi-offline/entries /pixi-offline/modes | head -n 20
)
[ -z "$other" ] || refuse_product "these have other modes than manifest.json lists: $other"

# ---- The project at its place.

if [ -e "$app" ]; then
  rmdir -- "$app" 2>/dev/null || fail "$app already exists in the build image; choose another --app-dir"
fi
mkdir -p -- "${app%/*}/"
cp -a -- "$product/$name" "$app"
cd -- "$project"
[ "$(pwd -P)" = "$project" ] ||
  fail "$project leads to $(pwd -P) in the build image: conda packages hold the path that they were installed at, and it would be another one in the last image; choose another --app-dir"

# ---- The environment, from the product's cache.

# Without a network there is no proxy either.
unset HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY \
  http_proxy https_proxy ftp_proxy all_proxy no_proxy
# envs.sh reads it where the shell does not tell a script's own path.
# shellcheck disable=SC2034
PRODUCT_ROOT=$product
# shellcheck disable=SC1091
. "$product/envs.sh"
pixi=$(command -v pixi) || fail "the build image has no pixi, and the product includes none"

# pixi 0.15 knows no -e default.
in_environment() {
  if [ "$environment" = default ]; then "$@"; else "$@" -e "$environment"; fi
}
in_environment "$pixi" install

installed=$(cd -P -- "$prefix" 2>/dev/null && pwd) || fail "pixi installed nothing at $prefix"
[ "$installed" = "$prefix" ] ||
  fail "pixi installed the environment at $installed, and in the image it would be at $prefix: conda packages hold their path and do not work at another; remove detached-environments from .pixi/config.toml of the project, and make the product again"
if [ -f "$prefix/conda-meta/pixi_env_prefix" ]; then
  # pixi writes the directory of this very file.
  recorded=$(cat "$prefix/conda-meta/pixi_env_prefix")
  recorded=${recorded%/conda-meta}
  [ "$recorded" = "$prefix" ] ||
    fail "the environment was installed for $recorded, and in the image it would be at $prefix: conda packages hold their path and do not work at another"
fi

# ---- The project's files.

# Sets the mode and the time of a directory that was made here to those in the project.
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
        dir=${1%/*}
        while as_in_project "$dir"; do
          case $dir in */*) dir=${dir%/*} ;; *) break ;; esac
        done
      }
      rm -rf -- "${ready:?}/$1"
      cp -a -- "$app/$1" "$ready/${1%/*}/"
      ;;
    *) cp -a -- "$app/$1" "$ready/" ;;
  esac
}

mkdir -- "$ready"
if [ "$#" -eq 0 ] && [ -n "$in_root" ]; then
  # The environment has its place already, and is too large to be copied for nothing.
  mv -- "$project/.pixi" /pixi-offline/environments
  cp -a -- "$app/." "$ready/"
  mv -- /pixi-offline/environments "$project/.pixi"
elif [ "$#" -eq 0 ]; then
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
# pixi has the platforms in any order, and the image's variables have them sorted.
platforms=$(
  printf '%s\n' "$hook" | sed -n 's/^export PIXI_ENVIRONMENT_PLATFORMS=//p' | tr -d "\"'" |
    tr , '\n' | LC_ALL=C sort | tr '\n' ,
)
platforms=${platforms%,}
case $platforms in
  '' | *[!0-9A-Za-z_.,-]*) ;;
  *) hook=$(printf '%s\n' "$hook" | sed "s/^\\(export PIXI_ENVIRONMENT_PLATFORMS\\)=.*/\\1=\"$platforms\"/") ;;
esac
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
entrypoint=$project/.pixi/entrypoint.sh
{
  # Neither an application's directory nor an environment's name has a # in it.
  sed "s#@PREFIX@#$prefix#g" /pixi-offline/entrypoint.sh
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
