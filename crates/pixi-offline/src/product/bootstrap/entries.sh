
# ---- Whether files, directories and links are those that manifest.json lists.

# The lines of the manifest's entries. No path has two slashes in a row, and no field a
# line end: the manifest writes %XX for what is not plain ASCII.
entry_lines() {
  tail -n "+$first_entry" -- "$root/manifest.json"
}

plain_lines() {
  entry_lines | { grep -v % || :; }
}

encoded_lines() {
  entry_lines | { grep % || :; }
}

# What a function takes from the entries, with %XX as what they stand for, each ended
# by a NUL. All lines without %XX never come into this shell.
decoded() {
  "$1" plain_lines | tr '\n' '\0'
  decode_lines "$1" encoded_lines
}

decode_lines() {
  "$1" "$2" | cut -d % --output-delimiter='\x' -f 1- | unescape_lines
}

# Writes lines with what their escapes stand for, each ended by a NUL. One text is
# several times as fast as a word for each line.
unescape_lines() {
  local text
  text=$(paste -d '\\x00' - /dev/null /dev/null /dev/null /dev/null | tr -d '\n')
  printf '%b' "$text"
}

# Entries as PATH//KIND//MODE//:SIZE, or PATH//link//TARGET: the fastest to make.
paths_first() {
  "$1" | cut -s -d '"' --output-delimiter=// -f 4,8,12,15
}

