# shellcheck shell=sh
# Settings for using this product by hand. Source it, then run pixi:
#   bash, zsh:             . /path/to/product/envs.sh
#   another POSIX shell:   PRODUCT_ROOT=/path/to/product; . "$PRODUCT_ROOT/envs.sh"
# It works wherever the product is, and leaves the shell's options alone.

_pixi_offline_executed=
if [ -n "${BASH_VERSION-}" ]; then
  eval '_pixi_offline_file=${BASH_SOURCE[0]}'
  if [ "$_pixi_offline_file" = "$0" ]; then _pixi_offline_executed=yes; fi
elif [ -n "${ZSH_VERSION-}" ]; then
  eval '_pixi_offline_file=${(%):-%x}'
  if [ "${ZSH_EVAL_CONTEXT-}" = toplevel ]; then _pixi_offline_executed=yes; fi
else
  _pixi_offline_file=${PRODUCT_ROOT:-.}/envs.sh
  if [ -z "${PRODUCT_ROOT-}" ] && [ "${0##*/}" = envs.sh ]; then _pixi_offline_executed=yes; fi
fi
if [ -n "$_pixi_offline_executed" ]; then
  # As a line that can be pasted: quoted, and with a slash, since a name alone is looked for on PATH.
  case $0 in */*) _pixi_offline_file=$0 ;; *) _pixi_offline_file=./$0 ;; esac
  _pixi_offline_root=
  while case $_pixi_offline_file in *\'*) true ;; *) false ;; esac do
    _pixi_offline_root=$_pixi_offline_root${_pixi_offline_file%%\'*}"'\\''"
    _pixi_offline_file=${_pixi_offline_file#*\'}
  done
  printf "ERROR: envs.sh sets variables of your shell: source it instead of executing it:  . '%s'\\n" "$_pixi_offline_root$_pixi_offline_file" >&2
  unset _pixi_offline_file _pixi_offline_root _pixi_offline_executed
  # Where it was sourced all the same, the shell goes on.
  # shellcheck disable=SC2317 # reached where it was not
  return 2 2>/dev/null || exit 2
fi
unset _pixi_offline_executed
case $_pixi_offline_file in
  */*) _pixi_offline_root=${_pixi_offline_file%/*}/ ;;
  *) _pixi_offline_root=./ ;;
esac
_pixi_offline_root=$(CDPATH='' \cd -P -- "$_pixi_offline_root" >/dev/null 2>&1 && \pwd -P && printf x)
# The path without the line end that pwd added: it may itself end in one.
_pixi_offline_root=${_pixi_offline_root%?x}

if [ -d "$_pixi_offline_root/pkg-cache" ]; then
  # The cache of this product and nothing else; pixi wants an absolute path.
  export PIXI_CACHE_DIR="$_pixi_offline_root/pkg-cache"
  export PRODUCT_RES_DIR="$_pixi_offline_root/res"
  # No network (pixi 0.74 and later know this one), and pixi.lock as it is.
  export PIXI_OFFLINE=true
  export PIXI_FROZEN=true
  # A pixi configuration of this user may redirect environments or name mirrors
  # (pixi 0.70 and later; the project's own .pixi/config.toml still counts).
  export PIXI_NO_CONFIG=true
# BEGIN BUNDLED PIXI
  # The product's own pixi before any other.
  if [ -f "$_pixi_offline_root/bin/pixi" ] && [ -x "$_pixi_offline_root/bin/pixi" ]; then
    case ":$PATH:" in
      *":$_pixi_offline_root/bin:"*) ;;
      *) export PATH="$_pixi_offline_root/bin:$PATH" ;;
    esac
  fi
# END BUNDLED PIXI
  # What would lead pixi to other caches, or into another project.
  unset RATTLER_CACHE_DIR PIXI_CACHE_CONDA_PACKAGES_DIR PIXI_CACHE_REPODATA_DIR
  unset PIXI_CACHE_PYPI_WHEELS_DIR PIXI_CACHE_PYPI_MAPPING_DIR PIXI_CACHE_EXEC_ENVIRONMENTS_DIR
  unset PIXI_CACHE_BUILD_TOOL_ENVIRONMENTS_DIR PIXI_CACHE_DETACHED_ENVIRONMENTS_DIR
  unset PIXI_CONFIG_FILE PIXI_LOCKED PIXI_IN_SHELL PIXI_ENVIRONMENT_NAME CONDA_PREFIX
  unset PIXI_PROJECT_MANIFEST PIXI_PROJECT_NAME PIXI_PROJECT_ROOT PIXI_PROJECT_VERSION
  unset PIXI_OFFLINE_PROJECT
# USER PACKAGES
else
  printf 'ERROR: no pkg-cache beside envs.sh; in a shell other than bash and zsh set PRODUCT_ROOT to the product first\n' >&2
  unset _pixi_offline_file _pixi_offline_root
  # What follows `&&` shall not run with another cache.
  # shellcheck disable=SC2317 # reached where it was executed
  return 2 2>/dev/null || exit 2
fi
unset _pixi_offline_file _pixi_offline_root
