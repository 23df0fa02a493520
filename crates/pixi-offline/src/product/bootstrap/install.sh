
check_everything() {
  check_lock_use "$@"
  check_product_is_whole
  check_files
  check_signed_comment
  check_provenance
  check_verification
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
  bash -c '. "$1/envs.sh" && cd -- "$2" && umask "$5" || exit
    if [ "$3" = locked ]; then unset PIXI_FROZEN; fi
    exec "$4" install "${@:6}"' bootstrap "$root" "$project" "$lock" "$pixi" "$readable_umask" "$@"
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
  if [ "$pixi" != "$root/bin/pixi" ] && [ "$(type -P pixi)" != "$pixi" ]; then printf -v program '%q' "$pixi"; fi
  words=' task list'
  if [ "$named_by_caller" = no ] && [ ${#tested[@]} -gt 0 ]; then printf -v words ' %q' "${tested[@]:1}"; fi
  printf 'Next: . %q && cd %q && %s%s\n' "$root/envs.sh" "$project" "$program" "$words" >&2
}

# ---- What was asked for.

# After an error of an expansion bash goes on with the next command of the top level:
# there is none but this one.
main() {
  [ ${#environments[@]} -gt 0 ] || environments=(default)
  find_product
  keep_product_off_path
  project_name=
  pixi=
  any_pixi=no
  any_files=no
  while [ $# -gt 0 ]; do
    case $1 in
      --project-name | --pixi)
        [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
        if [ "$1" = --pixi ]; then pixi=$2; else project_name=$2; fi
        shift 2
        ;;
      --project-name=*) project_name=${1#*=} && shift ;;
      --pixi=*) pixi=${1#*=} && shift ;;
      --any-pixi) any_pixi=yes && shift ;;
      --any-files) any_files=yes && shift ;;
      --check) checking=yes && shift ;;
      -h | --help) usage && exit 0 ;;
      --) shift && break ;;
      *) break ;;
    esac
  done

  find_project
  choose_pixi
  choose_environments "$@"
  look_into_environments
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
  remove_strangers
  remove_environments_from_elsewhere
  leave_mark

  trust_git_cache
  install "$@"
  say_what_is_next "$@"
}

main "$@"
