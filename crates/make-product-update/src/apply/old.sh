
# ---- The old product: whether it is one that this update begins with, and has what is needed of it.

# Sets base and plan, for the product in TARGET.
find_base() {
  local name
  base=''
  for name in "${bases[@]}"; do
    if [ "${facts[$name/from]}" = "$digest" ]; then base=$name; fi
  done
  if [ -n "$base" ]; then
    plan=$update/plan/$base
    return
  fi
  for name in "${bases[@]}"; do
    describe_product "$name/" "${facts[$name/from]}"
    note "this update begins with $REPLY"
  done
  fail 2 "$shown_target is another product (sha256:$digest): apply the updates in their order, one after the other, or have one made from this product (make-product-update --from), or carry the new product as a whole"
}

# Refuses to put an older product in the place of a newer one. Versions decide, where both
# are numbers with dots; else the times when they were made.
require_newer() {
  local order=unknown
  compare_versions "${facts[$base/version]-}" "${facts[version]-}"
  if [ "$order" = unknown ]; then compare_times "${facts[$base/made]-}" "${facts[made]-}"; fi
  if [ "$order" = newer ]; then return; fi
  describe_product "$base/" "$digest"
  local old=$REPLY
  describe_product '' "$to"
  if [ "$order" = unknown ]; then
    note "which is newer cannot be told by versions and times: $old, or $REPLY of this update"
  elif [ "$older" = yes ]; then
    warning "$old is newer than $REPLY of this update"
  else
    fail 2 "$shown_target is newer, $old, than $REPLY of this update; --older goes on all the same"
  fi
}

