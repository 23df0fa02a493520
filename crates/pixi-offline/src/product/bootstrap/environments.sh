
# ---- What is in NAME/.pixi, and whether it was installed here.

# Sets mark: what this script leaves in .pixi/ before it installs there. It fits
# nowhere but on this machine, in this very directory, at this path.
find_mark() {
  local machine='' place
  mark=
  read -r machine 2>/dev/null </etc/machine-id || read -r machine 2>/dev/null </var/lib/dbus/machine-id || :
  place=$(stat -c $'device=%d\ninode=%i\nbirth=%W' -- "$target/" 2>/dev/null) || return 0
  mark="pixi-offline: what is in this directory was installed by bootstrap-project.sh, in the product that these lines tell"$'\n'"machine=$machine"$'\n'"$place"$'\n'"path=$target"
}

# Sets installed, and strangers: how many entries of .pixi/ nothing vouches for,
# with the first of them.
look_into_environments() {
  local dir=$project/.pixi entry found=''
  # For what is found in pkg-cache/ beside what is listed.
  added_to_cache=()
  installed=no strangers=0 first_stranger=''
  find_mark
  if [ ! -d "$dir" ]; then return; fi
  if [ -n "$mark" ] && [ -f "$dir/$mark_name" ] && [ ! -L "$dir/$mark_name" ]; then
    IFS= read -r -d '' -n 16384 found 2>/dev/null <"$dir/$mark_name" || :
    if [ "$found" = "$mark" ]; then installed=yes && return; fi
  fi
  for entry in "$dir"/* "$dir"/.[!.]* "$dir"/..?*; do
    # That file is of the product, and compared with its lists.
    case $entry in "$dir/config.toml") continue ;; esac
    if [ ! -e "$entry" ] && [ ! -L "$entry" ]; then continue; fi
    strangers=$((strangers + 1))
    if [ "$strangers" = 1 ]; then printf -v first_stranger '%q' "${entry##*/}"; fi
  done
}

check_installed() {
  if [ "$strangers" = 0 ]; then return; fi
  if [ -L "$project/.pixi" ]; then
    problem "$shown_project/.pixi leads to a directory with $strangers entries, $first_stranger for example, that were not installed here and are in no list; empty that directory, or remove the link"
  elif [ "$checking" = yes ]; then
    problem "$shown_project/.pixi holds $strangers entries, $first_stranger for example, that were not installed here and are in no list; run ./bootstrap-project.sh, which deletes them and installs anew"
  fi
}

# Deletes what was not installed here, unread.
remove_strangers() {
  local dir=$project/.pixi entry entries=() index
  if [ "$strangers" = 0 ]; then return; fi
  note "$shown_project/.pixi holds $strangers entries, $first_stranger for example, that were not installed here (the product was carried or moved with them, or somebody added them): they are deleted, with ${#added_to_cache[@]} that were added to pkg-cache, and everything is installed anew"
  for entry in "$dir"/* "$dir"/.[!.]* "$dir"/..?*; do
    if [ "$entry" = "$dir/config.toml" ]; then continue; fi
    if [ -e "$entry" ] || [ -L "$entry" ]; then entries+=("$entry"); fi
  done
  # What they were installed from is beside the listed files of the cache.
  for entry in ${added_to_cache[@]+"${added_to_cache[@]}"}; do entries+=("$root/$entry"); done
  # In pieces that fit on a command line.
  for ((index = 0; index < ${#entries[@]}; index += 500)); do
    rm -rf -- "${entries[@]:index:500}" || fail 2 "cannot delete these entries of $shown_project/.pixi or pkg-cache; delete what is in .pixi and start again"
  done
}

# Leaves the mark, before anything is installed: what an install that was cut short
# leaves is of this place, too.
leave_mark() {
  if [ "$installed" = yes ] || [ -z "$mark" ]; then return; fi
  (set -C && umask "$readable_umask" && mkdir -p -- "$project/.pixi" && printf '%s' "$mark" >"$project/.pixi/$mark_name") 2>/dev/null ||
    fail 2 "$shown_project/.pixi/$mark_name cannot be written"
}

wanted_are_installed() {
  local environment
  if [ "$installed" = no ]; then return 1; fi
  for environment in ${wanted[@]+"${wanted[@]}"}; do
    [ -d "$project/.pixi/envs/$environment/conda-meta" ] || return
  done
}

# Whether the environment in this directory was installed for another path; sets
# other_path. pixi notes the path in conda-meta/, pixi 0.15 in a file that a
# package may have as well, so what it says must look like such a path. Two names
# of one directory are one path.
is_from_elsewhere() {
  local environment=$1 file
  for file in "$environment/conda-meta/pixi_env_prefix" "$environment/prefix"; do
    [ -f "$file" ] || continue
    IFS= read -r -d '' -n 8192 other_path 2>/dev/null <"$file" || :
    other_path=${other_path%$'\n'}
    other_path=${other_path%/conda-meta}
    case $other_path in /*/"${environment##*/}") ;; *) continue ;; esac
    if [ "$other_path" != "$environment" ] && ! [ "$other_path" -ef "$environment" ]; then return 0; fi
  done
  return 1
}

# Sets from_elsewhere.
check_old_environments() {
  local dir environment all_from_here=yes shown
  from_elsewhere=()
  if [ "$installed" = no ]; then
    if [ "$strangers" = 0 ]; then ok "no environment from another path"; fi
    return
  fi
  for dir in .pixi/envs .pixi/solve-group-envs; do
    for environment in "$project/$dir"/*/; do
      environment=${environment%/}
      is_from_elsewhere "$environment" || continue
      all_from_here=no
      printf -v shown '%q was installed for %q and does not work here' "$environment" "$other_path"
      if [ -L "$project/.pixi" ] || [ -L "$project/$dir" ] || [ -L "$environment" ]; then
        problem "$shown; it is behind a symbolic link, so remove it yourself"
        continue
      fi
      from_elsewhere+=("$environment")
      note "$shown; bootstrap removes it"
    done
  done
  if [ "$all_from_here" = yes ]; then ok "no environment from another path"; fi
}

remove_environments_from_elsewhere() {
  local environment
  for environment in ${from_elsewhere[@]+"${from_elsewhere[@]}"}; do
    rm -rf -- "$environment" || fail 2 "$environment cannot be removed; remove it and start again"
  done
}
