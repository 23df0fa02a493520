#!/usr/bin/env bash
# Installs the project of this product from the product's own package cache,
# without a network. Needs bash 4.2, coreutils and pixi.
set -euo pipefail

# What the product knows of itself: make-archive-ready-product puts the facts of
# this product between the two marks. An empty value was not known to it.
# BEGIN FACTS
environments=('default')
built_by_pixi=''
lock_version=''
has_python_packages='no'
needs_git='no'
architecture=''
glibc=''
install_bytes=''
install_entries=''
bundled_pixi='no'
# END FACTS

usage() {
  cat <<'END_OF_USAGE'
Usage: ./bootstrap-project.sh [OPTIONS] [--] [pixi install arguments…]

Looks whether the project beside this script can be installed here, and installs
it with `pixi install` from pkg-cache/, without a network: every environment that
the product was made with, one call for each.

  --project-name NAME  the project's folder; found by itself when there is one
  --pixi PIXI          the pixi to use [default: bin/pixi of the product when it is
                       there, else the one on PATH]
  --any-pixi           go on with a pixi that does not fit the product
  --check              only look: one line for each check, nothing is installed
  -h, --help           this text

Everything else is handed to `pixi install`. Environments named there (-e NAME,
--environment NAME, -a, --all) are installed, in one call, instead of those that
the product was made with. Afterwards: source envs.sh, go into the project's
folder, and use `pixi run`.

Looked at before pixi runs, all problems reported together: that the product is
whole and can be written to, that pixi fits the lock and the package cache,
architecture, glibc and git, the length of the path, that programs may be started
there, space and inodes. An environment that was installed at another path does
not work here and is removed. What cannot be found out is said (`not checked: …`)
and stops nothing.

Exit codes: 2 wrong use or a problem found, 127 no pixi, else that of the first
`pixi install` that fails. With --check: 0 no problem, 2 a problem.
END_OF_USAGE
}

fail() {
  local code=$1
  shift
  printf 'ERROR: %s\n' "$*" >&2
  exit "$code"
}

# ---- What a check found: lines on stdout for --check, else what matters on stderr.

checking=no
problems=()

ok() {
  if [ "$checking" = yes ]; then printf 'ok: %s\n' "$*"; fi
}

problem() {
  problems+=("$*")
  if [ "$checking" = yes ]; then printf 'problem: %s\n' "$*"; fi
}

not_checked() {
  if [ "$checking" = yes ]; then printf 'not checked: %s\n' "$*"; else printf 'not checked: %s\n' "$*" >&2; fi
}

# The product has nothing to compare with: no news on every install.
not_recorded() {
  if [ "$checking" = yes ]; then not_checked "$1: the product does not record what it needs"; fi
}

warning() {
  if [ "$checking" = yes ]; then printf 'warning: %s\n' "$*"; else printf 'WARNING: %s\n' "$*" >&2; fi
}

note() {
  if [ "$checking" = yes ]; then printf 'note: %s\n' "$*"; else printf 'NOTE: %s\n' "$*" >&2; fi
}

# ---- Where things are.

is_project() {
  [ -f "$1/pixi.toml" ] || [ -f "$1/pyproject.toml" ]
}

# Sets root, the folder of this script, without losing a line end in its name.
find_product() {
  local script=${BASH_SOURCE[0]}
  case $script in */*) ;; *) script=./$script ;; esac
  root=$(CDPATH='' cd -P -- "${script%/*}/" >/dev/null && pwd -P && printf x)
  root=${root%?x}
}

# Sets project, and place: the deepest folder on the way to the environments.
find_project() {
  local folder found=()
  if [ -z "$name" ]; then
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
  place=$project
  for folder in .pixi .pixi/envs; do
    if [ -d "$project/$folder" ]; then place=$project/$folder; fi
  done
}

# Sets pixi: the caller's, else the product's own, else the one on PATH.
choose_pixi() {
  if [ -z "$pixi" ]; then
    pixi=pixi
    if [ -f "$root/bin/pixi" ] && [ -x "$root/bin/pixi" ]; then
      pixi=$root/bin/pixi
    elif [ "$bundled_pixi" = yes ]; then
      warning "the product was made with a pixi of its own, but $root/bin/pixi is not there or not executable; the one on PATH is used"
    fi
  fi
  # PATH and the working directory may change before pixi is started.
  local on_path
  if on_path=$(type -P "$pixi"); then pixi=$on_path; fi
  case $pixi in
    /*) ;;
    */*) if [ -d "${pixi%/*}/" ]; then pixi=$(CDPATH='' cd -- "${pixi%/*}/" && pwd)/${pixi##*/}; fi ;;
  esac
}

