
# ---- The machine, and the pixi that would install.

# Sets readable_umask: what is made can be read by whoever may read the product,
# and written by nobody whom the caller's own umask keeps out.
find_umask() {
  local mode open=$((8#055)) shared
  readable_umask=$(umask)
  if [ "$copying" = yes ]; then return; fi
  for mode in $(stat -c %a -- "$root/" "$project/" 2>/dev/null); do open=$((open & 8#$mode)); done
  shared=$(((~open & 8#055) | (8#$(umask) & 8#022)))
  printf -v readable_umask '%04o' "$shared"
}

# pixi opens the locks of its cache for writing. Who may only read can check the
# product, and use what another user installed.
check_writable() {
  local dir all=yes environment shown
  local dirs=("$root/pkg-cache" "$project")
  if [ "$copying" = yes ]; then dirs=(); fi
  if [ "$copying" = yes ] || [ "$place" != "$project" ]; then dirs+=("$place"); fi
  for dir in "${dirs[@]}"; do
    if [ ! -d "$dir" ] || [ -w "$dir" ]; then continue; fi
    all=no
    printf -v shown '%q' "$dir"
    if [ "$copying" = yes ]; then
      problem "$shown is not writable for this user; name another directory with --into"
    elif [ "$checking" = no ]; then
      problem "$shown is not writable for this user; install where this user may write: ./bootstrap-project.sh --into DIR"
    else
      note "$shown is not writable for this user, who can check the product, use what is installed, and install elsewhere: ./bootstrap-project.sh --into DIR"
    fi
  done
  if [ "$all" = yes ] && [ "$copying" = yes ]; then
    ok "$shown_target can be written"
  elif [ "$all" = yes ]; then
    ok "the product is writable"
  elif [ "$checking" = yes ] && wanted_are_installed; then
    for environment in "${wanted[@]}"; do
      if [ -r "$project/.pixi/envs/$environment/conda-meta" ] && [ -x "$project/.pixi/envs/$environment/conda-meta" ]; then continue; fi
      printf -v shown '%q' "$project/.pixi/envs/$environment"
      problem "$shown is installed, and this user may not read it; whoever installed it can allow that: chmod -R a+rX $shown_project/.pixi"
      all=yes
    done
    if [ "$all" = no ]; then ok "the environments are installed, and this user may use them"; fi
  fi
}

# What to do without a pixi.
say_which_pixi() {
  local machine=${architecture:-x86_64}
  # The permissions are told of, and with them the pixi of the product can be run.
  if [ "$bundled_pixi" = yes ] && [ "$without_modes" = yes ] && [ -f "$root/bin/pixi" ]; then return; fi
  if [ "$bundled_pixi" = yes ]; then
    problem "pixi not found ($pixi): bin/pixi of the product is missing; copy the product again, as a whole, or name a pixi with --pixi PATH"
  else
    problem "pixi not found ($pixi): the product was made with pixi ${built_by_pixi:-of an unknown version} and does not include it. pixi is one executable file, pixi-$machine-unknown-linux-musl on the release page of pixi: copy it as 'pixi' to a directory on PATH, for example ~/.local/bin, and run chmod +x on it; or name it with --pixi PATH"
  fi
}

check_pixi() {
  local here='' number built_number first known=yes ended=0
  if ! command -v "$pixi" >/dev/null 2>&1; then
    failure_code=127
    say_which_pixi
    return
  fi
  if ! may_be_run; then
    not_checked "whether this pixi fits the product: nothing is run while files are not as listed"
    return
  fi
  here=$("$pixi" --version 2>/dev/null </dev/null) || ended=$?
  # So the shell and the dynamic linker end where a program cannot be started.
  case $ended in
    126 | 127)
      problem "$pixi cannot be started on this machine: this pixi is for another processor, or it is not static and its dynamic linker or a shared library is missing; name a pixi ${built_by_pixi:+$built_by_pixi }that runs here with --pixi PATH (the releases of pixi for Linux are static)"
      return
      ;;
  esac
  here=$(version_in "$here") || :
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
    if [ "$(wheel_dir "$number")" != "$(wheel_dir "$built_number")" ]; then
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
  if [ -z "$glibc" ] && [ "$requirements_known" = yes ]; then
    ok "glibc: no package requires a version"
    return
  elif [ -z "$glibc" ]; then
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
    problem "git is missing, and the project has a git dependency that is installed with it; install git"
  fi
}

# pixi puts the environment on PATH, which is divided by colons, and expands variables in it.
check_path_characters() {
  case $project in
    *:*) warning "$shown_project has a colon in its path: pixi installs there, but \`pixi run\` finds no program of the environment; $elsewhere" ;;
    *[$]*) warning "$shown_project has a dollar sign in its path: pixi installs there, but \`pixi run\` finds no program of the environment; $elsewhere" ;;
    *) ok "no colon and no dollar sign in the path" ;;
  esac
}

# conda writes an environment's path over a placeholder of 255 characters.
check_path_length() {
  local LC_ALL=C limit=255 environment prefix fits=yes
  for environment in ${wanted[@]+"${wanted[@]}"}; do
    prefix=$project/.pixi/envs/$environment
    if [ ${#prefix} -gt "$limit" ]; then
      fits=no
      problem "the path of environment $environment would have ${#prefix} characters, and packages have room for $limit; $elsewhere, at a shorter path: $shown_project/.pixi/envs/$environment"
    fi
  done
  if [ "$fits" = yes ]; then ok "the paths of the environments have at most $limit characters"; fi
}

# A mount option, or a rule of the system, may forbid it.
check_programs_may_run() {
  local program
  if [ ! -w "$place" ] || [ -L "$project" ] || [ -L "$project/.pixi" ] || [ -L "$project/.pixi/envs" ]; then
    not_checked "whether programs may be started below $shown_project: no file is made there"
    return
  fi
  if ! program=$(mktemp "$place/.may-run.XXXXXX" 2>/dev/null); then
    not_checked "whether programs may be started below $shown_project: no file can be made there"
    return
  fi
  if ! printf '#!/bin/sh\nexit 0\n' 2>/dev/null >"$program" || ! chmod u+x -- "$program"; then
    not_checked "whether programs may be started below $shown_project: no file can be written there"
  elif "$program" >/dev/null 2>&1; then
    ok "programs may be started below the project"
  else
    problem "programs below $shown_project cannot be started (is it mounted noexec?); $elsewhere"
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

check_space() {
  local left mib=1048576 needed=$((${install_bytes:-0} + copy_bytes))
  if [ -z "$install_bytes" ]; then
    not_recorded space
  elif wanted_are_installed; then
    ok "space: the environments are there already"
  elif ! left=$(left_at_place -Pk); then
    not_checked "space: df does not tell"
  elif [ $((left * 1024)) -lt "$needed" ]; then
    problem "the file system of $shown_project has $((left * 1024 / mib)) MiB left, and installing takes $((needed / mib + 1)) MiB; make room, or $elsewhere"
  else
    ok "space: $((left * 1024 / mib)) MiB left, $((needed / mib + 1)) MiB needed"
  fi
}

check_inodes() {
  local left needed=$((${install_entries:-0} + copy_entries))
  if [ -z "$install_entries" ]; then
    not_recorded inodes
  elif wanted_are_installed; then
    ok "inodes: the environments are there already"
  elif ! left=$(left_at_place -Pi); then
    not_checked "inodes: df does not tell, or the file system has no fixed number of them"
  elif [ "$left" -lt "$needed" ]; then
    problem "the file system of $shown_project has $left inodes left, and installing takes $needed; make room, or $elsewhere"
  else
    ok "inodes: $left left, $needed needed"
  fi
}

# Where pixi and the packages put what they need for a moment. A product may set it.
check_temporary_dir() {
  local dir=${TMPDIR-} set_by=environment shown from=$project
  if [ ! -d "$from" ]; then from=$place; fi
  if may_be_run && [ -f "$root/envs.sh" ]; then
    # shellcheck disable=SC2016 # expanded there
    shown=$(bash -c 'PRODUCT_ROOT=$1; . "$1/envs.sh" >/dev/null 2>&1; printf "%s." "${TMPDIR-}"' bootstrap "$root" 2>/dev/null) || shown=$dir.
    if [ "${shown%.}" != "$dir" ]; then dir=${shown%.} set_by=product; fi
  fi
  if [ -z "$dir" ]; then
    dir=/tmp set_by=default
  fi
  printf -v shown '%q' "$dir"
  if (cd -- "$from" && [ -d "$dir" ] && [ -w "$dir" ] && [ -x "$dir" ]) 2>/dev/null; then
    ok "temporary files go into $shown"
  elif [ "$set_by" = default ]; then
    problem "there is no directory /tmp that this user may write into, and pixi needs one for temporary files; set TMPDIR to one: export TMPDIR=DIR"
  elif [ "$set_by" = product ]; then
    problem "TMPDIR, which the product sets, is $shown, and that is not a directory that this user may write into; make it: mkdir -p $shown"
  else
    problem "TMPDIR is $shown, and that is not a directory that this user may write into; unset TMPDIR, or make it: mkdir -p $shown"
  fi
}

# Sets REPLY to below, same or above: how a version of numbers and dots lies to
# another. Fails where numbers do not tell.
compare_versions() {
  local left=$1. right=$2. a b
  while [ -n "$left$right" ]; do
    a=${left%%.*} b=${right%%.*}
    left=${left#*.} right=${right#*.}
    case ${a:-0}${b:-0} in *[!0-9]*) return 1 ;; esac
    if ((10#${a:-0} < 10#${b:-0})); then REPLY=below && return; fi
    if ((10#${a:-0} > 10#${b:-0})); then REPLY=above && return; fi
  done
  REPLY=same
}

# Whether the machine has what one requirement asks for, `__cuda >=12,<13`, among
# detected, what pixi found: 0 yes, 1 no, 2 it is not known.
machine_has() {
  local name=${1%% *} range='' line version='' bound rest
  case $name in __cuda | __glibc | __linux | __unix) ;; *) return 2 ;; esac
  case $1 in *' '*) range=${1#* } ;; esac
  for line in ${detected[@]+"${detected[@]}"}; do
    case $line in "$name="*) version=${line#*=} version=${version%%=*} ;; esac
  done
  if [ -z "$version" ]; then return 1; fi
  if [ "$name" = __unix ]; then return 0; fi
  rest=${range// /},
  while [ -n "$rest" ]; do
    bound=${rest%%,*} rest=${rest#*,}
    case $bound in
      '' | '*') continue ;;
      *[!0-9A-Za-z.\<\>=]*) return 2 ;;
    esac
    compare_versions "$version" "${bound#"${bound%%[!<>=]*}"}" || return 2
    case $bound$REPLY in
      '>='*below) return 1 ;;
      '>='*) ;;
      '<='*above) return 1 ;;
      '<='*) ;;
      '>'*above) ;;
      '>'*) return 1 ;;
      '<'*below) ;;
      '<'*) return 1 ;;
      *) return 2 ;;
    esac
  done
  return 0
}

