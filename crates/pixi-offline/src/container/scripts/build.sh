
# Installs the staged project and verifies it, both with network.

# `mounted` when the workdir is the host's, else `inside`; then the names in the workdir.
: "${where?}" "${workdir?}" "${project_dir?}" "${resources_dir?}" "${cache_dir?}" "${out_dir?}"
# The project, the options of `pixi install`, the environments (one space between), the
# expected files (one a line).
: "${name?}" "${install_options?}" "${environments?}" "${expected_files?}"
# The agent to remove when the host is gone; `git` when that is needed; the directory with
# certificates and logins, and the variables that may be set for these (one space between).
: "${agent?}" "${needs_git?}" "${network_files?}" "${network_variables?}"
# The arguments are those of pixi for the verification.

agent_path=$agent
out=$workdir/$out_dir
chown_dir=$workdir
chown_paths="$project_dir $resources_dir $cache_dir $out_dir"
# In a container of the caller the workdir is its own, not the host's.
[ "$where" = inside ] || check_out_dir

export PIXI_CACHE_DIR="$workdir/$cache_dir"
export PRODUCT_RES_DIR="$workdir/$resources_dir"
export VERIFY_OUT_DIR="$out"

need pixi
# pixi would say so only when it comes to the package, after everything else.
[ -z "$needs_git" ] || need git
pixi_version=$(pixi --version 2>/dev/null)
say "pixi $pixi_version"
use_network_files "$network_files" "$network_variables"
cd -- "$workdir/$project_dir/$name" || exit

# What pixi builds from source is in the project. The archives of an environment, with
# their records and lists of files, go to the package cache's directory: what a product
# carries is made of them. The cache has one package of a name, version and build, so the
# list is taken before another environment is installed.
built=$PIXI_CACHE_DIR/pixi-offline-built
rm -rf -- "$built"
keep_built() {
  kept=$built/environments/$1
  for archive in .pixi/artifacts-v0/*/*/*.conda .pixi/artifacts-v0/*/*/*.tar.bz2; do
    stem=${archive##*/}
    stem=${stem%.conda}
    stem=${stem%.tar.bz2}
    record=.pixi/envs/$1/conda-meta/$stem.json
    if [ ! -f "$archive" ] || [ ! -f "$record" ]; then continue; fi
    place=$built/${archive#.pixi/}
    if [ -f "$place" ] && [ -f "$kept/$stem.json" ] &&
      [ "$(cksum <"$kept/$stem.json")" = "$(cksum <"$record")" ]; then
      continue
    fi
    mkdir -p -- "$kept" "${place%/*}" &&
      cp -- "$archive" "$place" &&
      cp -- "$PIXI_CACHE_DIR/pkgs/$stem/info/paths.json" "$kept/$stem.paths.json" &&
      cp -- "$record" "$kept/$stem.json" || return
  done
}

# The programs that pixi fetched to build packages with.
list_backends() {
  [ -d "$built" ] || return 0
  for file in "$PIXI_CACHE_DIR"/backends-v0/*/conda-meta/pixi-build-*-*-*.json; do
    [ -f "$file" ] || continue
    stem=${file##*/}
    stem=${stem%-*}
    case $stem in
      pixi-build-api-version-*) ;;
      *) printf '%s %s\n' "${stem%-*}" "${stem##*-}" ;;
    esac
  done >"$built/backends"
}

# One call for an environment: pixi 0.15 takes a single -e, and does not know
# the default one by its name. What it builds from source gets the same time (the first of 1980, which zip
# files can have) and the same order of sets in each build, unless the caller says otherwise.
install() {
  for environment in $environments; do
    option="-e $environment"
    [ "$environment" != default ] || option=
    # shellcheck disable=SC2086 # options of this script, none with a space in it
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH-315532800} PYTHONHASHSEED=${PYTHONHASHSEED-0} \
      pixi install $install_options $option && keep_built "$environment" || return
  done
  list_backends
}
phase install install || exit

# Writes down which environments are installed and what is in them. The host tells from
# it which of a lock's platforms pixi chose, and what a verification had pixi install
# besides.
list_installed() {
  # What ran here may have put a link in its place.
  [ ! -L "$out" ] || return 0
  rm -rf -- "$out/.pixi-offline-new-environments"
  for dir in .pixi/envs/*/conda-meta; do
    [ -d "$dir" ] || continue
    environment=${dir%/conda-meta}
    printf 'environment %s\n' "${environment##*/}"
    for file in "$dir"/*.json; do
      file=${file##*/}
      printf 'package %s\n' "${file%.json}"
    done
    [ -f "$dir/pixi" ] || continue
    printf 'file '
    while read -r line || [ -n "$line" ]; do printf '%s' "$line"; done <"$dir/pixi"
    printf '\n'
  done >"$out/.pixi-offline-new-environments"
}
list_installed

# The pixi that a product may take along. Missing it is no failure here.
rm -rf "$PIXI_CACHE_DIR/pixi-offline-bin"
mkdir -p "$PIXI_CACHE_DIR/pixi-offline-bin" &&
  cp -L "$(command -v pixi)" "$PIXI_CACHE_DIR/pixi-offline-bin/pixi" 2>/dev/null

if [ $# -gt 0 ]; then
  # The lock was honoured or written a moment ago; a verification must not
  # change it behind the person's back.
  export PIXI_FROZEN=true
  phase verify pixi "$@" || exit
  list_installed
  for dir in .pixi/envs/*/; do
    dir=${dir%/}
    keep_built "${dir##*/}" || exit
  done
  check_expected_files "$PWD" "$expected_files" || exit
fi
exit 0