# Sets order to what the second version is.
compare_versions() {
  local pattern='^[0-9]{1,9}(\.[0-9]{1,9}){0,9}$' index one other
  if [[ ! $1 =~ $pattern ]] || [[ ! $2 =~ $pattern ]]; then return; fi
  local IFS=.
  # shellcheck disable=SC2206 # numbers and dots
  one=($1) other=($2)
  for ((index = 0; index < 10; index++)); do
    if ((10#${other[index]-0} > 10#${one[index]-0})); then order=newer && return; fi
    if ((10#${other[index]-0} < 10#${one[index]-0})); then order=older && return; fi
  done
}

compare_times() {
  local pattern='^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$'
  if [[ ! $1 =~ $pattern ]] || [[ ! $2 =~ $pattern ]]; then return; fi
  if [[ $2 > $1 ]]; then order=newer; elif [[ $2 < $1 ]]; then order=older; fi
}

# Other work goes on meanwhile.
begin_list_of_old() {
  exec {old_list}< <(list_old)
}

# Lists the old product but for its environments, a line each with size, time and path, sorted; the first says
# whether all of it could be looked at.
list_old() {
  cd -- "$target" 2>/dev/null && {
    # Else it would look for the local time zone with each line.
    TZ=UTC0 du -a0lb --time --time-style=+%s --exclude='./*/.pixi/envs/*/*' . 2>/dev/null
    printf '!%s\0' "$?"
  } | as_lines | sort
}

# Compares that list, which was begun earlier, with others, and sets what is found: changed_files, the files of the new product that
# it has not with their size and their time: lines with this time and the path; added, the paths that were added, both with \1 for line ends;
# old_is_listed, whether it has all.
take_list_of_old() {
  local line lines=() lost=()
  local -A encoded=()
  changed_files=() added=() old_is_listed=''
  if [ -z "$old_list" ]; then begin_list_of_old; fi
  split_lines "$(compare_list_of_old <&"$old_list")"
  exec {old_list}<&-
  for line in "${lines[@]}"; do
    case $line in
      '!0') old_is_listed=yes ;;
      '!1') old_is_listed=no ;;
      c*) changed_files+=("${line#c}") ;;
      $'a\t'*) lost+=("${line#??}") ;;
      # As they are on the disk.
      a*%*) printf -v line '%b' "${line//\%/\\x}" && encoded[${line//$newline/$line_end}]=yes ;;
    esac
  done
  if [ -z "$old_is_listed" ]; then fail 1 "the files of $shown_target could not be looked at: du or sort failed; nothing was changed"; fi
  for line in ${lost[@]+"${lost[@]}"}; do
    if [ -z "${encoded[a$line]-}" ] && ! is_listed_apart "$line"; then added+=("$line"); fi
  done
}

# Each line begins with what it is. So much text is not kept in the way of each new process.
compare_list_of_old() {
  local old
  old=$(cat)
  printf '%s\n' "${old%%"$newline"*}"
  comm -23 <(cut -f 2- -- "$update/plan/stats" | paste -d '\t./' - /dev/null /dev/null <(as_lines <"$update/plan/paths") | sort) <(printf '%s' "$old") | cut -f 2- | paste -d c /dev/null -
  comm -3 <(manifest_paths | sort) <(printf '%s' "$old" | cut -s -f 3- | cut -c 3- | sort) | paste -d a /dev/null -
}

manifest_paths() {
  cut -s -d '"' -f 4 -- "$target/manifest.json" 2>/dev/null || :
}

# Requires that what is needed of the old product is in real directories of it. What is not there at all is found
# by its digest.
require_dirs_of_old() {
  local path dir lines=() wrong=()
  local -A seen=()
  # What stays where it is, is in directories of the new product.
  case $(stats_of_dirs | cut -c 1 | sort -u) in
    '' | 4) ;;
    *)
      split_lines "$(stats_of_dirs)"
      for path in "${lines[@]}"; do
        dir=${path#* }
        case $path in 4*) ;; *) if has_needed "$dir"; then wrong+=("${dir//$line_end/$newline}"); fi ;; esac
      done
      ;;
  esac
  for dir in ${elsewhere_old[@]+"${elsewhere_old[@]}"}; do
    while :; do
      case $dir in */*) dir=${dir%/*} ;; *) break ;; esac
      if [ -n "${seen[x$dir]-}" ]; then break; fi
      seen[x$dir]=yes
      if [ -L "$target/$dir" ] || { [ -e "$target/$dir" ] && [ ! -d "$target/$dir" ]; }; then wrong+=("$dir"); fi
    done
  done
  if [ ${#wrong[@]} -gt 0 ]; then
    show_paths "in $shown_target, and no directory" "${wrong[@]}"
    refuse_old
  fi
}

# What the directories of the new product are in the old one, a line each.
stats_of_dirs() (
  cd -- "$target" || exit
  while next_records "$batch"; do with_records stat --printf='%f %n\0' -- 2>/dev/null || :; done 3<"$update/plan/dirs" | as_lines
)

# Whether something that stays where it is is below this path.
has_needed() (
  all=$(kept_lines)
  case $newline$all in *"$newline$1"/*) ;; *) return 1 ;; esac
)

refuse_old() {
  fail 2 "$shown_target is not as it was delivered, and this update needs it so; put these back (from its archive, or from a copy), or carry the new product as a whole; nothing was changed"
}

# The lines of what is needed whose files are to be read before anything is written: but for what stays in the
# package cache with its size and its time, whose bytes are compared once they are copied.
lines_to_read() {
  local paths
  paths=$(paths_to_read) || return
  if [ -z "$paths" ]; then
    cat -- "$plan/sums"
    return
  fi
  # With a number as long as a digest before each path, it differs by that alone from a line of SHA256SUMS.
  paths=$(printf '%s\n' "$paths" | nl -b a -n rz -w 64 -s '  ' | sort -s -k 1.67 -- "$update/product/SHA256SUMS" - | uniq -s 66 -d) || return
  print_lines "$paths" | sort -u -k 1.67 -- "$plan/sums" -
}

# Those of what stays where it is that are to be read, a line each, sorted.
paths_to_read() {
  if [ "$only_look" = yes ]; then
    kept_lines
  else
    print_lines ${changed_files[@]+"${changed_files[@]}"} | cut -f 2- | cut -c 3- | sort | comm --nocheck-order -12 - <(kept_lines)
  fi
}

kept_lines() {
  sort -zm -- "$plan/in-trees" "$plan/kept" | as_lines
}

# Requires each file that is needed of the old product to be there, with its bytes; names
# all that are not.
require_files_of_old() {
  local lines=() wrong=() output code=0
  require_dirs_of_old
  output=$(lines_to_read && printf 'end\n') || output=''
  split_lines "$output"
  if [ ${#lines[@]} = 0 ] || [ "${lines[${#lines[@]} - 1]}" != end ]; then
    fail 1 "the files of $shown_target could not be looked at: sort or uniq failed; nothing was changed"
  fi
  unset "lines[${#lines[@]} - 1]"
  if [ ${#lines[@]} -gt 0 ] && ! are_readable; then take_readable; fi
  require_links_of_old
  if [ ${#lines[@]} -gt 0 ]; then
    output=$(failed_sums "$target" ${#lines[@]} printf '%s\n' "${lines[@]}") || code=$?
    take_failed "$output"
    wrong+=(${failed_paths[@]+"${failed_paths[@]}"})
  fi
  if [ ${#wrong[@]} -gt 0 ]; then
    show_paths "missing in $shown_target, or not as it was delivered" "${wrong[@]}"
    refuse_old
  fi
  if [ "$code" != 0 ]; then fail 1 "sha256sum failed or was ended while it compared $shown_target; nothing was changed"; fi
}

# Whether all files of the lines can be read to their ends: regular files, of which none has more bytes than the whole
# new product. Names with escapes are left to take_readable.
are_readable() {
  local all=("${lines[@]}") text largest
  text=$(printf '%s\n' "${lines[@]}" | cut -c 67-)
  case "${lines[*]}" in *\\*) return 1 ;; esac
  split_lines "$text"
  text=$(in_dir "$target" in_parts 3 stat --printf='%f %s\n' -- "${lines[@]}" 2>/dev/null) || text=''
  lines=("${all[@]}")
  if [ "$(printf '%s\n' "$text" | cut -c 1 | uniq)" != 8 ] || [ "$(printf '%s\n' "$text" | wc -l)" != ${#all[@]} ]; then return 1; fi
  largest=$(printf '%s\n' "$text" | cut -d ' ' -f 2 | sort -n | tail -n 1)
  [ ${#largest} -lt 16 ] && [ "$largest" -le "${facts[bytes]}" ]
}

# Leaves those of the lines whose files can be read so, and adds the other paths to wrong.
take_readable() {
  local line plain=() paths=() found=() index
  for line in "${lines[@]}"; do
    unescaped "${line#*  }" "$line"
    if is_plain_file "$target/$REPLY"; then plain+=("$line") paths+=("$REPLY"); else wrong+=("$REPLY"); fi
  done
  lines=()
  if [ ${#paths[@]} = 0 ]; then return; fi
  # shellcheck disable=SC2207 # numbers
  found=($(in_dir "$target" in_parts 4 stat -c %s -- "${paths[@]}" 2>/dev/null || :))
  for index in "${!paths[@]}"; do
    case ${found[index]-} in '' | ????????????????*) line=no ;; *) line=yes ;; esac
    if [ "$line" = yes ] && [ "${found[index]}" -le "${facts[bytes]}" ]; then
      lines+=("${plain[index]}")
    else
      wrong+=("${paths[index]}")
    fi
  done
}

# Adds links to wrong that are to be copied out of the old product, and do not lead where they did.
require_links_of_old() {
  local link_paths link_targets
  read_links "$plan/old-links"
  find_wrong_links "$target"
  wrong+=(${wrong_links[@]+"${wrong_links[@]}"})
}

# Sets link_paths and link_targets to the two halves of a list.
read_links() {
  local half
  link_paths=() link_targets=()
  while next_records "$batch"; do link_targets+=("${records[@]}"); done 3<"$1"
  half=$((${#link_targets[@]} / 2))
  if [ "$half" = 0 ]; then return; fi
  link_paths=("${link_targets[@]:0:half}") link_targets=("${link_targets[@]:half}")
}

# Sets wrong_links to those of link_paths that do not lead to link_targets in a directory.
find_wrong_links() {
  local index found=() shown
  wrong_links=()
  if [ ${#link_paths[@]} = 0 ]; then return; fi
  shown=$(in_dir "$1" in_parts 3 readlink -z -- "${link_paths[@]}" 2>/dev/null | sha256sum) || :
  if [ "$shown" = "$(print_records "${link_targets[@]}" | sha256sum)" ]; then return; fi
  while IFS= read -r -d '' shown; do found+=("$shown"); done < <(in_dir "$1" in_parts 3 readlink -z -- "${link_paths[@]}" 2>/dev/null)
  for index in "${!link_paths[@]}"; do
    if [ ${#found[@]} = ${#link_paths[@]} ]; then
      shown=${found[index]}
    else
      shown=$(in_dir "$1" readlink -z -- "${link_paths[index]}" 2>/dev/null | tr '\000' x) || shown=''
      shown=${shown%x}
    fi
    if [ ! -L "$1/${link_paths[index]}" ] || [ "$shown" != "${link_targets[index]-}" ]; then
      wrong_links+=("${link_paths[index]}")
    fi
  done
}
