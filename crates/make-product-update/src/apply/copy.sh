
# ---- The new product, made beside the old one.

# Requires room for it; where the file system shares what is copied, the new files alone take room.
require_free_space() {
  local needed=${facts[bytes]} entries=$((facts[files] + facts[directories] + facts[links])) room inodes
  # Blocks are not filled to their ends.
  needed=$((needed + entries * 2048))
  if [ "$hard_links" = yes ]; then needed=$((facts[$base/new-bytes] + entries * 512)); fi
  room=$(free_of avail -B1) inodes=$(free_of iavail)
  if [ -n "$room" ] && [ "$room" -lt "$needed" ] && shares_copies; then needed=$((facts[$base/new-bytes] + entries * 512)); fi
  if [ -n "$room" ] && [ "$room" -lt "$needed" ]; then
    fail 2 "too little space in $shown_parent: the new product needs $needed bytes, and $room are free; make room (an earlier product that is no longer needed, for example), or use --hard-links; nothing was changed"
  fi
  # Some file systems have no fixed number, and say 0.
  if [ -n "$inodes" ] && [ "$inodes" != 0 ] && [ "$inodes" -lt "$entries" ]; then
    fail 2 "too few inodes in $shown_parent: the new product needs $entries, and $inodes are free; nothing was changed"
  fi
}

# Prints how much of a column of df is free where the new product will be; nothing where df does not tell.
free_of() {
  local line number=''
  while read -r line; do number=$line; done < <(df "--output=$1" "${@:2}" -- "$parent" 2>/dev/null)
  case $number in '' | *[!0-9]*) ;; *) printf '%s' "$number" ;; esac
}

# Whether copies share their blocks with what they are copies of.
shares_copies() {
  local code=0
  cp --reflink=always -- "$target/SHA256SUMS" "$unfinished.probe" 2>/dev/null || code=1
  rm -f -- "$unfinished.probe"
  return "$code"
}

# Makes the new product under a name that says it is unfinished. What fails leaves the old one as it is.
make_product() {
  running=() work_failed=no
  mkdir -m 0700 -- "$unfinished" || fail 1 "the new product cannot be made beside $shown_target"
  making=yes
  # Closed to all others, so that modes can be those of the files from the start.
  umask 0000
  if ! { copy_files && finish_work && make_dirs && give_modes_and_times && make_links; } 2> >(show_first_line); then
    give_up "the new product could not be made"
  fi
}

# Removes what was made of the new product, and ends.
give_up() {
  finish_work 2>/dev/null || :
  remove_product "$unfinished" "$new_short" && making=no
  fail 1 "$1, so it was removed; $shown_target is as it was"
}

