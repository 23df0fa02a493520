
# ---- Where the project is installed: the product, or the directory of --into.

# The first line of the record in a directory that --into made, which is its mark.
record_title='pixi-offline: bootstrap-project.sh --into made this directory; keep this file'
record_name=.pixi-offline-into
lock_name=.pixi-offline-lock
draft_name=.pixi-offline-new

# Sets target, the directory of --into, as a path without links. It is there, or the
# directory that it is to be made in.
find_target() {
  local parent=$into shown
  printf -v shown '%q' "$into"
  [ -n "$into" ] || fail 2 "--into needs a directory; see --help"
  case $parent in /*) ;; *) parent=$PWD/$parent ;; esac
  while case $parent in ?*/) true ;; *) false ;; esac do parent=${parent%/}; done
  if [ -d "$parent" ]; then
    target=$(CDPATH='' cd -P -- "$parent/" >/dev/null && pwd -P && printf x) || fail 2 "--into $shown: this user may not enter that directory"
    target=${target%?x}
  elif [ -e "$parent" ] || [ -L "$parent" ]; then
    fail 2 "--into $shown is not a directory; name one that is new or empty"
  else
    target=${parent##*/} parent=${parent%/*}/
    if [ ! -d "$parent" ]; then
      printf -v parent '%q' "${parent%/}"
      fail 2 "--into $shown: there is no directory $parent to make it in; make that first: mkdir -p $parent"
    fi
    parent=$(CDPATH='' cd -P -- "$parent" >/dev/null && pwd -P && printf x) || fail 2 "--into $shown: this user may not enter the directory that it is in"
    target=${parent%?x}/$target
    target=/${target#"${target%%[!/]*}"}
  fi
  printf -v shown_target '%q' "$target"
  if [ "$target" -ef "$root" ]; then fail 2 "--into $shown is the product itself; name a directory outside of it"; fi
  case $target/ in "$root"/*) fail 2 "--into $shown is inside of the product; name a directory outside of it" ;; esac
}

# Whether the directory has the mark of one that --into made.
has_record() {
  [ -f "$target/$record_name" ] && [ ! -L "$target/$record_name" ]
}

# Refuses a directory of --into that belongs to another user, is open to everybody, or holds what
# --into did not make. Changes nothing.
require_own_target() {
  local entry shown mode
  if [ ! -e "$target" ]; then return; fi
  [ -O "$target" ] || fail 2 "--into $shown_target belongs to another user; name a directory of your own"
  mode=$(stat -c %a -- "$target/" 2>/dev/null) || mode=0
  if ((8#$mode & 2)); then
    fail 2 "--into $shown_target can be written by everybody; chmod o-w $shown_target, or name another directory"
  fi
  if has_record; then return; fi
  for entry in "$target"/* "$target"/.[!.]* "$target"/..?*; do
    # What a run leaves that is killed before it has a record.
    case ${entry##*/} in "$lock_name" | "$lock_name".* | "$record_name.new" | .may-run.*) continue ;; esac
    if [ ! -e "$entry" ] && [ ! -L "$entry" ]; then continue; fi
    printf -v shown '%q' "${entry##*/}"
    fail 2 "--into $shown_target is neither empty nor made by --into ($shown is in it); name a directory that is new or empty"
  done
}

# Reads the record. Sets, each empty when it is not known: placed, the digest of the
# product that the project there is from; linked, of the one that the cache is from;
# moving and aside, what was under way when a run was cut short; and has_bin.
read_record() {
  local line number=0 project='' shown
  placed='' linked='' moving='' aside='' has_bin=no
  if ! has_record; then return; fi
  while IFS= read -r -n 8192 line; do
    number=$((number + 1))
    case $number$line in
      "1$record_title") ;;
      1*) fail 2 "$shown_target/$record_name was not written by this script; name another directory with --into" ;;
      *project=*) project=${line#*=} ;;
      *placed=*) placed=${line#*=} ;;
      *linked=*) linked=${line#*=} ;;
      *moving=*) moving=${line#*=} ;;
      *aside=*) aside=${line#*=} ;;
      *has_bin=yes) has_bin=yes ;;
    esac
  done < <(head -c 65536 -- "$target/$record_name")
  for line in "$placed" "$linked" "$moving" "${aside//./}"; do
    case $line in *[!0-9a-f]*) fail 2 "$shown_target/$record_name is damaged; name another directory with --into" ;; esac
  done
  printf -v shown '%q' "$project_name"
  if [ "$project" != "$shown" ]; then
    fail 2 "--into $shown_target holds the project ${project:-of another product}, and this product has $shown; name another directory"
  fi
}

