
check_everything() {
  check_lock_use "$@"
  check_product_is_whole
  check_files
  check_signed_comment
  check_provenance
  check_verification
  enter_target
  check_installed
  check_writable
  check_pixi
  check_architecture
  check_glibc
  check_virtual_packages
  check_git
  check_path_characters
  check_path_length
  check_programs_may_run
  check_temporary_dir
  check_space
  check_inodes
  check_old_environments
  check_user_packages
}

# ---- The installation.

# git uses no repository of another user, and the packages of git dependencies
# are cloned from the cache: exceptions for the repositories of this cache alone.
# In a file, since git ignores GIT_CONFIG_COUNT when it serves a clone.
trust_git_cache() {
  local repository own=${XDG_CONFIG_HOME:-${HOME-}/.config}/git/config
  local foreign=()
  for repository in "$target"/pkg-cache/uv-cache/git-v0/db/*/ "$target"/pkg-cache/uv-cache/git-v0/checkouts/*/*/; do
    repository=${repository%/}
    if [ -d "$repository" ] && [ ! -O "$repository" ]; then foreign+=("$repository" "$repository/.git"); fi
  done
  if [ ${#foreign[@]} -eq 0 ] || ! command -v git >/dev/null 2>&1; then return; fi
  git_settings=$(mktemp)
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
# name, and must not meet a variable of this script. Beside this script, since bash
# takes a signal only after the program in front of it has ended.
pixi_install() {
  local lock=frozen argument code=0
  for argument in "$@"; do
    # Both would contradict each other.
    if [ "$argument" = --locked ]; then lock=locked; fi
  done
  # bash has what runs beside a script ignore an interrupt.
  # shellcheck disable=SC2016 # expanded there
  (
    trap - INT QUIT
    exec bash -c '. "$1/envs.sh" && cd -- "$2" && umask "$5" || exit
    if [ "$3" = locked ]; then unset PIXI_FROZEN; fi
    exec "$4" install "${@:6}"' bootstrap "$target" "$project" "$lock" "$pixi" "$readable_umask" "$@"
  ) &
  pixi_process=$!
  wait "$pixi_process" || code=$?
  pixi_process=
  return "$code"
}

# Ends pixi first: what it still wrote would meet the next run. The signal is sent until it has
# ended: a shell that is about to start it may lose the first one.
interrupted() {
  local pause=0.1
  trap '' HUP INT TERM
  if [ -n "$pixi_process" ]; then
    while kill -s "$1" "$pixi_process" 2>/dev/null; do sleep "$pause" && pause=1; done
  fi
  installing=no
  printf 'ERROR: interrupted before everything was installed; run it again\n' >&2
  exit $((128 + $2))
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

# Says what was installed, and what to type next.
say_what_is_next() {
  local shown word words program=pixi
  for word in "$@"; do
    case $word in -h | --help) return ;; esac
  done
  printf -v shown '%s, ' ${wanted[@]+"${wanted[@]}"}
  printf 'OK: installed %q (%s)\n' "$project_name" "${shown%, }" >&2
  # The final verification installs in a container, which nobody can go to afterwards.
  if [ "${PIXI_OFFLINE_NEXT-}" = no ]; then return; fi
  if [ "$pixi" != "$root/bin/pixi" ] && [ "$(type -P pixi)" != "$pixi" ]; then printf -v program '%q' "$pixi"; fi
  words=' task list'
  if [ "$named_by_caller" = no ] && [ ${#tested[@]} -gt 0 ]; then printf -v words ' %q' "${tested[@]:1}"; fi
  # Of all shells, bash and zsh alone know where a sourced file is.
  # shellcheck disable=SC2016 # expanded where it is pasted
  printf 'Next: PRODUCT_ROOT=%q; . "$PRODUCT_ROOT/envs.sh" && cd %q && %s%s\n' "$target" "$project" "$program" "$words" >&2
}

# ---- What was asked for.

# After an error of an expansion bash goes on with the next command of the top level:
# there is none but this one.
main() {
  [ ${#environments[@]} -gt 0 ] || environments=(default)
  find_product
  keep_product_off_path
  root_identity=$(stat -c %d:%i -- "$root/" 2>/dev/null) || root_identity=
  project_name=
  pixi=
  any_pixi=no
  any_files=no
  copying=no
  into=
  while [ $# -gt 0 ]; do
    case $1 in
      --project-name | --pixi | --into)
        [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
        case $1 in --pixi) pixi=$2 ;; --into) copying=yes into=$2 ;; *) project_name=$2 ;; esac
        shift 2
        ;;
      --into=*) copying=yes into=${1#*=} && shift ;;
      --project-name=*) project_name=${1#*=} && shift ;;
      --pixi=*) pixi=${1#*=} && shift ;;
      --any-pixi | --ignore-pixi-version) any_pixi=yes && shift ;;
      --any-files | --ignore-file-changes) any_files=yes && shift ;;
      --check) checking=yes && shift ;;
      -h | --help) usage && exit 0 ;;
      --) shift && break ;;
      *) break ;;
    esac
  done

  target=$root
  elsewhere='copy the product to another place'
  if [ "$copying" = yes ]; then
    elsewhere='name another directory with --into'
    find_target
  fi
  find_project
  choose_pixi
  choose_environments "$@"
  look_into_environments
  # What was done in the product since, by whoever installed there, is not to be copied.
  if [ "$copying" = yes ]; then installed=no; fi
  find_umask

  failure_code=2
  check_everything "$@"
  if [ "$checking" = yes ]; then
    [ ${#problems[@]} -eq 0 ] || exit 2
    [ "$compared" = yes ] || exit 3
    exit 0
  fi
  if [ ${#problems[@]} -gt 0 ]; then
    printf 'ERROR: %s\n' "${problems[@]}" >&2
    exit "$failure_code"
  fi
  trap clean_up EXIT
  trap 'interrupted HUP 1' HUP
  trap 'interrupted INT 2' INT
  trap 'interrupted TERM 15' TERM
  if [ "$copying" = yes ]; then fill_target; fi
  remove_strangers
  remove_environments_from_elsewhere
  leave_mark

  trust_git_cache
  installing=yes
  install "$@"
  require_same_product
  installing=no
  trap - HUP INT TERM
  say_what_is_next "$@"
}

main "$@"