# The first that goes wrong is the reason of the others. A signal to the whole process group ends
# what writes here, and then this.
show_first_line() {
  local line=''
  trap '' HUP INT TERM
  IFS= read -r line || return 0
  line=${line#ERROR: }
  printf 'ERROR: %s\n' "${line//[![:print:]]/?}"
  while IFS= read -r line; do :; done
} >&2

# Those of the new product that are not there yet.
make_dirs() {
  # Most have this mode.
  (umask 0022 && with_list "$unfinished" "$update/plan/dirs" mkdir -p --)
}

copy_files() {
  local path
  local -A trees=() broken=()
  find_broken_trees
  if [ "$hard_links" = yes ] || [ ${#broken[@]} -gt 0 ]; then
    require_homes with_list / "$plan/in-trees" dirname -z --
    make_dirs || return
  else
    (umask 0022 && with_list "$unfinished" "$plan/dirs" mkdir -p --) || return
  fi
  start bring_small || return
  if [ "$hard_links" = yes ]; then
    find_linkable
    copy_or_link "$plan/in-trees" && copy_or_link "$plan/kept" || return
  else
    copy_trees && copy_paths_of_broken_trees && copy_kept || return
  fi
  copy_moved || return
  while next_records 2; do
    start cp "${as_it_is[@]}" -T -- "$target/${records[0]}" "$unfinished/${records[1]}" || return
  done 3<"$plan/renamed"
  bring_large || return
  for path in "${!listed[@]}"; do
    case $path in xproduct/*) cp "${as_it_is[@]}" -T -- "$update/${path#x}" "$unfinished/${path#xproduct/}" || return ;; esac
  done
}

# How cp copies: links as links, with times. What is no file is copied as what it is, so that nothing waits for a pipe;
# it is found when the new product is compared.
as_it_is=(-R -P --preserve=timestamps --reflink=auto)

# Sets broken to the directories of plan/trees in which something was added: they are not copied as a whole. \1
# stands for line ends.
find_broken_trees() {
  local path
  if [ ${#added[@]} = 0 ]; then return; fi
  while IFS= read -r -d '' path; do trees[x${path//$newline/$line_end}]=yes; done <"$plan/trees"
  for path in "${added[@]}"; do
    if find_tree "$path"; then broken[x$tree]=yes; fi
  done
}

# Sets tree to the one of plan/trees that a path is in.
find_tree() {
  tree=$1
  while [ -z "${trees[x$tree]-}" ]; do
    case $tree in */*) tree=${tree%/*} ;; *) return 1 ;; esac
  done
}

copy_trees() {
  local size path whole=()
  while IFS= read -r -d '' path; do
    if [ -z "${broken[x${path//$newline/$line_end}]-}" ]; then whole+=("$path"); fi
  done <"$plan/trees"
  # Several times as many parts as processes: none of these waits long for the others.
  size=$((${#whole[@]} / (4 * processes) + 1))
  set -- ${whole[@]+"${whole[@]}"}
  while [ $# -gt 0 ]; do
    start copy_paths "$target" "$unfinished" "${@:1:size}" || return
    shift $((size < $# ? size : $#))
  done
}

copy_paths_of_broken_trees() {
  local path paths tree=/
  if [ ${#broken[@]} = 0 ]; then return; fi
  while next_records "$batch"; do
    paths=()
    for path in "${records[@]}"; do
      # Those of one come one after the other.
      case $path in "$tree"/*) ;; *) find_tree "${path//$newline/$line_end}" || : ;; esac
      if [ -n "${broken[x$tree]-}" ]; then paths+=("$path"); fi
    done
    if [ ${#paths[@]} -gt 0 ]; then start copy_paths "$target" "$unfinished" "${paths[@]}" || return; fi
  done 3<"$plan/in-trees"
}

copy_kept() {
  while next_records "$batch"; do start copy_paths "$target" "$unfinished" "${records[@]}" || return; done 3<"$plan/kept"
}

# Copies paths below one directory to the same paths below another.
copy_paths() {
  local from=$1 to=$2
  shift 2
  cd -- "$from" && in_parts 9 cp "${as_it_is[@]}" --parents -t "$to" -- "$@"
}

copy_moved() {
  local from to path paths
  while IFS= read -r -d '' from <&4 && IFS= read -r -d '' to <&4; do
    paths=()
    while IFS= read -r -d '' path <&4 && [ -n "$path" ]; do paths+=("$path"); done
    if [ ${#paths[@]} -gt 0 ]; then start copy_paths "$target/$from" "$unfinished/$to" "${paths[@]}" || return; fi
  done 4<"$plan/moved"
}

# Sets linkable: paths that may share a file with the old product. Nothing of the project, no lock
# and no git repository, which programs write into; and what has another mode or time is copied.
find_linkable() {
  local path lines=()
  linkable=()
  split_lines "$(comm -12 <(as_lines <"$update/plan/paths" | paste -- "$update/plan/stats" - | sort) <(stats_of_kept | as_lines | sort) | cut -f 4-)"
  for path in ${lines[@]+"${lines[@]}"}; do
    # A name with a line end is none that is found here: it is copied.
    case $path in
      *.lock | */.git | */.git/* | *.git/* | pkg-cache/uv-cache/git-*) ;;
      pkg-cache/*) linkable[x$path]=yes ;;
    esac
  done
}

stats_of_kept() {
  local list
  cd -- "$target" || return
  for list in in-trees kept; do
    while next_records "$batch"; do with_records stat --printf='%f\t%s\t%Y\t%n\0' -- 2>/dev/null || :; done 3<"$plan/$list"
  done
}

copy_or_link() {
  local path copied linked
  while next_records "$batch"; do
    copied=() linked=()
    for path in "${records[@]}"; do
      if [ -n "${linkable[x$path]-}" ]; then linked+=("$path"); else copied+=("$path"); fi
    done
    if [ ${#copied[@]} -gt 0 ]; then start copy_paths "$target" "$unfinished" "${copied[@]}" || return; fi
    if [ ${#linked[@]} -gt 0 ]; then start link_paths_to_old "${linked[@]}" || return; fi
  done 3<"$1"
}

link_paths_to_old() {
  cd -- "$target" && in_parts 7 cp --parents -P --link -t "$unfinished" -- "$@"
}

# Files whose content the update brings: small ones without a process each. bash keeps no NUL, so each file has one too
# many at its end unless it has one there itself, as its size tells.
bring_small() {
  local index chunks sum small=() wanted=() found=() records=()
  cd -- "$unfinished" || return
  set -C
  for index in ${content_sums[@]+"${!content_sums[@]}"}; do
    if [ "${content_sizes[index]}" -gt "$most_by_bash" ]; then continue; fi
    sum=${content_sums[index]}
    mapfile -t -d '' chunks <"$update/files/${sum:0:2}/$sum" || return
    printf '%s\0' ${chunks[@]+"${chunks[@]}"} >"./${brought[index]}" || return
    records+=("${brought[index]}") wanted+=("${content_sizes[index]}")
  done
  if [ ${#records[@]} = 0 ]; then return; fi
  # shellcheck disable=SC2207 # numbers
  found=($(with_records stat --printf='%s\n' --))
  small=("${records[@]}") records=()
  for index in "${!small[@]}"; do
    if [ "${found[index]}" != "${wanted[index]}" ]; then records+=("${small[index]}"); fi
  done
  if [ ${#records[@]} -gt 0 ]; then with_records truncate -s -1 --; fi
}

bring_large() {
  local index sum
  for index in ${content_sums[@]+"${!content_sums[@]}"}; do
    if [ "${content_sizes[index]}" -le "$most_by_bash" ]; then continue; fi
    sum=${content_sums[index]}
    start cp "${as_it_is[@]}" -T -- "$update/files/${sum:0:2}/$sum" "$unfinished/${brought[index]}" || return
  done
}

# The modes of what the update brings, whose own files may have any, and the times of what has not those of the old product.
give_modes_and_times() {
  local line named=() index=0
  local -A modes=() times=()
  for index in ${content_modes[@]+"${!content_modes[@]}"}; do
    named[index]=${brought[index]}
    modes[x${content_modes[index]}]+=" $index"
  done
  index=${#content_modes[@]}
  for line in "${!listed[@]}"; do
    case $line in xproduct/*) ;; *) continue ;; esac
    named[index]=${line#xproduct/}
    modes[x81a4]+=" $index"
    index=$((index + 1))
  done
  for line in "${changed_files[@]}"; do
    named[index]=${line#*$'\t./'}
    times[x${line%%$'\t'*}]+=" $index"
    index=$((index + 1))
  done
  named=("${named[@]//$line_end/$newline}")
  local records=("${named[@]}")
  require_names print_records "${records[@]}"
  require_homes with_records dirname -z --
  set_modes "$unfinished" && set_times "$unfinished"
}

# Links last: nothing is ever written through one. Those that are named as what they lead to
# come first, many with one process.
make_links() {
  local to dir name last='' same_names=()
  while IFS= read -r -d '' to && IFS= read -r -d '' dir && IFS= read -r -d '' name; do
    if [ "${to##*/}" = "$name" ] && [ -n "$name" ]; then
      if [ "$dir" != "$last" ] && [ ${#same_names[@]} -gt 0 ]; then
        in_parts 5 ln -s -t "$unfinished/$last" -- "${same_names[@]}" || return
        same_names=()
      fi
      same_names+=("$to") last=$dir
    else
      ln -s -T -- "$to" "$unfinished/$dir/$name" || return
    fi
  done <"$plan/links"
  if [ ${#same_names[@]} -gt 0 ]; then in_parts 5 ln -s -t "$unfinished/$last" -- "${same_names[@]}"; fi
}