# Replaces the record by one of what is known now, whole or not at all.
write_record() {
  local new=$target/$record_name.new
  rm -f -- "$new"
  {
    (
      set -C
      printf '%s\nproject=%q\nplaced=%s\nlinked=%s\nmoving=%s\naside=%s\nhas_bin=%s\n' \
        "$record_title" "$project_name" "$placed" "$linked" "$moving" "$aside" "$has_bin" >"$new"
    ) && mv -f -- "$new" "$target/$record_name"
  } 2>/dev/null || fail 2 "$shown_target/$record_name cannot be written; is the disk full?"
}

# What is to be made. Sets must_place: the project is not there, or from another product;
# must_link: the same of the cache.
decide_work() {
  must_place=yes must_link=yes
  if [ "$placed" = "$product_digest" ] && [ -z "$moving" ] && [ -d "$target/$project_name" ]; then must_place=no; fi
  if [ "$linked" = "$product_digest" ] && [ -d "$target/pkg-cache" ] && [ -f "$target/envs.sh" ] &&
    { [ "$bundled_pixi" != yes ] || [ -f "$target/bin/pixi" ]; }; then
    must_link=no
  fi
  if [ "$must_link" = yes ] && [ "$has_bin" = no ] && [ "$bundled_pixi" = yes ] && { [ -e "$target/bin" ] || [ -L "$target/bin" ]; }; then
    fail 2 "$shown_target/bin was not made by --into, and the pixi of the product would take its place; move it away"
  fi
}

# From here on, what is looked at is the place of the installation. The product itself was
# compared before.
enter_target() {
  if [ "$copying" = no ]; then return; fi
  added_to_cache=() copy_bytes=0 copy_entries=0
  case $project_name in
    .product | .pixi-offline-* | envs.sh) fail 2 "--into: the project has the name $project_name, which a directory of --into has for itself; install the product in its own place" ;;
  esac
  if ! read_product_digest; then fail 2 "--into needs manifest.json and SHA256SUMS of the product, and sha256sum"; fi
  require_own_target
  read_record
  decide_work
  if [ "$must_place$must_link" != nono ]; then plan_copies; fi
  project=$target/$project_path
  printf -v shown_project '%q' "$project"
  if [ "$must_place" = yes ]; then
    installed=no strangers=0
    place=$target
    if [ ! -d "$target" ]; then place=${target%/*} place=${place:-/}; fi
  else
    look_into_environments
    find_place
  fi
  if [ "$checking" = no ]; then return; fi
  if [ "$must_place" = no ]; then
    ok "the project is in $shown_target already, from this product"
  elif [ -n "$placed" ]; then
    note "$shown_target has the project of another version: it is moved aside, with all that was changed in it, before this one is put in its place"
  else
    ok "$shown_target is new or empty"
  fi
}

# ---- One run at a time.

# Sets REPLY to when a process began, which distinguishes it from a later one with its number; empty
# when it has ended, also where nobody has asked yet how.
start_of_process() {
  local line fields
  REPLY=
  IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 0
  read -r -a fields <<<"${line##*) }"
  case ${fields[0]-} in Z | X) ;; *) REPLY=${fields[19]-} ;; esac
}

# Whether the run that a lock names goes on, as far as can be known: on another machine
# it may.
goes_on() {
  local process start boot host here=''
  read -r process start boot host <<<"$1"
  case $process in '' | *[!0-9]*) return 1 ;; esac
  if [ "$host" != "$HOSTNAME" ]; then return 0; fi
  IFS= read -r here 2>/dev/null </proc/sys/kernel/random/boot_id || :
  if [ "$boot" != "${here:-unknown}" ]; then return 1; fi
  start_of_process "$process"
  [ -n "$REPLY" ] && [ "$REPLY" = "$start" ]
}

# Takes the lock of the target: a link that leads to the words on who holds it, since only
# one process can make it, and it is never there without them.
take_lock() {
  local lock=$target/$lock_name boot='' own other stale
  IFS= read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id || :
  start_of_process "$$"
  own="$$ ${REPLY:-unknown} ${boot:-unknown} $HOSTNAME"
  if ! ln -s -- "$own" "$lock" 2>/dev/null; then
    other=$(readlink -- "$lock") || fail 2 "$shown_target cannot be written, or its lock cannot be read: $shown_target/$lock_name"
    if goes_on "$other"; then
      fail 2 "another run installs into $shown_target (process ${other%% *} on ${other##* }); wait until it has ended, or remove $shown_target/$lock_name if it has"
    fi
    # Whoever moves it away first has it; what was moved may be a new one by then.
    stale=$lock.$$
    mv -T -- "$lock" "$stale" 2>/dev/null || :
    if [ "$(readlink -- "$stale")" != "$other" ]; then
      mv -n -T -- "$stale" "$lock" 2>/dev/null || :
      fail 2 "another run installs into $shown_target; wait until it has ended"
    fi
    rm -f -- "$stale"
    ln -s -- "$own" "$lock" 2>/dev/null || fail 2 "another run installs into $shown_target; wait until it has ended"
  fi
  has_lock=yes
}