# Sets wanted, the environments that will be installed, and named_by_caller.
choose_environments() {
  local word value_follows=no all=no
  named_by_caller=no
  wanted=()
  for word in "$@"; do
    if [ "$value_follows" = yes ]; then
      wanted+=("$word")
      value_follows=no
      continue
    fi
    case $word in
      -e | --environment) named_by_caller=yes value_follows=yes ;;
      -a | --all) named_by_caller=yes all=yes ;;
      --environment=*) named_by_caller=yes wanted+=("${word#*=}") ;;
      -e?*)
        word=${word#-e}
        named_by_caller=yes wanted+=("${word#=}")
        ;;
    esac
  done
  if [ "$named_by_caller" = no ] || [ "$all" = yes ]; then wanted=("${environments[@]}"); fi
}

# ---- Versions.

# The version in what `pixi --version` prints, such as 0.77.0.
version_in() {
  local pattern='^pixi ([0-9]+\.[0-9]+[^[:space:]]*)'
  [[ $1 =~ $pattern ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

# The first two numbers of a version as one: 0.77.1 is 77, 2.36 is 2036.
number_of() {
  local pattern='^([0-9]+)\.([0-9]+)'
  [[ $1 =~ $pattern ]] && printf '%s\n' $((10#${BASH_REMATCH[1]} * 1000 + 10#${BASH_REMATCH[2]}))
}

# The first pixi that reads a lock of this format.
first_pixi_for_lock() {
  case $1 in
    4) echo 0.14 ;;
    5) echo 0.22 ;;
    6) echo 0.39 ;;
    7) echo 0.68 ;;
    *) return 1 ;;
  esac
}

# Which folder of wheels in the cache a pixi of this number looks into: it sees
# no other, and would go to the network for all Python packages.
wheel_folder() {
  if [ "$1" -le 34 ]; then
    echo 1
  elif [ "$1" -le 39 ]; then
    echo 2
  elif [ "$1" -le 41 ]; then
    echo 3
  elif [ "$1" -le 43 ]; then
    echo 4
  elif [ "$1" -le 68 ]; then
    echo 5
  else
    echo 6
  fi
}

# A pixi that cannot install this product, unless the caller insists.
refuse_pixi() {
  if [ "$any_pixi" = yes ]; then
    warning "$*"
  else
    problem "$*; --any-pixi tries it all the same"
  fi
}

# ---- The checks: each finds one thing out, and changes nothing.

# Here, later, also what the files' bytes are.
check_product_is_whole() {
  local complete=yes
  if [ ! -f "$project/pixi.lock" ]; then
    complete=no
    problem "$project has no pixi.lock; without one nothing can be installed offline: make the product again"
  fi
  if [ ! -d "$root/pkg-cache" ] || [ ! -f "$root/envs.sh" ]; then
    complete=no
    problem "$root has no pkg-cache or no envs.sh; copy the product again, whole"
  fi
  if [ "$complete" = yes ]; then ok "the product has its project, pixi.lock, pkg-cache and envs.sh"; fi
}

check_writable() {
  local folder all=yes
  # pixi opens the locks of its cache for writing.
  local folders=("$root/pkg-cache" "$project")
  if [ "$place" != "$project" ]; then folders+=("$place"); fi
  for folder in "${folders[@]}"; do
    if [ -d "$folder" ] && [ ! -w "$folder" ]; then
      all=no
      problem "$folder is not writable for this user; copy the product to a place that is"
    fi
  done
  if [ "$all" = yes ]; then ok "the product is writable"; fi
}

