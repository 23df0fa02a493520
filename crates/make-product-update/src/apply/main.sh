
# ---- What was asked for.

# Sets state to what there is, and base where one of the products is one that this update begins with:
# old, new, gone (the target was renamed, and nothing else yet), exchanged (the old one has the name of what is ready).
find_state() {
  local candidate
  base='' state=other
  read_digest "$ready"
  ready_digest=$digest
  read_digest "$target"
  target_digest=$digest
  if [ "$target_digest" = "$to" ]; then
    state=new
    for candidate in "${bases[@]}"; do
      if [ "$ready_digest" = "${facts[$candidate/from]}" ]; then state=exchanged base=$candidate; fi
    done
  elif [ -e "$target" ] || [ -L "$target" ]; then
    if [ -z "$target_digest" ]; then fail 2 "$shown_target has no SHA256SUMS, so it is not a product that can be updated; carry the new product as a whole"; fi
    state=old
  else
    find_old_place
    if [ -n "$base" ]; then state=gone; fi
  fi
  if [ -n "$base" ]; then plan=$update/plan/$base; fi
}

# Sets base to that whose product is beside the target under its own name, the last that was renamed there.
find_old_place() {
  local candidate place changed latest=0
  base=''
  for candidate in "${bases[@]}"; do
    place=$(kept_as "$candidate" && printf x)
    place=${place%x}
    read_digest "$place"
    if [ "$digest" != "${facts[$candidate/from]}" ]; then continue; fi
    changed=$(stat -c %Z -- "$place") || changed=0
    if [ "$changed" -ge "$latest" ]; then base=$candidate latest=$changed; fi
  done
}

# Sets old_place and shown_old, where the old product is kept.
name_old_place() {
  old_place=$(kept_as "$base" && printf x)
  old_place=${old_place%x}
  printf -v shown_old '%q' "$old_place"
}

# Makes the new product and puts it in the place of the old one, or finishes what an earlier run began.
apply() {
  case $state in
    new) say "OK: $shown_target is the new product already (sha256:$to)" ;;
    exchanged)
      name_old_place
      require_free_names
      mv -T -- "$ready" "$old_place"
      say "OK: finished an earlier run: $shown_target is the new product, the old one is $shown_old"
      say_what_is_next
      ;;
    gone) finish_gone ;;
    old) apply_to_old ;;
    *) fail 2 "$shown_target is not there" ;;
  esac
}

# Goes on where a run ended between its two renames.
finish_gone() {
  name_old_place
  if [ "$ready_digest" = "$to" ] && is_new_product "$ready"; then
    mv -T -- "$ready" "$target"
    write_to_disk "$parent"
    say "OK: finished an earlier run: $shown_target is the new product, the old one is $shown_old"
    say_what_is_next
    return
  fi
  mv -T -- "$old_place" "$target"
  note "an earlier run ended after it had renamed $shown_target: the old product was put back"
  find_state
  apply_to_old
}

apply_to_old() {
  digest=$target_digest
  find_base
  require_newer
  require_free_names
  require_free_place
  require_plan_is_complete
  name_old_place
  say "Looking at $shown_target …"
  take_list_of_old
  require_files_of_old
  tell_own_files
  if [ "$ready_digest" = "$to" ] && is_new_product "$ready"; then
    note 'an earlier run had made the new product: it is as it is listed, and is used'
  else
    if is_real_dir "$ready"; then remove_product "$ready" "$new_short"; fi
    require_free_space
    say "Making the new product beside it …"
    make_product
    say 'Comparing every byte of it …'
    give_owner
    is_new_product "$unfinished" || {
      note "files that are not as they were delivered are named with --check"
      say "Next: bash $shown_update/apply-update.sh --check $shown_target"
      give_up 'the new product is not as it is listed'
    }
    chmod --reference="$target" -- "$unfinished" || give_up 'the new product cannot be given the mode of the old one'
    mv -T -- "$unfinished" "$ready"
    making=no
  fi
  put_in_place
  describe_product '' "$to"
  say "OK: $shown_target is $REPLY; the old product is $shown_old"
  say_what_is_next
}