# Entries as KIND/MODE PATH//KIND//:SIZE, or link PATH//link//TARGET: sorted by all but
# what precedes the first space, entries whose modes alone differ follow each other, and
# uniq can tell them from all others.
modes_first() {
  paste -d ' ' <(kinds no "$1" | cut -s -d '"' --output-delimiter=/ -f 8,12) \
    <(kinds no "$1" | cut -s -d '"' --output-delimiter=// -f 4,8,15)
  paste -d ' ' <(kinds link "$1" | cut -s -d '"' -f 8) \
    <(kinds link "$1" | cut -s -d '"' --output-delimiter=// -f 4,8,12)
}

# The entries that are links, or those that are none.
kinds() {
  if [ "$1" = link ]; then
    "$2" | { grep '","kind":"link",' || :; }
  else
    "$2" | { grep -v '","kind":"link",' || :; }
  fi
}

# The files among the entries, as SUM  PATH.
entry_sums() {
  paste -d ' ' <(file_field 18 "$1") /dev/null <(file_field 4 "$1")
}

file_field() {
  "$2" | { grep '","kind":"file",' || :; } | cut -s -d '"' -f "$1"
}

# The entries of the manifest in a form, as they are named on the disk, each ended by
# a NUL.
listed_entries() {
  decoded "$1" && printf 'end of the list\0'
}

# A path as a pattern of find that nothing else matches.
pattern_of() {
  local path=$1
  path=${path//\\/\\\\}
  path=${path//\*/\\*}
  path=${path//\?/\\?}
  printf '%s' "${path//\[/\\[}"
}

# What is there, in the same forms. The environments in .pixi/ are not part of the
# product; of the files that no list has, those are left out that cannot do harm.
found_entries() {
  local name kind size inside bare=() kinds=()
  inside=$(pattern_of "./$project_path/.pixi" && printf x)
  inside=${inside%x}
  for name in manifest.json "${uncovered[@]}"; do bare+=(-path "./$name" -o); done
  for name in f=file d=directory p=fifo s=socket b=block-device c=character-device; do
    kind=${name#*=} size=''
    if [ "$kind" = file ]; then size=//:%s,; fi
    kinds+=(-o -type "${name%%=*}" -printf)
    if [ "$1" = modes_first ]; then
      kinds+=("$kind/%#m %P//$kind$size\0")
    else
      kinds+=("%P//$kind//%#m$size\0")
    fi
  done
  name=
  if [ "$1" = modes_first ]; then name='link '; fi
  cd -- "$root" || return
  find . -mindepth 1 \
    \( -path "$inside/*" ! -path "$inside/config.toml" -prune \) -o \
    \( ! -path './*/*' -type f ! -perm /7133 \( "${bare[@]}" -false \) \) -o \
    -type l -printf "$name%P//link//%l\0" "${kinds[@]}" &&
    printf 'end of the directory\0'
}

# The tools that comparing entries takes, of GNU or others that can do the same.
has_tools_for_entries() {
  comm -z /dev/null /dev/null && sort -z /dev/null && sort -k 2 /dev/null && uniq -f 1 -D /dev/null && uniq -f 1 -u /dev/null && tr a b </dev/null && tail -n +1 /dev/null && wc -l /dev/null &&
    printf 'a\n' | grep -a -v % && cut -s -d '"' --output-delimiter=// -f 1 /dev/null && paste /dev/null &&
    find / -maxdepth 0 ! -perm /7000 -printf '%P'
} >/dev/null 2>&1

# One entry that differs: its path, what is listed and what was found of it, each
# empty or KIND//….
compare_entry() {
  local path=$1 listed=$2 found=$3 kind=${2%%//*} shown
  if [ "$copying" = yes ] && [ -z "$listed" ]; then
    # Nothing but what is listed is copied.
    case $path in "$project_name"/* | pkg-cache/*) return ;; esac
  fi
  if [ "$path" = "$project_path/.pixi" ] && is_place_for_environments "$kind" "$found"; then return; fi
  if [ "$installed" = yes ]; then
    # What a person did since is the person's: pixi's cache grows, too.
    case $path in
      "$project_name"/* | res/*)
        own=$((own + 1)) first_own=$path
        if [ -n "$listed" ]; then own_listed=$((own_listed + 1)); fi
        return
        ;;
      pkg-cache/*) if [ -z "$listed" ]; then own=$((own + 1)) first_own=$path && return; fi ;;
    esac
  fi
  if [ -z "$listed" ]; then
    # An install that was carried along has let the cache grow, too.
    case $strangers,$checking,$path in
      0,*) ;;
      *,no,pkg-cache/*) added_to_cache+=("$path") && return ;;
    esac
    if [ "${found%%//*}" = file ] && is_uncovered "$path"; then
      found=${found#file//}
      pairs+=$'\t'"file/${found%%//*} $path//file"$'\n'"file/0644 $path//file"$'\n'
      pairs_in_no_list=$((pairs_in_no_list + 1))
    else
      refuse_file "$path" added
    fi
    return
  fi
  if [ "$kind" = link ] && [ "${found%%//*}" != link ]; then lost_links=$((lost_links + 1)); fi
  if [ -z "$found" ]; then
    absent[$kind]=$((${absent[$kind]-0} + 1))
    refuse_file "$path" missing
  elif [ "$kind" != "${found%%//*}" ]; then
    absent[$kind]=$((${absent[$kind]-0} + 1))
    refuse_file "$path" changed " is another kind of file than is listed"
  elif [ "$kind" = link ]; then
    printf -v shown ' leads to %q, and %q is listed' "${found#link//}" "${listed#link//}"
    refuse_file "$path" 'changed link' "$shown"
  elif [ "$kind" = file ] && [ "${listed##*//}" != "${found##*//}" ]; then
    listed=${listed##*//:} found=${found##*//:}
    absent[$kind]=$((${absent[$kind]-0} + 1))
    refuse_file "$path" changed " has ${found%,} bytes, and ${listed%,} are listed"
  else
    # Their modes alone are compared elsewhere.
    refuse_file "$path" changed " is listed more than once"
  fi
}

# Whether the project's .pixi may be as it is: a directory that no list has is for what is
# installed, and is looked into elsewhere.
is_place_for_environments() {
  local mode=${2#*//}
  if [ "${2%%//*}" = link ]; then
    refuse_file "$project_path/.pixi" 'is a link' ": environments would be installed where it leads to, outside of the product; remove the link, and put the whole product where there is room (--any-files installs through it all the same)"
    return 0
  fi
  if [ -n "$1" ] || [ "${2%%//*}" != directory ]; then return 1; fi
  if [ "$installed" = no ] && { ((8#$mode & 04022)) || { ((8#$mode & 02000)) && [ ! -g "$project" ]; }; }; then
    refuse_file "$project_path/.pixi" 'changed mode' " has $mode, and only its owner may write there; remove the directory"
  fi
}

# What differs in a form, with the mark of each list that was read to its end, in lines:
# listed entries, and found ones after a tab. Of the two bytes that are told as octal numbers
# the first stands for a line end in a name, and the second for the first.
differing_entries() {
  comm -z -3 <(listed_entries "$1" | sort -z) <(found_entries "$1" 2>/dev/null | sort -z) |
    tr "\\n\\$2\\000" "\\$2\\$3\\n" && printf 'done\n'
}

# Sets differences to those of modes_first, sorted by what follows the first space, and
# line_end: the byte that stands for a line end in them, which no name there has; empty
# when there is none.
read_differences() {
  local bytes moved
  line_end=$'\001'
  differences=$(differing_entries paths_first 001 002)
  if [ "$differences" = $'\tend of the directory\nend of the list\ndone' ]; then
    differences=$'done\n\tend of the directory\nend of the list'
    return
  fi
  for bytes in '001 002' '003 004' '005 006' '016 017' '020 021' '022 023' '024 025' '026 027'; do
    printf -v line_end '%b' "\\0${bytes% *}"
    printf -v moved '%b' "\\0${bytes#* }"
    differences=$(differing_entries modes_first "${bytes% *}" "${bytes#* }" | sort -k 2)
    if [[ $differences != *"$moved"* ]]; then return; fi
  done
  line_end=''
}

# Sets lines to those of a text.
split_lines() {
  local IFS=$'\n'
  set -f
  # shellcheck disable=SC2206 # lines are the words
  lines=($1)
  set +f
}

# Sets side, path, and rest: KIND//MODE//:SIZE, or link//TARGET.
take_entry() {
  local entry=$1 class=${1%% *} kind
  case $entry in *"$line_end"*) entry=${entry//"$line_end"/$'\n'} ;; esac
  case $entry in $'\t'*) side=found ;; *) side=listed ;; esac
  path=${entry#* }
  # What follows the path: patterns are slow on long texts.
  rest=${path#*//}
  path=${path:0:${#path}-${#rest}-2}
  kind=${rest%%//*}
  case $class in */*) rest=$kind//${class#*/}${rest#"$kind"} ;; esac
}

# Compares what is there with the manifest: all but the bytes.
compare_entries() {
  local -x LC_ALL=C
  local entry rest side path last='' listed='' found='' ends='' lines
  local own=0 first_own='' shown pairs='' pairs_in_no_list=0
  local lost_links=0
  local -A absent=()
  if [ "$line_end" = '' ]; then
    refuse_file '' 'not all files and directories can be compared' ": too many control characters are in the names of those that differ"
    return
  fi
  # Those of which no other has the same path, kind and size.
  split_lines "$(printf '%s\n' "$differences" | uniq -f 1 -u)"
  for entry in ${lines[@]+"${lines[@]}"}; do
    case $entry in
      'end of the list' | $'\tend of the directory' | done) ends=$ends${entry#$'\t'}, && continue ;;
    esac
    take_entry "$entry"
    if [ "$path" != "$last" ]; then
      if [ -n "$last" ]; then compare_entry "$last" "$listed" "$found"; fi
      last=$path listed='' found=''
    fi
    if [ "$side" = found ]; then found=$rest; else listed=$rest; fi
  done
  if [ -n "$last" ]; then compare_entry "$last" "$listed" "$found"; fi
  case $ends in
    'done,end of the directory,end of the list,') ;;
    *)
      printf -v shown '%q' "$(cd -- "$root" && find . -mindepth 1 2>&1 >/dev/null | head -n 1)"
      refuse_file '' 'not all files and directories can be looked at' ", so that something may be hidden there: $shown"
      ;;
  esac
  if [ ${#refused[@]} = 0 ]; then only_modes_differ=yes; fi
  if [ "$lost_links" -gt 0 ] && [ "$lost_links" = "$(entry_lines | grep -c '","kind":"link",')" ]; then no_links=yes; fi
  compare_modes
  # An entry that is listed more than once may be another kind of file, too.
  if [ -n "${refused[xmanifest.json]-}" ]; then only_modes_differ=no; fi
  if [ -n "$(find "$root/" -maxdepth 0 -perm -0002 2>/dev/null)" ]; then
    if [ -k "$root" ] && [ ! -O "$root" ] && [ "$EUID" != 0 ]; then
      # Somebody else's, as the place that an engine mounts for a user who is not root:
      # what is listed can neither be removed there nor replaced.
      warning "$root can be written by everybody and belongs to another user: later additions are not detected"
    else
      refuse_file . 'changed mode' ": the directory of the product can be written by everybody; chmod o-w"
    fi
  fi
  if [ "$own" -gt 0 ] && [ "$checking" = yes ]; then
    printf -v shown '%q' "$first_own"
    note "$own files or directories of the project, its resources or the package cache are not as the product brought them, $shown for example; something was installed here before, so that stops nothing"
  fi
  if [ ${#refused[@]} -gt 0 ]; then return; fi
  if [ "$own" -gt 0 ]; then
    ok "every other file, directory and link is there as manifest.json lists it"
  else
    ok "every file, directory and link is there as manifest.json lists it"
  fi
}
