
# ---- Whether the paths of the plan lead nowhere out of a product.

# Requires of the new product's lists that each path is there once, and that directories and links are below its top, and
# directories in one another. What is written is looked at later, with the plan for a base.
require_paths_of_plan() {
  local counts
  require_names dirs_and_links
  require_homes with_list / "$update/plan/dirs" dirname -z --
  # shellcheck disable=SC2207 # numbers
  counts=($(count_records <"$update/plan/paths" && wc -l <"$update/plan/stats" && count_records <"$update/plan/dirs" && wc -l <"$update/plan/dir-stats"))
  if [ "${counts[*]} ${#link_paths[@]} ${#link_targets[@]}" != "${facts[files]} ${facts[files]} ${facts[directories]} ${facts[directories]} ${facts[links]} ${facts[links]}" ]; then
    fail 1 'the update is damaged: its plan does not have as many entries as it says'
  fi
  # In order, they are quickly merged.
  if ! is_each_once 2>/dev/null; then
    fail 1 'the plan of the update has a path more than once, or not in its order; nothing was changed'
  fi
  require_sums_of_plan
}

# Whether each path of the lists is there once, in order.
is_each_once() {
  sort -zcu -- "$update/plan/paths" && sort -zcu -- "$update/plan/dirs" && print_links | sort -zcu &&
    [ "$(sort -zm -- "$update/plan/paths" "$update/plan/dirs" <(print_links) | uniq -zd | wc -c)" = 0 ]
}

# Requires that paths which a command prints are relative, and have no name that leads elsewhere.
require_names() {
  local path all wrong=()
  # Put together as one path, they are all looked at in one go; not here, where so much would stay in the way of each new
  # process.
  if (all=$("$@" | tr '\000' / && printf x) && is_path_below "$all"); then return; fi
  while IFS= read -r -d '' path; do
    if ! is_path_below "$path"; then wrong+=("$path"); fi
  done < <("$@")
  refuse_paths ${wrong[@]+"${wrong[@]}"}
}

# Whether a path is relative, and has no name that leads elsewhere.
is_path_below() {
  case /$1/ in *//* | */./* | */../*) return 1 ;; esac
}

refuse_paths() {
  show_paths 'in the plan of the update' "$@"
  fail 1 'the plan of the update has paths that no product has (absolute, with .., or in no directory of it); nothing was changed'
}

count_records() {
  tr -dc '\000' | wc -c
}

dirs_and_links() {
  cat -- "$update/plan/dirs"
  print_links
}

print_links() {
  print_records ${link_paths[@]+"${link_paths[@]}"}
}

# Requires that directories which a command prints are some of the new product's: nothing is ever written outside, or
# through a link.
require_homes() {
  local path wrong=()
  while IFS= read -r -d '' path; do wrong+=("$path"); done < <(comm -23 <("$@" | swap_ends | uniq | sort -u) <({
    printf '.\0'
    cat -- "$update/plan/dirs"
  } | swap_ends | sort) | swap_ends)
  if [ ${#wrong[@]} -gt 0 ]; then refuse_paths "${wrong[@]}"; fi
}

# What is written by itself, and where that is read.
written_paths() {
  cat -- "$plan/kept"
  print_records ${elsewhere_new[@]+"${elsewhere_new[@]}"} ${elsewhere_old[@]+"${elsewhere_old[@]}"} ${brought[@]+"${brought[@]}"}
}

# The directories that it is written to, and whole directories.
homes_of_written() {
  local records=(${elsewhere_new[@]+"${elsewhere_new[@]}"} ${brought[@]+"${brought[@]}"})
  if [ ${#records[@]} -gt 0 ]; then with_records dirname -z --; fi
  with_list / "$plan/kept" dirname -z --
  cat -- "$plan/trees" "$plan/dirs"
}

# Requires that SHA256SUMS of the new product has each of its files once.
require_sums_of_plan() {
  local paths
  # Lists that are in order are quickly compared.
  paths=$(sort -zm -- <(paths_of_sums) <(lines_apart | paths_of_lines) | sha256sum)
  if [ "${paths%% *}" = "${listed[xplan/paths]}" ]; then return; fi
  paths=$(sort -z -- <(paths_of_sums) <(lines_apart | paths_of_lines) | sha256sum)
  if [ "${paths%% *}" != "${listed[xplan/paths]}" ]; then
    fail 1 'the update is damaged: SHA256SUMS of the new product does not have the files that the plan makes'
  fi
}

paths_of_lines() {
  cut -c 67- | tr '\n' '\000'
}

# The paths in SHA256SUMS of the new product.
paths_of_sums() {
  local line sums=$update/product/SHA256SUMS
  if [ "$(tr -dc '\134' <"$sums" | wc -c)" = 0 ]; then
    paths_of_lines <"$sums"
    return
  fi
  # bash reads files many times as fast as pipes.
  while IFS= read -r line; do
    unescaped "${line#*  }" "$line"
    printf '%s\0' "$REPLY"
  done <"$sums"
}

# Requires that the plan for this base makes each file and link of the new product once, in its directories.
require_plan_is_complete() {
  local made wanted
  read_elsewhere
  made=$(sort -zm -- "$plan/in-trees" "$plan/kept" <({
    print_records ${elsewhere_new[@]+"${elsewhere_new[@]}"} ${brought[@]+"${brought[@]}"}
    print_evidence
  } | sort -z) | sha256sum)
  wanted=$(sort -zm -- "$update/plan/paths" <(print_links) | sha256sum)
  if [ "$made" != "$wanted" ]; then
    fail 1 "the update is damaged: its plan for $base does not make each file of the new product once"
  fi
  require_names written_paths
  require_homes homes_of_written
}

# The files that are in product/ of the update.
print_evidence() {
  local path
  for path in "${!listed[@]}"; do
    case $path in xproduct/*) printf '%s\0' "${path#xproduct/}" ;; esac
  done
}

# Sets elsewhere_old and elsewhere_new: what is copied to another path than it has in the old product, and these paths;
# brought, the paths of what it does not have; and of the files among these content_sums, content_sizes and content_modes.
read_elsewhere() {
  local from to path index
  elsewhere_old=() elsewhere_new=() brought=() content_sums=() content_sizes=() content_modes=()
  while IFS= read -r -d '' from && IFS= read -r -d '' to; do
    case $from in .) from='' ;; *) from=$from/ ;; esac
    case $to in .) to='' ;; *) to=$to/ ;; esac
    while IFS= read -r -d '' path && [ -n "$path" ]; do elsewhere_old+=("$from$path") elsewhere_new+=("$to$path"); done
  done <"$plan/moved"
  while next_records 2; do elsewhere_old+=("${records[0]}") elsewhere_new+=("${records[1]-}"); done 3<"$plan/renamed"
  while next_records $((4 * batch)); do
    for ((index = 0; index < ${#records[@]}; index += 4)); do
      content_sums+=("${records[index]}") content_sizes+=("${records[index + 1]-}")
      content_modes+=("${records[index + 2]-}") brought+=("${records[index + 3]-}")
    done
  done 3<"$plan/new"
  while next_records 3; do
    path=${records[1]-}/${records[2]-}
    brought+=("${path#./}")
  done 3<"$plan/links"
}