# As the old product is, so is the new one: whose it is. A change of owners takes bits of modes away: they are
# looked at after it.
give_owner() {
  local owner
  owner=$(stat -c %u:%g -- "$target") || give_up "$shown_target cannot be looked at"
  if [ "$EUID" = 0 ] && [ "$owner" != 0:0 ]; then
    chown -hR -- "$owner" "$unfinished" || give_up 'the new product cannot be given to the owner of the old one'
  fi
}

say_what_is_next() {
  note "shells that are in the old directory stay in it: cd $shown_target"
  say "Next: (cd $shown_target && ./bootstrap-project.sh)"
}

# Puts the old product back, or removes what an interrupted run made.
restore() {
  local other
  case $state in
    old)
      if is_real_dir "$ready" && [ "$ready_digest" = "$to" ]; then
        remove_product "$ready" "$new_short"
        say "OK: undone: $shown_target is the old product, and what an earlier run had made beside it was removed"
      else
        say "OK: nothing to undo: $shown_target is not the product of this update"
      fi
      return
      ;;
    gone)
      name_old_place
      mv -T -- "$old_place" "$target"
      if is_real_dir "$ready"; then remove_product "$ready" "$new_short"; fi
      say "OK: undone: $shown_target is the old product again"
      return
      ;;
    exchanged)
      name_old_place
      require_free_names
      mv -T -- "$ready" "$old_place"
      ;;
    new) find_old_place ;;
    *) fail 2 "$shown_target is not there, and no product beside it that this update begins with" ;;
  esac
  if [ -z "$base" ]; then fail 2 "no old product is beside $shown_target (its name would be $(kept_as "${bases[0]}")); nothing was changed"; fi
  name_old_place
  other=$(kept_as "$new_short" && printf x)
  other=${other%x}
  printf -v shown '%q' "$other"
  if [ -e "$other" ] || [ -L "$other" ]; then fail 2 "$shown is there already, and the new product is to have that name: move it away, or remove it; nothing was changed"; fi
  mv -T -- "$target" "$other"
  mv -T -- "$old_place" "$target" || {
    mv -T -- "$other" "$target"
    fail 1 "the old product could not be put back; $shown_target is as it was"
  }
  say "OK: $shown_target is the old product again; the new one, with what was done in it, is $shown"
}

# Removes the old products that this update begins with, once the new one is whole in its place.
remove_old() {
  local candidate removed=0
  if [ "$target_digest" != "$to" ]; then fail 2 "$shown_target is not the product of this update: the old one stays"; fi
  for candidate in "${bases[@]}"; do
    base=$candidate
    name_old_place
    read_digest "$old_place"
    if [ "$digest" != "${facts[$candidate/from]}" ]; then continue; fi
    if [ "$removed" = 0 ]; then require_whole_target; fi
    remove_product "$old_place" "$candidate"
    removed=$((removed + 1))
    say "OK: removed $shown_old"
  done
  if [ "$removed" = 0 ]; then say "OK: no old product is beside $shown_target"; fi
}

