
# ---- The new product in its place, and the old one back.

# Sets target, parent and name: the directory that is to be another product, where links to it lead.
find_target() {
  local path=$1 resolved
  resolved=$(readlink -m -- "$path" && printf x) || fail 2 "TARGET cannot be found: $path"
  target=${resolved%?x}
  name=${target##*/} parent=${target%/*}
  parent=${parent:-/}
  printf -v shown_target '%q' "$target"
  printf -v shown_parent '%q' "$parent"
  if [ -z "$name" ]; then fail 2 'TARGET is the root of the file system, which is not a product'; fi
  if [ -L "${path%"${path##*[!/]}"}" ]; then note "TARGET is a link to $shown_target, which is what is updated; the link stays as it is"; fi
  if ! [ -d "$parent" ]; then fail 2 "$shown_parent is no directory"; fi
  case $target/ in "$update"/*) fail 2 "$shown_target is in the update; name the product that is to be updated" ;; esac
  case $update/ in "$target"/*) fail 2 "the update is in $shown_target, which is to be replaced; put it elsewhere" ;; esac
  case $parent in /) parent_prefix=/ ;; *) parent_prefix=$parent/ ;; esac
  # What ends a run anywhere uses these: no function has a variable of one of their names.
  hidden=$parent_prefix.$name
  new_short=${to:0:12}
  ready=$hidden.new-$new_short
  unfinished=$ready.part
  lock=$hidden.update
}

# Requires that the target can be renamed in the directory that it is in.
require_place() {
  local fields point
  if ! [ -w "$parent" ] || ! [ -x "$parent" ]; then
    fail 2 "$shown_parent is not writable for this user, and the new product is made there; run it as a user who may write there; nothing was changed"
  fi
  if [ -k "$parent" ] && [ "$EUID" != 0 ] && [ -e "$target" ] && ! [ -O "$target" ] && ! [ -O "$parent" ]; then
    fail 2 "$shown_target belongs to another user, and $shown_parent lets nobody else rename it (sticky bit); run it as that user; nothing was changed"
  fi
  while read -r -a fields; do
    printf -v point '%b' "${fields[4]-}"
    if [ "$point" = "$target" ]; then
      fail 2 "$shown_target is a mount point, which cannot be renamed: unmount it, and update the directory at its own path; nothing was changed"
    fi
  done < <(cat /proc/self/mountinfo 2>/dev/null || :)
}

# Sets own_mark: what tells this process from every other one.
read_own_mark() {
  local boot='' space host=''
  read -r boot </proc/sys/kernel/random/boot_id || :
  read -r host </proc/sys/kernel/hostname || :
  space=$(readlink /proc/self/ns/pid) || space=''
  machine="$host $boot $space"
  started_at "$$"
  own_mark="$$ ${REPLY:-?} $machine"
} 2>/dev/null

# Sets REPLY to when a process was started; empty when it has ended, also where no parent has
# asked for its exit code (a zombie).
started_at() {
  local text='' fields
  REPLY=''
  IFS= read -r text </proc/"$1"/stat || return 0
  # The program's name may have anything in it.
  read -r -a fields <<<"${text##*) }"
  case ${fields[0]-} in Z | X) ;; *) REPLY=${fields[19]-} ;; esac
} 2>/dev/null

# Keeps other runs off this target, as long as this process lives.
take_lock() {
  local found pid rest shown tries
  read_own_mark
  for tries in 1 2 3; do
    if ln -s -T -- "$own_mark" "$lock" 2>/dev/null; then
      locked=yes
      return
    fi
    found=$(readlink -- "$lock" 2>/dev/null) || found=''
    if [ -z "$found" ]; then
      if [ -e "$lock" ]; then break; fi
      if [ "$tries" = 3 ]; then fail 1 "no link can be made in $shown_parent, which keeps a second run off; is it on a file system without links (FAT, exFAT)?"; fi
      continue
    fi
    pid=${found%% *} rest=${found#* }
    case $pid in *[!0-9]* | '') break ;; esac
    printf -v shown '%q' "$lock"
    if [ "${rest#* }" = "$machine" ]; then
      started_at "$pid"
      if [ -n "$REPLY" ] && [ "$REPLY" = "${rest%% *}" ]; then
        fail 2 "process $pid is updating $shown_target; wait for it, or end it"
      fi
    elif ! is_this_machine_before "${rest#* }"; then
      fail 2 "a run on another machine or in another container is updating $shown_target, or was ended there; when there is none: rm $shown"
    fi
    take_over "$found"
  done
  printf -v shown '%q' "$lock"
  fail 1 "$shown is in the way: it is not the lock of an update; nothing was changed"
}

# Whether a mark is of this machine before it was started anew: nothing of then still runs.
is_this_machine_before() {
  local mark=$1 host boot
  read -r host boot _ <<<"$machine"
  case $mark in "$host $boot "*) return 1 ;; "$host "*) return 0 ;; esac
  return 1
}

# Takes a lock away whose process has ended, unless another run did before.
take_over() {
  local old=$lock.$$ found
  mv -T -- "$lock" "$old" 2>/dev/null || return 0
  found=$(readlink -- "$old") || found=''
  if [ "$found" = "$1" ]; then
    rm -f -- "$old"
  else
    # It is that of a run that began meanwhile.
    mv -T -n -- "$old" "$lock" 2>/dev/null || :
  fi
}

release_lock() {
  if [ "$locked" = yes ] && [ "$(readlink -- "$lock" 2>/dev/null)" = "$own_mark" ]; then rm -f -- "$lock"; fi
  locked=no
}

# Removes a directory that this script made, whatever the modes in it are. Processes of a run that was killed may
# still write into it.
remove_dir() {
  local tries
  for tries in 1 2 3 4 5; do
    if rm -rf -- "$1" 2>/dev/null; then return; fi
    chmod -R u+rwx -- "$1" 2>/dev/null || :
    if [ "$tries" -gt 2 ]; then sleep 1; fi
  done
  rm -rf -- "$1"
}

# Removes what is not needed, under a name that says so: an end in the middle leaves nothing that
# looks like a product.
remove_product() {
  local going=$hidden.$2.removing
  if [ -e "$going" ] || [ -L "$going" ]; then remove_dir "$going"; fi
  mv -T -- "$1" "$going"
  remove_dir "$going"
}

# What earlier runs left that is of no use to anybody.
remove_leftovers() {
  local entry
  for entry in "$hidden".????????????.removing; do
    if is_real_dir "$entry"; then remove_dir "$entry"; fi
  done
  if is_real_dir "$unfinished"; then
    note "an earlier run ended while it made the new product beside $shown_target; that part was removed"
    remove_product "$unfinished" "$new_short"
  fi
}

# Requires that nothing but a directory of ours is where the new product is made.
require_free_place() {
  local entry
  for entry in "$ready" "$unfinished"; do
    if is_real_dir "$entry" || ! { [ -e "$entry" ] || [ -L "$entry" ]; }; then continue; fi
    fail 2 "$(printf '%q' "$entry") is in the way: the new product is made there; move it away; nothing was changed"
  done
}

kept_as() {
  printf '%s.%s' "$target" "$1"
}

# Writes what was made to the disk, before anything points to it.
write_to_disk() {
  # Those before 8.24 know no directories.
  if [[ $(sync --help 2>/dev/null) == *--file-system* ]]; then sync -f -- "$1"; else sync; fi
}

# Puts what is ready in the place of the old product, which stays under a name of its own.
put_in_place() {
  local old_place
  old_place=$(kept_as "$base" && printf x)
  old_place=${old_place%x}
  write_to_disk "$ready" || fail 1 "the new product could not be written to the disk; $shown_target is as it was"
  # With one step, where it can be done: there is a product in the place at each moment.
  if [[ $(mv --help 2>/dev/null) == *--exchange* ]] && mv --exchange -T -- "$ready" "$target" 2>/dev/null; then
    mv -T -- "$ready" "$old_place"
  else
    mv -T -- "$target" "$old_place" || fail 1 "$shown_target could not be renamed, so it is as it was"
    mv -T -- "$ready" "$target" || {
      mv -T -- "$old_place" "$target"
      fail 1 "the new product could not be put in its place; $shown_target is as it was"
    }
  fi
  write_to_disk "$parent" || warning 'the disk did not confirm the new names'
}

# Requires that the names which will be needed are free.
require_free_names() {
  local place shown
  place=$(kept_as "$base")
  printf -v shown '%q' "$place"
  if [ -e "$place" ] || [ -L "$place" ]; then
    fail 2 "$shown is there already, and the old product is to have that name: move it away, or remove it; nothing was changed"
  fi
}
