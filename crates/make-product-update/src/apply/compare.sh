
# ---- Whether what was made is the new product, to the byte.

# Compares everything in a directory with the lists of the new product: nothing but what they have is
# there, each of its kind, with its bytes, mode and time. Sets what is right already, but for its mode or its
# time. 1 with one line for people where it is not so.
is_new_product() {
  local dir=$1 wrong=() output code=0
  require_entries "$dir" && settle_files "$dir" || return
  find_wrong_links "$dir"
  wrong=(${wrong_links[@]+"${wrong_links[@]}"})
  if [ ${#wrong[@]} = 0 ]; then
    output=$(failed_sums "$dir" "${facts[files]}" new_sums) || code=$?
    take_failed "$output"
    wrong=(${failed_paths[@]+"${failed_paths[@]}"})
  fi
  if [ ${#wrong[@]} -gt 0 ]; then
    show_paths 'not as it is listed, in the new product' "${wrong[@]}"
    return 1
  elif [ "$code" != 0 ]; then
    say 'ERROR: sha256sum failed or was ended while it compared the new product'
    return 1
  fi
  settle_dirs "$dir"
}

# Requires that a directory has as many entries as the lists: all of these are looked at one by one, so nothing
# else is there then. Files are compared by their modes, too; a directory that its own mode closes is closed at the end.
require_entries() {
  local count entries=$((facts[files] + facts[directories] + facts[links])) headings=$((2 * facts[directories] + 1))
  # The name of each directory, and a line between two.
  # shellcheck disable=SC2012 # coreutils has no find
  count=$(ls -1AbRU -- "$1" 2>/dev/null | wc -l) || count=$headings
  if [ "$count" = $((entries + headings)) ]; then return; fi
  say "ERROR: the new product has $((count - headings)) entries, and $entries are listed"
  return 1
}

# The digests of all files of the new product.
new_sums() {
  cat -- "$update/product/SHA256SUMS"
  lines_apart
}

# The digests of those that SHA256SUMS does not have.
lines_apart() {
  local name
  for name in SHA256SUMS{,.minisig} changes.json{,.minisig} provenance.json{,.minisig} report.html verification.json{,.minisig}; do
    if [ -n "${listed[xproduct/$name]-}" ]; then printf '%s  %s\n' "${listed[xproduct/$name]}" "$name"; fi
  done
}

# Compares kind, mode, size and time of each file; what has another mode or time is given the right one.
settle_files() {
  local share
  running=() work_failed=no
  for ((share = 0; share < processes; share++)); do start is_share_settled "$1" "$share" || :; done
  if finish_work; then return; fi
  work_failed=no
  change_files "$1"
}

# Whether the files of a share, one of as many as there are processes, are as they are listed.
is_share_settled() {
  local first=$((facts[files] * $2 / processes)) end=$((facts[files] * ($2 + 1) / processes)) found wanted
  found=$(cd -- "$1" && stats_of_share "$first" $((end - first)) | sha256sum)
  wanted=$(head -n "$end" -- "$update/plan/stats" | tail -n $((end - first)) | sha256sum)
  [ "$found" = "$wanted" ]
}

# Prints what files are: so many, but for the first ones.
stats_of_share() {
  local left=$1
  while [ "$left" -gt 0 ] && next_records $((left < batch ? left : batch)); do left=$((left - ${#records[@]})); done
  left=$2
  while [ "$left" -gt 0 ] && next_records $((left < batch ? left : batch)); do
    left=$((left - ${#records[@]}))
    stat --printf='%f\t%s\t%Y\n' -- "${records[@]}" 2>/dev/null || {
      # Too many for one command, perhaps.
      [ $? = 126 ] && with_records stat --printf='%f\t%s\t%Y\n' -- 2>/dev/null || return
    }
  done
} 3<"$update/plan/paths"

# Gives files the modes and times that are listed, batch by batch.
change_files() {
  local found wanted
  while next_records "$batch" && mapfile -t -n "$batch" -u 4 wanted; do
    if is_batch_settled "$1"; then continue; fi
    change_batch "$1" || return
    if ! is_batch_settled "$1"; then
      say "ERROR: this file system does not keep the modes or the times of files"
      return 1
    fi
  done 3<"$update/plan/paths" 4<"$update/plan/stats"
}

# Whether records are as wanted says. Sets found to what they are.
is_batch_settled() {
  local IFS=$'\n'
  found=$(cd -- "$1" && with_records stat --printf='%f\t%s\t%Y\n' -- 2>/dev/null) || return
  [ "$found" = "${wanted[*]}" ]
}

change_batch() {
  local index lines named=("${records[@]}")
  local -A modes=() times=()
  require_names print_records "${records[@]}"
  require_homes with_records dirname -z --
  split_lines "$found"
  if [ ${#lines[@]} != ${#records[@]} ]; then
    say 'ERROR: files of the new product are missing'
    return 1
  fi
  for index in "${!named[@]}"; do
    if [ "${lines[index]}" != "${wanted[index]}" ]; then change_file || return; fi
  done
  set_modes "$1" && set_times "$1"
}

# Keeps what is to be set of one file, by its place in named.
change_file() {
  local is should
  IFS=$'\t' read -r -a is <<<"${lines[index]}"
  IFS=$'\t' read -r -a should <<<"${wanted[index]}"
  case ${is[0]},${should[0]-} in 8[0-9a-f][0-9a-f][0-9a-f],8[0-9a-f][0-9a-f][0-9a-f]) ;; *) is[1]=none ;; esac
  if [ "${is[1]}" != "${should[1]-}" ]; then
    printf 'ERROR: not as it is listed, in the new product: %q\n' "${named[index]}" >&2
    return 1
  fi
  if [ "${is[0]}" != "${should[0]}" ]; then modes[x${should[0]}]+=" $index"; fi
  if [ "${is[2]}" != "${should[2]-}" ]; then times[x${should[2]-}]+=" $index"; fi
}

# Gives the files and directories in named the modes that have them.
set_modes() {
  local mode index paths octal
  for mode in ${modes[@]+"${!modes[@]}"}; do
    case ${mode#x} in [48][0-9a-f][0-9a-f][0-9a-f]) ;; *) return 1 ;; esac
    paths=()
    for index in ${modes[$mode]}; do paths+=("${named[index]}"); done
    # With five digits a directory loses the bits that it got from the one that it is in.
    printf -v octal '%05o' $((0x${mode#x} & 07777))
    in_dir "$1" in_parts 3 chmod "$octal" -- "${paths[@]}" || return
  done
}

set_times() {
  local seconds index paths
  for seconds in ${times[@]+"${!times[@]}"}; do
    case ${seconds#x} in '' | *[!0-9-]* | ?*-* | ????????????????*) return 1 ;; esac
    paths=()
    for index in ${times[$seconds]}; do paths+=("${named[index]}"); done
    in_dir "$1" in_parts 5 touch -m -c -d "@${seconds#x}" -- "${paths[@]}" || return
  done
}

# Gives directories their modes, and compares them.
settle_dirs() {
  local dir=$1 index mode named=() wanted=() closed=()
  local -A modes=()
  if are_dirs_settled "$dir"; then return; fi
  while next_records "$batch"; do named+=("${records[@]}"); done 3<"$update/plan/dirs"
  mapfile -t wanted <"$update/plan/dir-stats"
  # What is in a directory comes before it: its own mode may close it.
  for ((index = ${#named[@]} - 1; index >= 0; index--)); do
    mode=${wanted[index]}
    case $mode in 4[0-9a-f][0-9a-f][0-9a-f]) ;; *) return 1 ;; esac
    if (((0x$mode & 0700) == 0700)); then modes[x$mode]+=" $index"; else closed+=("$index"); fi
  done
  set_modes "$dir" || return
  for index in ${closed[@]+"${closed[@]}"}; do
    modes=([x${wanted[index]}]=" $index")
    set_modes "$dir" || return
  done
  if are_dirs_settled "$dir"; then return; fi
  say 'ERROR: this file system does not keep the modes of directories'
  return 1
}

are_dirs_settled() {
  local found
  found=$(with_list "$1" "$update/plan/dirs" stat --printf='%f\n' -- 2>/dev/null | sha256sum) || return
  [ "${found%% *}" = "${listed[xplan/dir-stats]}" ]
}