# Requires that what was delivered is in place and has its bytes; the project and the resources are the person's since.
require_whole_target() {
  local output code=0 path wrong=() mine=0 lines=() failed_paths=()
  split_lines "$(new_sums)"
  if ! are_readable; then take_readable; fi
  if [ ${#lines[@]} -gt 0 ]; then
    output=$(failed_sums "$target" ${#lines[@]} printf '%s\n' "${lines[@]}") || code=$?
    take_failed "$output"
  fi
  if [ "$code" != 0 ] && [ ${#failed_paths[@]} = 0 ]; then fail 1 'sha256sum failed or was ended; the old product stays'; fi
  local all=(${wrong[@]+"${wrong[@]}"} ${failed_paths[@]+"${failed_paths[@]}"})
  wrong=()
  for path in ${all[@]+"${all[@]}"}; do
    case $path in
      pkg-cache/* | bin/*) wrong+=("$path") ;;
      */*) mine=$((mine + 1)) ;;
      *) wrong+=("$path") ;;
    esac
  done
  if [ "$mine" -gt 0 ]; then note "$(counted "$mine" file files) of the project or the resources in $shown_target changed since it was delivered: taken for yours"; fi
  if [ ${#wrong[@]} -gt 0 ]; then
    show_paths 'missing, or not as it was delivered' "${wrong[@]}"
    fail 1 "$shown_target is not whole: the old product stays"
  fi
}

interrupted() {
  trap '' HUP INT TERM PIPE
  exec 2>&5
  if [ "$locked" = yes ]; then
    say 'ERROR: interrupted; run it again to go on, or with --restore to undo'
  else
    say 'ERROR: interrupted; nothing was changed'
  fi
  exit $((128 + $1))
}

# However this ends: nothing half-made stays.
at_end() {
  trap '' HUP INT TERM PIPE
  # Where this ends in the middle, what shows the first error waits for the rest of them.
  exec 2>&5
  if [ "$making" = yes ]; then
    finish_work || :
    remove_product "$unfinished" "$new_short" || :
  fi
  release_lock
}

read_words() {
  only_look=no hard_links=no older=no removing=no restoring=no
  local path='' has_path=no
  while [ $# -gt 0 ]; do
    case $1 in
      --check) only_look=yes ;;
      --hard-links) hard_links=yes ;;
      --older) older=yes ;;
      --remove-old) removing=yes ;;
      --restore) restoring=yes ;;
      -h | --help) usage && exit 0 ;;
      --) ;;
      -*) if [ "$last_option" = -- ]; then path=$1 has_path=yes; else fail 2 "unknown option $1; see --help"; fi ;;
      *)
        if [ "$has_path" = yes ]; then fail 2 "one TARGET is updated at a time, and $path and $1 were named"; fi
        path=$1 has_path=yes
        ;;
    esac
    last_option=$1
    shift
  done
  if [ "$has_path" = no ] || [ -z "$path" ]; then fail 2 'name the product that is to be updated: ./apply-update.sh TARGET; see --help'; fi
  if [ "$restoring" = yes ] && [ "$removing$only_look$hard_links" != nonono ]; then fail 2 '--restore is used without --check, --hard-links and --remove-old'; fi
  asked_for=$path
}

main() {
  exec 5>&2
  locked=no making=no running=() work_failed=no last_option='' own_count=unknown
  # Also while nothing is made: without a trap, bash goes on after an interrupt when the program
  # that runs at that moment does not end by it.
  trap 'interrupted 1' HUP
  trap 'interrupted 2' INT
  trap 'interrupted 15' TERM
  find_limits
  read_words "$@"
  find_update
  printf -v shown_update '%q' "$update"
  keep_target_off_path
  count_processors
  say "Looking at the update in $shown_update …"
  check_update
  find_target "$asked_for"
  old_list=''
  if is_plain_file "$target/SHA256SUMS" && [ "$restoring" = no ]; then begin_list_of_old; fi
  require_paths_of_plan
  if [ "$only_look" = yes ]; then
    preflight
    return
  fi
  require_place
  trap at_end EXIT
  take_lock
  remove_leftovers
  find_state
  if [ "$restoring" = yes ]; then
    restore
  elif [ "$removing" = yes ] && [ "$state" = new ]; then
    remove_old
  else
    apply
    if [ "$removing" = yes ]; then remove_after_apply; fi
  fi
}

# Before the first program is run.
keep_target_off_path() {
  local path=$asked_for dir
  case $path in /*) ;; *) path=./$path ;; esac
  dir=$(CDPATH='' cd -P -- "$path/" >/dev/null 2>&1 && pwd -P && printf x) || dir=''
  dir=${dir%?x}
  keep_off_path "$update" ${dir:+"$dir"}
}

# With files of a person's in it, which were named only now, the old product stays.
remove_after_apply() {
  if [ "$own_count" != 0 ]; then
    note "the old product stays, since it has, or may have, files that are not in the new one: look at them, and call it again with --remove-old"
    return
  fi
  find_state
  remove_old
}

# Everything that is found before something is written.
preflight() {
  find_state
  if [ "$state" = new ]; then
    say "OK: $shown_target is the new product already (sha256:$to)"
    return
  fi
  if [ "$state" != old ]; then fail 2 "an earlier run was interrupted: $shown_target is not in its place; call it without --check to finish, or with --restore to undo"; fi
  digest=$target_digest
  find_base
  require_newer
  require_free_names
  require_plan_is_complete
  take_list_of_old
  require_files_of_old
  require_place
  require_free_space
  tell_own_files
  describe_product '' "$to"
  say "OK: $shown_target can become $REPLY"
}

main "$@"
exit
}