check_pixi() {
  local here='' number built_number first known=yes
  if ! command -v "$pixi" >/dev/null 2>&1; then
    problem "pixi not found ($pixi); put pixi on PATH, or name it with --pixi PATH"
    failure_code=127
    return
  fi
  here=$(version_in "$("$pixi" --version 2>/dev/null </dev/null)") || :
  number=$(number_of "$here") || known=no
  if [ "$known" = no ]; then
    not_checked "whether this pixi fits the product: $pixi --version names no version"
    return
  fi

  if first=$(first_pixi_for_lock "$lock_version"); then
    if [ "$number" -lt "$(number_of "$first")" ]; then
      refuse_pixi "pixi $here cannot read the project's pixi.lock (format $lock_version, written by pixi ${built_by_pixi:-$first or later}); use pixi ${built_by_pixi:-$first or later}, or make the product with --bundle-pixi"
      return
    fi
  elif [ -n "$lock_version" ]; then
    not_checked "whether pixi $here reads the project's pixi.lock: its format, $lock_version, is newer than this script"
  fi
  if [ "$has_python_packages" = yes ] && [ "$number" -lt 74 ]; then
    note "pixi $here does not know PIXI_OFFLINE (0.74 and later do): where a Python package is missing from the cache it tries the network"
  fi
  if ! built_number=$(number_of "$built_by_pixi"); then
    not_checked "whether pixi $here fits the package cache: the product does not record which pixi filled it"
    return
  fi
  if [ "$has_python_packages" = yes ]; then
    if [ "$(wheel_folder "$number")" != "$(wheel_folder "$built_number")" ]; then
      refuse_pixi "pixi $here does not see the Python packages in the cache, which pixi $built_by_pixi filled; use pixi $built_by_pixi, or make the product with --bundle-pixi"
      return
    fi
    # 0.71 began to verify the hashes of cached wheels, and ignores those cached
    # by a pixi of this group that stored none.
    if [ "$number" -ge 71 ] && [ "$built_number" -lt 71 ]; then
      refuse_pixi "pixi $here ignores the Python packages in the cache, since pixi $built_by_pixi stored them without hashes; use pixi $built_by_pixi, or make the product with --bundle-pixi"
      return
    fi
  fi
  if [ "$here" = "$built_by_pixi" ]; then
    ok "pixi $here is the one that the product was made with"
  else
    warning "this is pixi $here, and the product was made with pixi $built_by_pixi"
  fi
}

check_architecture() {
  local here
  if [ -z "$architecture" ]; then
    not_recorded architecture
  elif ! here=$(uname -m 2>/dev/null); then
    not_checked "architecture: there is no uname"
  elif [ "$here" != "$architecture" ]; then
    problem "this machine is $here, and the product is for $architecture; make the product on an image for $here"
  else
    ok "architecture $here"
  fi
}

check_glibc() {
  local libc='' here number
  if [ -z "$glibc" ]; then
    not_recorded glibc
    return
  fi
  if ! libc=$(LC_ALL=C getconf GNU_LIBC_VERSION 2>/dev/null) && command -v ldd >/dev/null 2>&1; then
    # musl's says what it is on stderr, and fails.
    libc=$(LC_ALL=C ldd --version 2>&1) || :
  fi
  libc=${libc%%$'\n'*}
  here=${libc##* }
  case $libc in
    *musl*) problem "this system's C library is musl, and the packages need glibc $glibc or later; install on a system with glibc" ;;
    *glibc* | *GLIBC* | *'GNU libc'*)
      if ! number=$(number_of "$here"); then
        not_checked "glibc: '$libc' names no version"
      elif [ "$number" -lt "$(number_of "$glibc")" ]; then
        problem "this system has glibc $here, and the packages need $glibc or later; install on a newer system"
      else
        ok "glibc $here, at least $glibc"
      fi
      ;;
    *) not_checked "glibc: neither getconf nor ldd tells" ;;
  esac
}

check_git() {
  if [ "$needs_git" != yes ]; then
    ok "git is not needed"
  elif command -v git >/dev/null 2>&1; then
    ok "git is there"
  else
    problem "git is not there, and the project has a git dependency that is installed with it; install git"
  fi
}

# pixi puts the environment on PATH, which is divided by colons.
check_path_characters() {
  case $project in
    *:*) warning "$project has a colon in its path: pixi installs there, but \`pixi run\` finds no program of the environment; move the product" ;;
    *) ok "no colon in the path" ;;
  esac
}

