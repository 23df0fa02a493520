
# ---- Whether the update is whole, and nothing else.

# Sets update, the directory of this script, without losing a line end in its name.
find_update() {
  local script=${BASH_SOURCE[0]}
  case $script in */*) ;; *) script=./$script ;; esac
  update=$(CDPATH='' cd -P -- "${script%/*}/" >/dev/null && pwd -P && printf x)
  update=${update%?x}
}

# Keeps of PATH what is absolute and outside of these directories: no program of an update
# or a product is run, also where `.` or a product's bin/ is on PATH.
keep_off_path() {
  PATH=$(path_outside "$@" && printf x)
  PATH=${PATH%x}
  # An empty one means the working directory.
  PATH=${PATH:-/usr/bin:/bin}
}

path_outside() (
  CDPATH='' path_left=$PATH: kept=''
  while [ -n "$path_left" ]; do
    entry=${path_left%%:*} path_left=${path_left#*:}
    case $entry in /*) ;; *) continue ;; esac
    if cd -P -- "$entry" >/dev/null 2>&1; then
      for dir; do
        case $PWD/ in "$dir"/*) continue 2 ;; esac
      done
    fi
    kept=$kept:$entry
  done
  printf '%s' "${kept#:}"
)

# Whether a path is one that an update has: no other is looked at, whatever a list says.
is_path_of_update() {
  local name
  case $1 in
    README.txt | apply-update.sh | update.json | plan/facts | plan/dirs | plan/dir-stats | plan/paths | plan/stats | plan/links) ;;
    plan/*/facts | plan/*/dirs | plan/*/trees | plan/*/in-trees | plan/*/kept | plan/*/moved | plan/*/renamed | plan/*/new | plan/*/links | plan/*/old-links | plan/*/sums)
      name=${1#plan/}
      name=${name%/*}
      case $name in *[!0-9a-f]*) return 1 ;; ????????????) ;; *) return 1 ;; esac
      ;;
    product/*) is_listed_apart "${1#product/}" ;;
    files/*)
      name=${1##*/}
      case $name in *[!0-9a-f]*) return 1 ;; esac
      [ ${#name} = 64 ] && [ "$1" = "files/${name:0:2}/$name" ]
      ;;
    *) return 1 ;;
  esac
}

# The files that product/ may have: the lists, and what is written after them.
is_listed_apart() {
  case $1 in
    manifest.json | sbom.cdx.json | report.html) ;;
    SHA256SUMS | provenance.json | verification.json | changes.json) ;;
    SHA256SUMS.minisig | provenance.json.minisig | verification.json.minisig | changes.json.minisig) ;;
    *) return 1 ;;
  esac
}

