
# ---- What is in the old product that nobody delivered: an install, a person's files.

# Counts and names it; all of it stays in the old product. Sets own_count.
tell_own_files() {
  local path shown place count=0 names=() changed=() environments=0 cache=0 others=()
  if is_plain_file "$target/manifest.json"; then
    others=(${added[@]+"${added[@]}"})
  else
    note "$shown_target has no manifest.json: what was added to it since it was delivered is not known, and stays in the old product"
    old_is_listed=no
  fi
  for path in ${others[@]+"${others[@]}"}; do
    case $path in
      pkg-cache/*) cache=$((cache + 1)) ;;
      */.pixi/envs/*) environments=$((environments + 1)) ;;
      */.pixi | */.pixi/*) ;;
      *) count=$((count + 1)) && if [ ${#names[@]} -lt "$most_shown" ]; then names+=("${path//$line_end/$newline}"); fi ;;
    esac
  done
  find_changed
  own_count=$((count + ${#changed[@]}))
  place=$(kept_as "$base")
  printf -v shown '%q' "$place"
  if [ "$environments" -gt 0 ]; then note "$(counted "$environments" 'environment is' 'environments are') installed in $shown_target: left in $shown; install those of the new product with ./bootstrap-project.sh"; fi
  if [ "$cache" -gt 0 ]; then note "$(counted "$cache" 'file or directory in pkg-cache/ is' 'files and directories in pkg-cache/ are') of no list (pixi makes such when it installs): left in $shown"; fi
  if [ "$old_is_listed" = no ] && [ -e "$target/manifest.json" ]; then note "not everything in $shown_target may be looked at: there may be more in it that is not in the new product"; fi
  if [ "$own_count" = 0 ]; then
    if [ "$old_is_listed" = no ]; then own_count=unknown; fi
    return
  fi
  note "since $shown_target was delivered, $(counted "$count" 'file or directory was' 'files and directories were') added and $(counted ${#changed[@]} 'was' 'were') changed; left in $shown, and not in the new product:"
  for path in ${names[@]+"${names[@]}"}; do say "  added: $(printf '%q' "$path")"; done
  if [ "$count" -gt "$most_shown" ]; then say "  added: $((count - most_shown)) more"; fi
  for path in ${changed[@]+"${changed[@]:0:most_shown}"}; do say "  changed: $(printf '%q' "$path")"; done
  if [ ${#changed[@]} -gt "$most_shown" ]; then say "  changed: $((${#changed[@]} - most_shown)) more"; fi
}

# Sets changed to delivered files of the project and the resources that are not needed for the new product, and have
# other bytes than they were delivered with, or are gone.
find_changed() {
  local line all=() lines=() wrong=() output
  changed=()
  split_lines "$(comm -23 <(sort -- "$target/SHA256SUMS") <(sort -- "$update/product/SHA256SUMS" "$plan/sums"))"
  all=(${lines[@]+"${lines[@]}"}) lines=()
  for line in ${all[@]+"${all[@]}"}; do
    case $line in *'  pkg-cache/'*) ;; *) lines+=("$line") ;; esac
  done
  if [ ${#lines[@]} = 0 ]; then return; fi
  take_readable
  changed=(${wrong[@]+"${wrong[@]}"})
  if [ ${#lines[@]} = 0 ]; then return; fi
  output=$(failed_sums "$target" ${#lines[@]} printf '%s\n' "${lines[@]}") || :
  take_failed "$output"
  changed+=(${failed_paths[@]+"${failed_paths[@]}"})
}