# conda writes an environment's path over a placeholder of 255 characters.
check_path_length() {
  local LC_ALL=C limit=255 environment prefix fits=yes
  for environment in ${wanted[@]+"${wanted[@]}"}; do
    prefix=$project/.pixi/envs/$environment
    if [ ${#prefix} -gt "$limit" ]; then
      fits=no
      problem "the path of environment $environment would have ${#prefix} characters, and packages have room for $limit; move the product to a shorter path: $prefix"
    fi
  done
  if [ "$fits" = yes ]; then ok "the paths of the environments have at most $limit characters"; fi
}

# A mount option, or a rule of the system, may forbid it.
check_programs_may_run() {
  local program
  if ! program=$(mktemp "$place/.may-run.XXXXXX" 2>/dev/null); then
    not_checked "whether programs may be started below $place: no file can be made there"
    return
  fi
  if ! printf '#!/bin/sh\nexit 0\n' 2>/dev/null >"$program" || ! chmod u+x -- "$program"; then
    not_checked "whether programs may be started below $place: no file can be written there"
  elif "$program" >/dev/null 2>&1; then
    ok "programs may be started below the project"
  else
    problem "programs below $place cannot be started (is it mounted noexec?); copy the product to a place where they can"
  fi
  rm -f -- "$program"
}

# How many of a file system's units are left where the environments will be:
# -Pk for KiB, -Pi for inodes. Fails when it does not count them.
left_at_place() {
  local text pattern='[[:space:]]([0-9]+)[[:space:]]+-?[0-9]+[[:space:]]+(-?[0-9]+)[[:space:]]+([0-9]+%|-)[[:space:]]'
  text=$(LC_ALL=C df "$1" "$place" 2>/dev/null) || return
  [[ ${text##*$'\n'} =~ $pattern ]] && [ "${BASH_REMATCH[1]}" -gt 0 ] && printf '%s\n' "${BASH_REMATCH[2]}"
}

wanted_are_installed() {
  local environment
  for environment in ${wanted[@]+"${wanted[@]}"}; do
    [ -d "$project/.pixi/envs/$environment/conda-meta" ] || return
  done
}

check_space() {
  local left mib=1048576
  if [ -z "$install_bytes" ]; then
    not_recorded space
  elif wanted_are_installed; then
    ok "space: the environments are there already"
  elif ! left=$(left_at_place -Pk); then
    not_checked "space: df does not tell"
  elif [ $((left * 1024)) -lt "$install_bytes" ]; then
    problem "the file system of $place has $((left * 1024 / mib)) MiB left, and installing takes $((install_bytes / mib + 1)) MiB; make room, or copy the product elsewhere"
  else
    ok "space: $((left * 1024 / mib)) MiB left, $((install_bytes / mib + 1)) MiB needed"
  fi
}

check_inodes() {
  local left
  if [ -z "$install_entries" ]; then
    not_recorded inodes
  elif wanted_are_installed; then
    ok "inodes: the environments are there already"
  elif ! left=$(left_at_place -Pi); then
    not_checked "inodes: df does not tell, or the file system has no fixed number of them"
  elif [ "$left" -lt "$install_entries" ]; then
    problem "the file system of $place has $left inodes left, and installing takes $install_entries; make room, or copy the product elsewhere"
  else
    ok "inodes: $left left, $install_entries needed"
  fi
}

# Whether the environment in this folder was installed for another path; sets
# other_path. pixi notes the path in conda-meta/, pixi 0.15 in a file that a
# package may have as well, so what it says must look like such a path. Two names
# of one folder are one path.
is_from_elsewhere() {
  local environment=$1 file
  for file in "$environment/conda-meta/pixi_env_prefix" "$environment/prefix"; do
    [ -f "$file" ] || continue
    other_path=$(<"$file")
    other_path=${other_path%/conda-meta}
    case $other_path in /*/"${environment##*/}") ;; *) continue ;; esac
    if [ "$other_path" != "$environment" ] && ! [ "$other_path" -ef "$environment" ]; then return 0; fi
  done
  return 1
}

# Sets from_elsewhere.
check_old_environments() {
  local folder environment all_from_here=yes
  from_elsewhere=()
  for folder in .pixi/envs .pixi/solve-group-envs; do
    for environment in "$project/$folder"/*/; do
      environment=${environment%/}
      is_from_elsewhere "$environment" || continue
      all_from_here=no
      if [ -L "$project/.pixi" ] || [ -L "$project/$folder" ] || [ -L "$environment" ]; then
        problem "$environment was installed for $other_path and does not work here; it lies behind a symbolic link, so remove it yourself"
        continue
      fi
      from_elsewhere+=("$environment")
      note "$environment was installed for $other_path and does not work here; bootstrap removes it"
    done
  done
  if [ "$all_from_here" = yes ]; then ok "no environment from another path"; fi
}

check_everything() {
  check_product_is_whole
  check_writable
  check_pixi
  check_architecture
  check_glibc
  check_git
  check_path_characters
  check_path_length
  check_programs_may_run
  check_space
  check_inodes
  check_old_environments
}

# ---- The installation.

remove_environments_from_elsewhere() {
  local environment
  for environment in ${from_elsewhere[@]+"${from_elsewhere[@]}"}; do
    rm -rf -- "$environment" || fail 2 "$environment cannot be removed; remove it and start again"
  done
}

# git uses no repository of another user, and the packages of git dependencies
# are cloned from the cache: exceptions for the repositories of this cache alone.
# In a file, since git ignores GIT_CONFIG_COUNT when it serves a clone.
trust_git_cache() {
  local repository own=${XDG_CONFIG_HOME:-${HOME-}/.config}/git/config
  local foreign=()
  for repository in "$root"/pkg-cache/uv-cache/git-v0/db/*/ "$root"/pkg-cache/uv-cache/git-v0/checkouts/*/*/; do
    repository=${repository%/}
    if [ -d "$repository" ] && [ ! -O "$repository" ]; then foreign+=("$repository" "$repository/.git"); fi
  done
  if [ ${#foreign[@]} -eq 0 ] || ! command -v git >/dev/null 2>&1; then return; fi
  git_settings=$(mktemp)
  trap 'rm -f -- "$git_settings"' EXIT
  # It takes the place of the user's own settings, and so names them.
  if [ -n "${GIT_CONFIG_GLOBAL-}" ]; then
    git config --file "$git_settings" --add include.path "$GIT_CONFIG_GLOBAL"
  else
    git config --file "$git_settings" --add include.path "$own"
    git config --file "$git_settings" --add include.path "${HOME-}/.gitconfig"
  fi
  for repository in "${foreign[@]}"; do
    git config --file "$git_settings" --add safe.directory "$repository"
  done
  export GIT_CONFIG_GLOBAL="$git_settings"
}

# Runs `pixi install` with the product's settings. In a shell of its own, with
# nothing but positional words: what the person has envs.sh export may have any
# name, and must not meet a variable of this script.
pixi_install() {
  local lock=frozen argument
  for argument in "$@"; do
    # Both would contradict each other.
    if [ "$argument" = --locked ]; then lock=locked; fi
  done
  # shellcheck disable=SC2016 # expanded there
  bash -c '. "$1/envs.sh" && cd -- "$2" || exit
    if [ "$3" = locked ]; then unset PIXI_FROZEN; fi
    exec "$4" install "${@:5}"' bootstrap "$root" "$project" "$lock" "$pixi" "$@"
}

install() {
  local environment
  if [ "$named_by_caller" = yes ]; then
    pixi_install "$@"
    return
  fi
  # One call each: pixi 0.15 takes only one -e, and -e default it does not know.
  for environment in "${environments[@]}"; do
    if [ "$environment" = default ]; then
      pixi_install "$@"
    else
      pixi_install -e "$environment" "$@"
    fi
  done
}

# ---- What was asked for.

[ ${#environments[@]} -gt 0 ] || environments=(default)

name=
pixi=
any_pixi=no
while [ $# -gt 0 ]; do
  case $1 in
    --project-name | --pixi)
      [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
      if [ "$1" = --pixi ]; then pixi=$2; else name=$2; fi
      shift 2
      ;;
    --project-name=*) name=${1#*=} && shift ;;
    --pixi=*) pixi=${1#*=} && shift ;;
    --any-pixi) any_pixi=yes && shift ;;
    --check) checking=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    --) shift && break ;;
    *) break ;;
  esac
done

find_product
find_project
choose_pixi
choose_environments "$@"

failure_code=2
check_everything
if [ "$checking" = yes ]; then
  [ ${#problems[@]} -eq 0 ] || exit 2
  exit 0
fi
if [ ${#problems[@]} -gt 0 ]; then
  printf 'ERROR: %s\n' "${problems[@]}" >&2
  exit "$failure_code"
fi
remove_environments_from_elsewhere

trust_git_cache
install "$@"