# Sets listed: the digest of each path in the update's SHA256SUMS; and the lines of that: content_lines, those of what is
# in files/, and list_lines, the others.
read_update_sums() {
  local line path sum lines=()
  listed=()
  content_lines=() list_lines=()
  if ! is_plain_file "$update/SHA256SUMS"; then
    fail 1 "the update in $shown_update has no SHA256SUMS; copy it again, as a whole"
  fi
  mapfile -t -n 4000000 lines <"$update/SHA256SUMS"
  for line in ${lines[@]+"${lines[@]}"}; do
    path=${line:66} sum=${line:0:64}
    case $sum in *[!0-9a-f]* | '') path='' ;; esac
    if [ "$line" != "$sum  $path" ]; then
      refuse_line "$line"
    elif [ "$path" = "files/${sum:0:2}/$sum" ]; then
      content_lines+=("$line")
    elif [ ${#sum} = 64 ] && is_path_of_update "$path"; then
      list_lines+=("$line")
    else
      refuse_line "$line"
    fi
    if [ -n "${listed[x$path]-}" ]; then refuse_line "$line"; fi
    listed[x$path]=$sum
  done
  for path in apply-update.sh update.json plan/{facts,dirs,dir-stats,paths,stats,links} product/SHA256SUMS product/manifest.json; do
    if [ -z "${listed[x$path]-}" ]; then fail 1 "the update lacks $path; copy it again, as a whole"; fi
  done
}

refuse_line() {
  local line
  printf -v line '%q' "${1:0:200}"
  fail 1 "SHA256SUMS of the update has a line that no update has: $line; copy the update again, as a whole"
}

# Requires that each file of the update is listed, and each listed one is there and can be
# read without waiting: a link may lead to a pipe.
require_update_files() {
  local path entry wrong=() added=()
  for path in "${!listed[@]}"; do
    path=${path#x}
    if [ ! -f "$update/$path" ] || [ -L "$update/$path" ]; then wrong+=("$path"); fi
  done
  shopt -s nullglob dotglob
  for entry in "$update"/* "$update"/{files,plan,product}/* "$update"/{files,plan}/*/*; do
    path=${entry#"$update"/}
    if [ -n "${listed[x$path]-}" ]; then continue; fi
    case $path in
      SHA256SUMS | SHA256SUMS.minisig) if is_plain_file "$entry"; then continue; fi ;;
      files | plan | product | files/[0-9a-f][0-9a-f]) if is_real_dir "$entry"; then continue; fi ;;
      plan/*[!0-9a-f]*) ;;
      plan/????????????) if is_real_dir "$entry"; then continue; fi ;;
    esac
    added+=("$path")
  done
  shopt -u nullglob dotglob
  if [ ${#wrong[@]} -gt 0 ]; then show_paths 'missing in the update, or no file' "${wrong[@]}"; fi
  if [ ${#added[@]} -gt 0 ]; then show_paths 'added to the update' "${added[@]}"; fi
  if [ $((${#wrong[@]} + ${#added[@]})) -gt 0 ]; then refuse_update; fi
}

refuse_update() {
  fail 1 "the update in $shown_update is not as its SHA256SUMS lists it; copy it again, as a whole"
}

# Compares the bytes of some lines with the files that they name.
compare_update_files() {
  local output code=0
  output=$(failed_sums "$update" $# printf '%s\n' "$@") || code=$?
  take_failed "$output"
  if [ ${#failed_paths[@]} -gt 0 ]; then
    show_paths 'changed in the update' "${failed_paths[@]}"
    refuse_update
  elif [ "$code" != 0 ]; then
    fail 1 "sha256sum failed or was ended while it compared the update in $shown_update"
  fi
}

# The update's own check: nothing of it is used before. What is small comes first; its plan
# says how many bytes the rest has, so that no file without an end is read.
check_update() {
  local line records=() lines=()
  read_update_sums
  require_update_files
  for line in "${list_lines[@]}"; do records+=("$update/${line:66}"); done
  split_lines "$(with_records stat --printf='%s\n')"
  for line in "${lines[@]}"; do
    if [ "$line" -gt 4294967296 ]; then refuse_update; fi
  done
  compare_update_files "${list_lines[@]}"
  read_plan
  if [ ${#content_lines[@]} -gt 0 ]; then
    require_sizes
    compare_update_files "${content_lines[@]}"
  fi
}

# Requires that contents have the lengths that the plan says.
require_sizes() {
  local line base index wrong=() records=() lines=()
  local -A sizes=()
  for base in "${bases[@]}"; do
    while next_records 4; do sizes[x${records[0]}]=${records[1]-}; done 3<"$update/plan/$base/new"
  done
  records=("${content_lines[@]#*  }")
  split_lines "$(cd -- "$update" && with_records stat --printf='%s\n')"
  for index in "${!records[@]}"; do
    line=${records[index]}
    if [ "${sizes[x${line##*/}]-}" != "${lines[index]-}" ]; then wrong+=("$line"); fi
  done
  if [ ${#wrong[@]} -gt 0 ]; then
    show_paths 'changed in the update' "${wrong[@]}"
    refuse_update
  fi
}

# Sets facts, and to: the digest of the product that this update makes.
read_plan() {
  local dir name
  facts=()
  bases=()
  read_facts '' "$update/plan/facts"
  if [ "${facts[format]-}" != 1 ]; then
    printf -v name '%q' "${facts[format]-}"
    fail 2 "this update has the format $name, and this script reads 1"
  fi
  for name in files directories links bytes; do require_number "$name"; done
  read_links "$update/plan/links"
  to=${facts[to]-}
  require_digest "$to"
  if [ "$to" != "${listed[xproduct/SHA256SUMS]}" ]; then fail 1 "the update is damaged: product/SHA256SUMS is not that of the product that its plan names"; fi
  for dir in "$update"/plan/????????????/; do
    dir=${dir%/}
    name=${dir##*/}
    if [ "$name" = '????????????' ]; then break; fi
    read_facts "$name/" "$dir/facts"
    require_digest "${facts[$name/from]-}"
    if [ "${facts[$name/from]:0:12}" != "$name" ]; then fail 1 "the update is damaged: plan/$name is the plan for another product"; fi
    require_number "$name/new-bytes"
    bases+=("$name")
  done
  if [ ${#bases[@]} = 0 ]; then fail 1 'the update is damaged: it has no plan for any product'; fi
}

require_digest() {
  case $1 in *[!0-9a-f]* | '') ;; *) if [ ${#1} = 64 ]; then return; fi ;; esac
  fail 1 'the update is damaged: its plan names a product by something that is no digest'
}

# Sets REPLY to what a product is called, for people: version, time and digest.
describe_product() {
  local version=${facts[$1version]-} made=${facts[$1made]-}
  REPLY=${facts[project]-}
  if [ -n "$version" ]; then REPLY="$REPLY $version"; fi
  if [ -n "$made" ]; then REPLY="$REPLY of $made"; fi
  # Of a list that anybody may have written: nothing of it reaches a terminal as it is.
  REPLY="${REPLY//[![:print:]]/?} (sha256:$2)"
}
