
# ---- Whether the modes are those that manifest.json lists.

# Sets REPLY to what a change of a mode is, of this kind from $2 to $3: `worse` when
# more may be run or written by somebody, or the owner can no longer read or run it;
# `narrower` when only fewer may write; `inherited` for a directory that got its
# set-group-ID bit from the one that it is in, as it may; else `other`.
judge_mode() {
  local listed=$((8#$2)) found=$((8#$3)) gained lost unused=$((8#022))
  # Who installs elsewhere only reads the product.
  if [ "$copying" = yes ]; then unused=$((8#222)); fi
  gained=$((found & ~listed)) lost=$((listed & ~found)) REPLY=other
  if [ "$1" = directory ] && ((gained & 02000)) && [ "${4-}" = yes ]; then
    REPLY=inherited gained=$((gained & ~02000))
  fi
  if ((gained & 06022 || lost & 0500)) || { [ "$1" = file ] && ((gained & 0111)); }; then
    REPLY=worse
  elif [ "$REPLY" = other ] && ((gained == 0 && (lost & ~unused) == 0)); then
    REPLY=narrower
  fi
}

# What differs in its mode alone is in pairs, two lines each: what is found, after a
# tab, and what is listed. As many as there are, few come into this shell: they are
# counted by kind, mode listed and mode found, and an example of each is taken.

# The modes of each pair: KIND/MODE of what is found, after a tab, and of what is listed.
modes_of_pairs() {
  printf '%s\n' "$pairs" | cut -d ' ' -f 1 | paste -d ' ' - -
}

# Takes out of the pairs what a person did since the install, which is the person's.
leave_own_modes() {
  local IFS=$'\n' index path lines kept=()
  split_lines "$pairs"
  for ((index = 0; index + 1 < ${#lines[@]}; index += 2)); do
    path=${lines[index]#* }
    path=${path%%//*}
    path=${path//"$line_end"/$'\n'}
    case $path in
      "$project_name"/* | res/*) own=$((own + 1)) own_listed=$((own_listed + 1)) first_own=$path ;;
      *) kept+=("${lines[index]}" "${lines[index + 1]}") ;;
    esac
  done
  pairs=${kept[*]-}
}

# Sets changes, how many entries changed from what mode to what other, and ways, the
# same by how many they are.
count_modes() {
  local line pattern=$'^ *([0-9]+) \t([a-z-]+)/([0-7]+) ([a-z-]+)/([0-7]+)$' change
  while IFS= read -r line; do
    if [[ ! $line =~ $pattern ]] || [ "${BASH_REMATCH[2]}" != "${BASH_REMATCH[4]}" ]; then
      refuse_file manifest.json changed " names a file or directory more than once"
      return 1
    fi
    change="${BASH_REMATCH[2]} ${BASH_REMATCH[5]} ${BASH_REMATCH[3]}"
    changes[$change]=${BASH_REMATCH[1]}
    ways+=("$change")
  done < <(modes_of_pairs | sort | uniq -c | sort -k 1,1nr -k 2)
}

# Sets examples to the paths of those that changed in this way, at most so many.
take_examples() {
  local line lines kind listed found key
  read -r kind listed found <<<"$1"
  key=$'\t'"$kind/$found $kind/$listed "
  split_lines "$({
    paste -d ' ' <(modes_of_pairs) <(printf '%s\n' "$pairs" | uniq -f 1) | grep -a -m "$2" -e "^$key"
  } 2>/dev/null || :)"
  examples=()
  for line in ${lines[@]+"${lines[@]}"}; do
    line=${line#"$key"}
    line=${line#* }
    line=${line%%//*}
    examples+=("${line//"$line_end"/$'\n'}")
  done
}

# Whether directories changed in this way may have got it from those that they are in.
may_be_inherited() {
  local kind listed found
  read -r kind listed found <<<"$1"
  if [ "$kind" != directory ] || ((!(8#$found & ~8#$listed & 02000))); then return 1; fi
  judge_mode "$kind" "$listed" "$found" yes
  [ "$REPLY" != worse ]
}

# Sets examples to those directories that are in none with the set-group-ID bit.
take_without_parents() {
  local path parent without=()
  take_examples "$1" "${changes[$1]}"
  for path in ${examples[@]+"${examples[@]}"}; do
    parent=$root
    case $path in */*) parent=$root/${path%/*} ;; esac
    if [ ! -g "$parent" ]; then without+=("$path"); fi
  done
  examples=(${without[@]+"${without[@]}"})
}

# Keeps how many changed in this way, and what it is.
keep_way() {
  local change=$1 count=$2
  if [ "$count" = 0 ]; then return; fi
  case $REPLY in
    worse) worse=$((worse + count)) worse_ways+=("$count $change") ;;
    narrower) narrower=$((narrower + count)) ;;
    inherited) inherited=$((inherited + count)) ;;
    *)
      other_modes=$((other_modes + count))
      first_other=${first_other:-$change}
      ;;
  esac
}

# Judges each way by itself.
judge_ways() {
  local change kind listed found examples
  for change in ${ways[@]+"${ways[@]}"}; do
    read -r kind listed found <<<"$change"
    if may_be_inherited "$change"; then
      take_without_parents "$change"
      REPLY=inherited
      keep_way "$change" $((changes[$change] - ${#examples[@]}))
      REPLY=worse
      keep_way "$change" ${#examples[@]}
    else
      judge_mode "$kind" "$listed" "$found"
      keep_way "$change" "${changes[$change]}"
    fi
  done
}

# Names entries whose modes are a problem, 20 at most, each way by itself where there
# are more of it, and 20 ways at most.
refuse_worse_modes() {
  local line count kind listed found path shown examples named=0 told=0 more=0
  for line in "${worse_ways[@]}"; do
    read -r count kind listed found <<<"$line"
    if [ "$told" -ge 20 ]; then
      more=$((more + count))
      continue
    fi
    if may_be_inherited "$kind $listed $found"; then
      take_without_parents "$kind $listed $found"
    else
      take_examples "$kind $listed $found" 20
    fi
    if [ $((named + count)) -le 20 ]; then
      named=$((named + count))
      for path in ${examples[@]+"${examples[@]}"}; do
        refuse_file "$path" 'changed mode' " has $found, and $listed is listed"
      done
      if [ ${#examples[@]} -lt "$count" ]; then refuse_many "$count" 'changed mode' "$count of kind $kind have $found, and $listed is listed"; fi
    else
      told=$((told + 1))
      printf -v shown '%q' "${examples[0]-}"
      refuse_many "$count" "changed mode of $count entries" "$shown, for example, has $found, and $listed is listed"
    fi
  done
  if [ "$more" -gt 0 ]; then refuse_many "$more" "changed mode of $more more entries" "in other ways"; fi
}

# Sets alike to what made all modes differ in one way: `one` when all files and all
# directories have one mode each, or the umask of a copy, as an octal number.
find_medium() {
  local line count kind mode change listed found mask=0 lost=0
  local -A classes=() modes=()
  alike=
  while read -r count mode; do
    kind=${mode%%//*} mode=${mode#*//}
    # Of a list that anybody may have written: no text is calculated with.
    case $mode in '' | *[!0-7]*) continue ;; esac
    case $kind in file | directory) classes["$kind $((8#$mode))"]=$count ;; esac
  done < <(entry_lines | cut -s -d '"' --output-delimiter=// -f 8,12 | sort | uniq -c)
  # Those beside the lists are among the changes.
  classes["file $((8#0644))"]=$((${classes["file $((8#0644))"]-0} + pairs_in_no_list))
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

# Judges what differs in its mode alone: one line where a medium explains all of it.
compare_modes() {
  local alike='' shown='' first_other='' worse=0 other_modes=0 narrower=0 inherited=0
  local -A changes=()
  local ways=() worse_ways=()
  # No pattern here: bash takes them off a long text in quadratic time.
  pairs=$(printf '%s' "$pairs" && printf '%s\n' "$differences" | uniq -f 1 -D)
  if [ "$installed" = yes ]; then leave_own_modes; fi
  if [ -z "$pairs" ] || ! count_modes; then return; fi
  judge_ways
  if [ "$worse" -gt 1 ] || [ "$other_modes" -gt 1 ]; then find_medium; fi
  if [ "$worse" -gt 0 ] && [ "$alike" = one ]; then
    show_example "${worse_ways[0]#* }"
    without_modes=yes
    refuse_file '' 'changed mode of all files and directories' "$shown, and so has every other: the product was copied without permissions, or is on a file system that has none (vfat, exfat, a share); copy it with 'cp -a' or 'rsync -a', or unpack it from its archive, on a file system that keeps them"
  else
    if [ "$worse" -gt 0 ]; then refuse_worse_modes; fi
    warn_of_other_modes
  fi
  if [ "$checking" = yes ] && [ "$narrower" -gt 0 ]; then
    note "$narrower files or directories may be written by fewer users than listed, as a copy leaves them"
  fi
  if [ "$inherited" -gt 0 ] && [ "$checking" = yes ]; then
    note "$inherited directories have the set-group-ID bit of the directory that they are in"
  fi
}

# Sets shown to one that changed in this way.
show_example() {
  local kind listed found examples
  read -r kind listed found <<<"$1"
  take_examples "$1" 1
  printf -v shown '%q has %s, and %s is listed' "${examples[0]-}" "$found" "$listed"
}

# Says which modes differ without being a problem.
warn_of_other_modes() {
  if [ "$other_modes" = 0 ]; then return; fi
  show_example "$first_other"
  if [ "$alike" = '' ]; then
    warning "the permissions of $other_modes files or directories are not as listed: $shown"
  elif [ "$alike" = one ]; then
    warning "every file and every directory has the same permissions, $shown for example: the product is on a file system without permissions, or was copied from one (vfat, exfat, an image, a share); unpack it from its archive on one that keeps them"
  else
    warning "the permissions of $other_modes files or directories lack the same bits ($alike), as a copy made under another umask does, $shown for example; copy it with 'cp -a', or unpack it with 'tar -xp', where other users shall read it"
  fi
}