# Sets detected, the virtual packages that this pixi finds on this machine, with the
# settings of the product: NAME=VERSION=BUILD. Bounded in time and length.
detect_virtual_packages() {
  local text line inside=no
  detected=()
  # Away from the project: nothing is written there, and nothing read of it.
  # shellcheck disable=SC2016 # expanded there
  text=$(bash -c 'PRODUCT_ROOT=$1; . "$1/envs.sh" && cd / && exec timeout -k 5 60 "$2" info --json' \
    bootstrap "$root" "$pixi" 2>/dev/null </dev/null | head -c 1000000) || :
  while IFS= read -r line; do
    case $inside$line in
      no*'"virtual_packages": ['*']'*) return 1 ;;
      no*'"virtual_packages": ['*) inside=yes ;;
      yes*']'*) return 0 ;;
      yes*'"'*'"'*)
        line=${line#*\"}
        detected+=("${line%%\"*}")
        ;;
    esac
  done <<<"$text"
  return 1
}

# What to do where a requirement is not met: the build was told of it by a variable.
override_for() {
  local one variable=CONDA_OVERRIDE_${1#__}
  REPLY=
  for one in ${overrides[@]+"${overrides[@]}"}; do
    case ${one%%=*} in
      "${variable^^}") printf -v REPLY '; the build was told of it by %q: where this machine has it all the same, export that before, or make the product with --env %q' "$one" "$one" ;;
    esac
  done
}

