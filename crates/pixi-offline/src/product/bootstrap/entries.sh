
# ---- Whether files, folders and links are those that manifest.json lists.

# The lines of the manifest's entries, and their fields: PATH//KIND//MODE//:SIZE, or
# PATH//link//TARGET. No path has two slashes in a row, and no field a line end:
# the manifest writes %XX for what is not plain ASCII.
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
# by a NUL. Few lines have %XX: all others never come into this shell.
decoded() {
  "$1" plain_lines | tr '\n' '\0'
  decode_lines "$1" encoded_lines
}

decode_lines() {
  local IFS=$'\n' encoded
  set -f
  # shellcheck disable=SC2207 # lines are the words
  encoded=($("$1" "$2"))
  if [ ${#encoded[@]} -gt 0 ]; then printf '%b\0' "${encoded[@]//%/\\x}"; fi
}

entry_fields() {
  "$1" | cut -s -d '"' --output-delimiter=// -f 4,8,12,15
}

# The files among the entries, as SUM  PATH.
entry_sums() {
  paste -d ' ' <(file_field 18 "$1") /dev/null <(file_field 4 "$1")
}

file_field() {
  "$2" | { grep '","kind":"file",' || :; } | cut -s -d '"' -f "$1"
}

# The entries of the manifest as they are named on the disk, each ended by a NUL.
listed_entries() {
  decoded entry_fields && printf 'end of the list\0'
}

# A path as a pattern of find that nothing else matches.
pattern_of() {
  local path=$1
  path=${path//\\/\\\\}
  path=${path//\*/\\*}
  path=${path//\?/\\?}
  printf '%s' "${path//\[/\\[}"
}

# What is there, in the same form. The environments in .pixi/ are no part of the
# product; of the files that no list has, those are left out that cannot do harm.
found_entries() {
  local name inside bare=()
  inside=$(pattern_of "./$project_name/.pixi" && printf x)
  inside=${inside%x}
  for name in manifest.json "${uncovered[@]}"; do bare+=(-path "./$name" -o); done
  cd -- "$root" || return
  find . -mindepth 1 \
    \( -path "$inside/*" ! -path "$inside/config.toml" -prune \) -o \
    \( ! -path './*/*' -type f ! -perm /7133 \( "${bare[@]}" -false \) \) -o \
    -type f -printf '%P//file//%#m//:%s,\0' -o -type d -printf '%P//directory//%#m\0' -o \
    -type l -printf '%P//link//%l\0' -o -type p -printf '%P//fifo//%#m\0' -o \
    -type s -printf '%P//socket//%#m\0' -o -type b -printf '%P//block-device//%#m\0' -o \
    -type c -printf '%P//character-device//%#m\0' &&
    printf 'end of the folder\0'
}

# The tools that comparing entries takes, of GNU or others that can do the same.
has_tools_for_entries() {
  comm -z /dev/null /dev/null && sort -z /dev/null && tr a b </dev/null && tail -n +1 /dev/null && wc -l /dev/null &&
    printf 'a\n' | grep -a -v % && cut -s -d '"' --output-delimiter=// -f 1 /dev/null && paste /dev/null &&
    find / -maxdepth 0 ! -perm /7000 -printf '%P'
} >/dev/null 2>&1

# One entry that differs: its path, what is listed and what was found of it, each
# empty or KIND//….
compare_entry() {
  local path=$1 listed=$2 found=$3 kind=${2%%//*} shown
  if [ "$path" = "$project_name/.pixi" ] && is_place_for_environments "$kind" "${found%%//*}"; then return; fi
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
      keep_mode "$path" file 0644 "${found%%//*}"
    else
      refuse_file "$path" added
    fi
    return
  fi
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
    listed=${listed#*//} found=${found#*//}
    keep_mode "$path" "$kind" "${listed%%//*}" "${found%%//*}"
  fi
}

# Whether NAME/.pixi may be as it is: a folder that no list has is for what is
# installed, and is looked into elsewhere.
is_place_for_environments() {
  if [ "$2" = link ]; then
    refuse_file "$project_name/.pixi" 'is a link' ": environments would be installed where it leads to, outside of the product; remove the link, and put the whole product where there is room (--any-files installs through it all the same)"
    return 0
  fi
  [ -z "$1" ] && [ "$2" = directory ]
}

# Sets REPLY to what a change of a mode is, of this kind from $2 to $3: `worse` when
# more may be run or written by somebody, or the owner can no longer read or run it;
# `narrower` when only fewer may write; `inherited` for a folder that got its
# set-group-ID bit from the one that it is in, as it may; else `other`.
judge_mode() {
  local listed=$((8#$2)) found=$((8#$3)) gained lost
  gained=$((found & ~listed)) lost=$((listed & ~found)) REPLY=other
  if [ "$1" = directory ] && ((gained & 02000)) && [ "${4-}" = yes ]; then
    REPLY=inherited gained=$((gained & ~02000))
  fi
  if ((gained & 06022 || lost & 0500)) || { [ "$1" = file ] && ((gained & 0111)); }; then
    REPLY=worse
  elif [ "$REPLY" = other ] && ((gained == 0 && (lost & ~0022) == 0)); then
    REPLY=narrower
  fi
}

# Keeps a mode that differs, of what kind, from $3 to $4: a medium may have changed
# all of them alike, so they are judged together.
keep_mode() {
  local change="$2 $3 $4" parent=$root inherits=no
  changes[$change]=$((${changes[$change]-0} + 1))
  REPLY=${verdicts[$change]-}
  if [ -z "$REPLY" ]; then
    if [ "$2" = directory ] && ((8#$4 & 02000)); then
      case $1 in */*) parent=$root/${1%/*} ;; esac
      if [ -g "$parent" ]; then inherits=yes; fi
      judge_mode "$2" "$3" "$4" "$inherits"
    else
      judge_mode "$2" "$3" "$4"
      verdicts[$change]=$REPLY
    fi
  fi
  case $REPLY in
    worse)
      worse_paths+=("$1")
      worse_modes+=("$4, and $3 is listed")
      ;;
    narrower) narrower=$((narrower + 1)) ;;
    inherited) inherited=$((inherited + 1)) ;;
    *)
      other_modes=$((other_modes + 1))
      if [ "$other_modes" = 1 ]; then printf -v first_mode '%q has %s, and %s is listed' "$1" "$4" "$3"; fi
      ;;
  esac
}

# Sets alike to what made all modes differ in one way: `one` when all files and all
# folders have one mode each, or the umask of a copy, as an octal number.
find_medium() {
  local line count kind mode change listed found mask=0 lost=0
  local -A classes=() modes=()
  alike=
  while read -r count mode; do
    kind=${mode%%//*}
    case $kind in file | directory) classes["$kind $((8#${mode#*//}))"]=$count ;; esac
  done < <(entry_lines | cut -s -d '"' --output-delimiter=// -f 8,12 | sort | uniq -c)
  for change in "${!changes[@]}"; do
    read -r kind listed found <<<"$change"
    listed=$((8#$listed)) found=$((8#$found))
    classes["$kind $listed"]=$((${classes["$kind $listed"]-0} - ${changes[$change]}))
    modes["$kind $found"]=yes
    mask=$((mask | listed & ~found))
    if ((found & ~listed)); then lost=1; fi
  done
  for line in "${!classes[@]}"; do
    kind=${line% *}
    if [ "${classes[$line]}" -le "${absent[$kind]-0}" ]; then continue; fi
    modes[$line]=yes
    if ((${line#* } & mask)); then lost=1; fi
  done
  for change in "${!changes[@]}"; do
    read -r kind listed found <<<"$change"
    if ((8#$found != (8#$listed & ~mask))); then lost=1; fi
  done
  if [ "$lost" = 0 ]; then
    printf -v alike '%04o' "$mask"
    return
  fi
  count=0
  for line in "${!modes[@]}"; do
    case $line in file*) count=$((count + 1)) ;; directory*) count=$((count + 1000)) ;; esac
    if ((${line#* } & 07000)); then count=9999; fi
  done
  if [ "$count" -le 1001 ]; then alike=one; fi
}

# Says which modes differ: one line where a medium explains them all, else each
# that is a problem.
judge_modes() {
  local index alike='' shown
  if [ ${#changes[@]} = 0 ]; then return; fi
  if [ ${#worse_paths[@]} -gt 1 ] || [ "$other_modes" -gt 1 ]; then find_medium; fi
  if [ "$alike" = one ] && [ ${#worse_paths[@]} -gt 0 ]; then
    printf -v shown ': %q has %s, and so has every other; the product lies on a file system without permissions, or was copied from one (vfat, exfat, a share); unpack it from its archive on one that keeps them' "${worse_paths[0]}" "${worse_modes[0]}"
    refuse_file '' 'changed mode of all files and folders' "$shown"
  else
    for index in ${worse_paths[@]+"${!worse_paths[@]}"}; do
      refuse_file "${worse_paths[index]}" 'changed mode' " has ${worse_modes[index]}"
    done
    if [ "$other_modes" = 0 ]; then :; elif [ "$alike" = '' ]; then
      warning "the permissions of $other_modes files or folders are not as listed: $first_mode"
    elif [ "$alike" = one ]; then
      warning "every file and every folder has the same permissions, $first_mode for example: the product lies on a file system without permissions, or was copied from one (vfat, exfat, an image, a share); unpack it from its archive on one that keeps them"
    else
      warning "the permissions of $other_modes files or folders lack the same bits ($alike), as a copy made under another umask does, $first_mode for example; copy it with 'cp -a', or unpack it with 'tar -xp', where other users shall read it"
    fi
  fi
  if [ "$checking" = yes ] && [ "$narrower" -gt 0 ]; then
    note "$narrower files or folders may be written by fewer users than listed, as a copy leaves them"
  fi
  if [ "$inherited" -gt 0 ] && [ "$checking" = yes ]; then
    note "$inherited folders have the set-group-ID bit of the folder that they are in"
  fi
}

# Compares what is there with the manifest: all but the bytes.
compare_entries() {
  local -x LC_ALL=C
  local entry rest side path last='' listed='' found='' ends=''
  local own=0 first_own='' first_mode='' other_modes=0 narrower=0 inherited=0 shown
  local -A changes=() absent=() verdicts=()
  local worse_paths=() worse_modes=()
  while IFS= read -r -d '' entry; do
    # What follows the path: patterns are slow on long texts.
    rest=${entry#*//}
    case $entry in
      $'\t'*) side=found path=${entry:1:${#entry}-${#rest}-3} ;;
      *) side=listed path=${entry:0:${#entry}-${#rest}-2} ;;
    esac
    case $entry in
      'end of the list' | $'\tend of the folder' | done) ends=$ends${entry#$'\t'}, && continue ;;
    esac
    if [ "$path" != "$last" ]; then
      if [ -n "$last" ]; then compare_entry "$last" "$listed" "$found"; fi
      last=$path listed='' found=''
    fi
    if [ "$side" = found ]; then found=$rest; else listed=$rest; fi
  done < <(comm -z -3 <(listed_entries | sort -z) <(found_entries 2>/dev/null | sort -z) && printf 'done\0')
  if [ -n "$last" ]; then compare_entry "$last" "$listed" "$found"; fi
  case $ends in
    'end of the list,end of the folder,done,' | 'end of the folder,end of the list,done,') ;;
    *)
      printf -v shown '%q' "$(cd -- "$root" && find . -mindepth 1 2>&1 >/dev/null | head -n 1)"
      refuse_file '' 'not all files and folders can be looked at' ", so that something may be hidden there: $shown"
      ;;
  esac
  judge_modes
  if [ -n "$(find "$root/" -maxdepth 0 -perm -0002 2>/dev/null)" ]; then
    if [ -k "$root" ] && [ ! -O "$root" ] && [ "$EUID" != 0 ]; then
      # Somebody else's, as the place that an engine mounts for a user who is not root:
      # what is listed can neither be removed there nor replaced.
      warning "$root can be written by everybody, and belongs to somebody else: what is added there later is not noticed"
    else
      refuse_file . 'changed mode' ": the folder of the product can be written by everybody; chmod o-w"
    fi
  fi
  if [ "$own" -gt 0 ] && [ "$checking" = yes ]; then
    printf -v shown '%q' "$first_own"
    note "$own files or folders of the project, its resources or the package cache are not as the product brought them, $shown for example; something was installed here before, so that stops nothing"
  fi
  if [ ${#refused[@]} -gt 0 ]; then return; fi
  if [ "$own" -gt 0 ]; then
    ok "every other file, folder and link is there as manifest.json lists it"
  else
    ok "every file, folder and link is there as manifest.json lists it"
  fi
}