# What pixi looks at before it installs: found out before.
check_virtual_packages() {
  local one name met=() unknown=() lacking code
  if [ ${#virtual_packages[@]} = 0 ] && [ ${#preferred_platforms[@]} = 0 ]; then
    if [ "$requirements_known" = yes ]; then
      ok "the packages have no requirements on the machine"
    else
      not_recorded "what the packages ask of the machine"
    fi
    return
  fi
  if ! may_be_run || ! command -v "$pixi" >/dev/null 2>&1; then return; fi
  if ! detect_virtual_packages; then
    not_checked "what the packages ask of the machine (${virtual_packages[*]}): pixi info --json does not tell what this machine has"
    return
  fi
  for one in ${virtual_packages[@]+"${virtual_packages[@]}"}; do
    code=0
    machine_has "$one" || code=$?
    case $code in
      0) met+=("$one") ;;
      1)
        override_for "${one%% *}"
        lacking="no ${one%% *}"
        for name in ${detected[@]+"${detected[@]}"}; do
          case $name in "${one%% *}="*) lacking=${name#*=} lacking="${one%% *} ${lacking%%=*}" ;; esac
        done
        refuse_pixi "the packages ask for ${one}, and pixi finds $lacking on this machine; install where it is there${REPLY}"
        ;;
      *) unknown+=("$one") ;;
    esac
  done
  if [ ${#unknown[@]} -gt 0 ]; then not_checked "whether this machine has ${unknown[*]}"; fi
  if [ ${#met[@]} -gt 0 ]; then ok "this machine meets the requirements of the packages: ${met[*]}"; fi
  for one in ${preferred_platforms[@]+"${preferred_platforms[@]}"}; do check_preferred_platform "$one"; done
}

# A platform of the lock that pixi takes first where the machine has what it asks
# for: its packages are not in the product.
check_preferred_platform() {
  local name=${1%%$'\n'*} requirements one code worst=0 IFS=$'\n'
  case $1 in *$'\n'*) requirements=${1#*$'\n'} ;; *) requirements= ;; esac
  for one in $requirements; do
    code=0
    machine_has "$one" || code=$?
    if [ "$code" = 1 ]; then return; fi
    if [ "$code" = 2 ]; then worst=2; fi
  done
  if [ "$worst" = 2 ]; then
    not_checked "whether pixi would install for the platform $name of pixi.lock here, and not for ${platform_name:-the one of the product}: ${requirements//$'\n'/, }"
  else
    refuse_pixi "pixi would install for the platform $name of pixi.lock here, and the product has the packages for ${platform_name:-another}; make the product for $name, or hide what it asks for (${requirements//$'\n'/, }): export CONDA_OVERRIDE_CUDA= for __cuda"
  fi
}

# Whether a variable has the very value that envs.sh gives it: this shell may have
# sourced it.
is_set_by_envs() {
  local setting
  for setting in "${user_settings[@]}"; do
    if [ "$setting" = "$1=${!1}" ]; then return 0; fi
  done
  return 1
}

# What of the user's own would come before the environment's packages, and does not,
# since envs.sh keeps it away.
check_user_packages() {
  local variable dir shown keep=${PIXI_OFFLINE_USER_PACKAGES-} any=no
  for variable in "${user_variables[@]}"; do
    if [ -z "${!variable+set}" ] || is_set_by_envs "$variable"; then continue; fi
    any=yes
    case $keep,$variable in
      keep,*) warning "$variable is set and comes before the environment's own: PIXI_OFFLINE_USER_PACKAGES=keep leaves it" ;;
      *,LD_LIBRARY_PATH) if [ "$checking" = yes ]; then note "LD_LIBRARY_PATH is set: envs.sh leaves of it the directories of graphics drivers, which no package has"; fi ;;
      *) if [ "$checking" = yes ]; then note "$variable is set: envs.sh unsets it (PIXI_OFFLINE_USER_PACKAGES=keep leaves it)"; fi ;;
    esac
  done
  for dir in "${HOME-}"/.local/lib/python*/site-packages "${HOME-}"/R/*-library "${HOME-}"/.Rprofile "${HOME-}"/.Renviron \
    "${HOME-}"/perl5 "${HOME-}"/.gem/ruby "${HOME-}"/.local/share/gem/ruby "${HOME-}"/.julia/environments "${HOME-}"/.julia/config/startup.jl \
    "${HOME-}"/.node_modules "${HOME-}"/.node_libraries "${HOME-}"/.luarocks "${HOME-}"/.ipython/profile_default/startup \
    "${HOME-}"/.local/share/jupyter/kernels; do
    if [ -z "${HOME-}" ] || [ ! -e "$dir" ] || [ "$checking" = no ]; then continue; fi
    any=yes
    printf -v shown '%q' "$dir"
    case $keep,$dir in
      keep,*) warning "$shown is there and may come before the environment's own: PIXI_OFFLINE_USER_PACKAGES=keep leaves it" ;;
      *.node_modules | *.node_libraries) note "$shown is there: node looks into it last, where the environment lacks a package; no setting turns that off" ;;
      */.ipython/*) note "$shown is there: IPython runs what is in it; no setting of its own turns that off" ;;
      *) note "$shown is there: envs.sh keeps it from coming before the environment's own (PIXI_OFFLINE_USER_PACKAGES=keep leaves it)" ;;
    esac
  done
  if [ "$any" = no ]; then ok "no packages of the user's own come before the environment's"; fi
}
