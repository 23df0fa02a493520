
# ---- Whether the product is the one that its lists describe.

# The files beside the lists, which are written after them and are in none.
is_uncovered() {
  local name
  for name in manifest.json "${uncovered[@]}"; do
    if [ "$1" = "$name" ]; then return 0; fi
  done
  return 1
}

# Something that is not as it is listed: its path, what is wrong with it, and more
# of it. All are named by --check (modes in few lines), some else; what follows is said at the end.
refuse_file() {
  local path=$1 shown=''
  if [ -n "${refused[x$path]-}" ]; then return; fi
  refused[x$path]=yes
  if [ "$checking" = no ] && [ ${#refused[@]} -gt 20 ]; then return; fi
  if [ -n "$path" ]; then printf -v shown '%q' "$path"; fi
  if [ "$any_files" = yes ]; then warning "$2: $shown${3-}"; else problem "$2: $shown${3-}"; fi
}

# Some that are not as they are listed, all in the same way: how many, what is wrong
# with them, and more of it.
refuse_many() {
  refused["m$2$3"]=yes
  refused_more=$((refused_more + $1 - 1))
  if [ "$any_files" = yes ]; then warning "$2: $3"; else problem "$2: $3"; fi
}

# Entries or bytes that no tool here can compare.
not_compared() {
  compared=no
  if [ "$checking" = yes ]; then not_checked "$1"; else warning "not checked: $1"; fi
}

# Whether nothing of the product stands in the way of using it. Nothing of it is
# run or read as settings before that is known: what a check could not read is not run.
may_be_run() {
  { [ ${#refused[@]} -eq 0 ] && [ "$unread_first" = no ]; } || [ "$any_files" = yes ]
}

# Sets REPLY to the path in a line of SHA256SUMS or of what sha256sum says of it:
# one that begins with a backslash has escapes.
unescaped() {
  REPLY=$1
  case $2 in \\*) printf -v REPLY '%b' "$1" ;; esac
}

# A file that can be read without waiting: a link may lead to a pipe.
is_plain_file() {
  [ -f "$1" ] && [ ! -L "$1" ]
}

# Whether a list is one that can be read to its end.
is_list() {
  is_plain_file "$1" && [ -z "$(find "$1" -prune -size +4194304k 2>/dev/null)" ]
}

# The lines of SHA256SUMS whose files can be read without waiting: a pipe in the place
# of a file would keep sha256sum for ever, and a file that is refused already, for its
# size for example, may have no end that is worth waiting for.
readable_sums() {
  local line path
  while IFS= read -r line || [ -n "$line" ]; do
    path=${line#*  }
    unescaped "$path" "$line"
    if ! is_plain_file "$root/$REPLY" || [ -n "${refused[x$REPLY]-}" ]; then continue; fi
    case $1$line in plain\\*) continue ;; esac
    printf '%s\n' "$line"
  done <"$root/SHA256SUMS"
}

# The lines of SHA256SUMS without that of manifest.json, which was compared before.
other_sums() {
  grep -a -v -x -F -e "$manifest_sum  manifest.json" -- "$root/SHA256SUMS"
}

# What only one of manifest.json and SHA256SUMS says of a file, as SUM  PATH, and
# the marks of those that came to their ends.
differing_sums() {
  comm -z -3 <(
    {
      decoded entry_sums && printf '~end of the manifest\0'
    } | sort -z
  ) <(
    {
      { other_sums | grep -a -v '^[\]' || :; } | tr '\n' '\0'
      escaped_sums
      printf '~end of SHA256SUMS\0'
    } | sort -z
  ) && printf 'done\0'
}

# The lines of SHA256SUMS that have escapes, without them, each ended by a NUL.
escaped_sums() {
  { grep -a '^[\]' "$root/SHA256SUMS" || :; } | cut -c 2- | unescape_lines
}

# Reads what differs, and sets first to the first of it; returns 1 when anything
# does, or a list was not read to its end.
sums_agree() {
  local entry ends=''
  first=''
  while IFS= read -r -d '' entry; do
    case $entry in
      '~end of the manifest' | $'\t~end of SHA256SUMS' | done) ends=${ends}x ;;
      *) first=${entry#$'\t'} && return 1 ;;
    esac
  done
  [ "$ends" = xxx ]
}

# Refuses lists that do not agree. manifest.json has the digest of what SHA256SUMS says
# of all other files; where that is another one, the lists are compared line by line.
require_same_sums() {
  local first shown
  if [ -n "$listed_sums" ] && [ "$sums_digest" = "$listed_sums" ]; then return; fi
  if sums_agree < <(differing_sums 2>/dev/null); then return; fi
  printf -v shown '%q' "${first#*  }"
  refuse_file SHA256SUMS changed " and manifest.json do not have the same digests of the same files: $shown"
}

# Refuses names that lead out of the product: what is there may have no end.
require_names_in_product() {
  if grep -a -q -E '^\\?[0-9a-f]{64}  (/|(.*/)?\.\.(/|$))' -- "$root/SHA256SUMS"; then
    refuse_file SHA256SUMS changed " names files that are not in the product"
  fi
}

# What sha256sum says of SHA256SUMS, by the options that this one knows; `how` is
# gnu or plain. Prints nothing of files that are right.
failed_sums() {
  cd -- "$root" || return
  if [ "$how" = plain ]; then
    readable_sums plain | sha256sum -c
  elif [ "$only_modes_differ" = yes ] && [ "$own_listed" = 0 ]; then
    # All of them were seen to be files of the length that is listed.
    failed_sums_in_parts
  else
    readable_sums all | sha256sum --check --quiet --strict
  fi
} 2>/dev/null

# The same by as many processes as there are processors, each for every so many lines:
# one alone is slower than most disks.
failed_sums_in_parts() {
  local parts=1 part code=0 line passed output outputs=()
  if split -n r/1/1 /dev/null; then parts=$(nproc) || parts=1; fi
  case $parts in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) parts=1 ;; esac
  if [ "$parts" -gt 8 ]; then parts=8; fi
  if [ "$parts" -gt "$count" ]; then parts=$count; fi
  if [ "$parts" -le 1 ]; then
    other_sums | sha256sum --check --quiet --strict
    return
  fi
  for ((part = 1; part <= parts; part++)); do
    exec {output}< <(other_sums | split -n "r/$part/$parts" | sha256sum --check --quiet --strict && printf 'passed\n')
    outputs+=("$output")
  done
  for output in "${outputs[@]}"; do
    # A process that is killed does not say so.
    passed=no
    while IFS= read -r line; do
      if [ "$line" = passed ]; then passed=yes; else printf '%s\n' "$line"; fi
    done <&"$output"
    if [ "$passed" = no ]; then code=1; fi
    exec {output}<&-
  done
  return "$code"
}

# Compares the bytes of all files with SHA256SUMS.
compare_bytes() {
  local -x LC_ALL=C
  local output line path how=gnu code=0 failed=0 unreadable=0 shown
  if ! printf '%s  /dev/null\n' e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 |
    sha256sum --check --quiet --strict >/dev/null 2>&1; then
    how=plain
  fi
  if [ "$entries_compared" = yes ]; then
    require_same_sums
    require_names_in_product
    if [ -n "${refused[xSHA256SUMS]-}" ]; then return; fi
  fi
  output=$(failed_sums) || code=$?
  while IFS= read -r line; do
    path=${line%: FAILED*}
    case $line in
      *': FAILED' | *': FAILED open or read') unescaped "${path#\\}" "$line" ;;
      *) continue ;;
    esac
    path=$REPLY failed=$((failed + 1))
    if [ -f "$root/$path" ] && [ ! -r "$root/$path" ]; then
      if [ "$unreadable" = 0 ]; then printf -v shown '%q' "$path"; fi
      unreadable=$((unreadable + 1))
      case $path in envs.sh | bin/pixi) unread_first=yes ;; esac
      continue
    fi
    case $installed$path in
      yes"$project_name"/* | yesres/*) own_listed=$((own_listed + 1)) && continue ;;
    esac
    refuse_file "$path" changed " does not have the bytes that SHA256SUMS says"
  done <<<"$output"
  if [ "$code" != 0 ] && [ "$failed" = 0 ]; then
    refuse_file SHA256SUMS changed " has lines that are not checksums, or sha256sum failed"
  fi
  bytes_compared=yes
  if [ "$how" = plain ]; then require_readable_sums; fi
  if [ "$unreadable" -gt 0 ]; then
    not_compared "the bytes of $unreadable files, $shown for example: this user may not read them"
  elif [ ${#refused[@]} -gt 0 ]; then
    :
  elif [ "$own_listed" -gt 0 ]; then
    ok "the bytes of every other file are as SHA256SUMS says"
  else
    ok "the bytes of every file are as SHA256SUMS says"
  fi
}

# What a plain sha256sum was not given to read.
require_readable_sums() {
  local line path odd=0
  while IFS= read -r line; do
    path=${line#*  }
    case $line in
      \\*) odd=$((odd + 1)) ;;
      *) if [ ! -f "$root/$path" ] || [ -L "$root/$path" ]; then refuse_file "$path" 'missing or no file'; fi ;;
    esac
  done <"$root/SHA256SUMS"
  if [ "$odd" -gt 0 ]; then
    not_compared "the bytes of $odd files whose names have a line end or a backslash: this sha256sum does not read their lines"
  fi
}

# Those of the given lines that SHA256SUMS has.
in_sums() {
  local line wanted IFS=$'\n'
  if [ $# = 0 ]; then return; fi
  if printf 'a\n' | grep -a -x -F a >/dev/null 2>&1; then
    grep -a -x -F -e "$*" -- "$root/SHA256SUMS" || :
    return
  fi
  while IFS= read -r line; do
    for wanted; do
      if [ "$line" = "$wanted" ]; then printf '%s\n' "$line"; fi
    done
  done <"$root/SHA256SUMS"
}

# Compares the bytes of what an install runs or is led by: without --check, of
# nothing else.
compare_first_bytes() {
  local -x LC_ALL=C
  local path sum right files=() sums=()
  for path in envs.sh bin/pixi "$project_path"/{pixi.lock,pixi.toml,pyproject.toml,mojoproject.toml,.pixi/config.toml}; do
    case $installed$path in yes"$project_path"/*) continue ;; esac
    if [ -f "$root/$path" ] && [ ! -L "$root/$path" ]; then files+=("$path"); fi
  done
  for path in ${files[@]+"${files[@]}"}; do
    sum=$(cd -- "$root" && sha256sum -- "$path" 2>/dev/null) || sum="$path cannot be read"
    sums+=("$sum")
  done
  right=$(in_sums ${sums[@]+"${sums[@]}"} && printf 'done')
  for path in ${sums[@]+"${!sums[@]}"}; do
    case $'\n'$right in
      *$'\n'"${sums[path]}"$'\n'*) ;;
      *) refuse_file "${files[path]}" changed " does not have the bytes that SHA256SUMS says" ;;
    esac
  done
}

# Whether the files are those that the product was made with. Sets refused, and
# compared: whether nothing was left out for want of a tool.
check_files() {
  local difference
  declare -gA refused
  refused=()
  unread_first=no bytes_compared=no product_digest='' compared=yes entries_compared=no own_listed=0 refused_more=0 only_modes_differ=no no_links=no without_modes=no
  compare_with_lists
  # --any-files goes on where a list cannot be followed, and nothing was compared with it.
  if [ "$bytes_compared" = no ]; then compared=no; fi
  if [ ${#refused[@]} = 0 ] || [ "$any_files" = yes ]; then return; fi
  if [ "$no_links" = yes ]; then
    problem "none of the symbolic links of the product is here: it was copied over a file system, or by a program, that keeps no links (FAT, exFAT, some network shares, zip); carry it as an archive made with tar, and unpack that here"
  fi
  # That one line has the cause and the cure; beside it there may be one of the product's own directory.
  if [ "$without_modes" = yes ] && { [ ${#refused[@]} = 1 ] || [ "${#refused[@]}${refused[x.]-}" = 2yes ]; }; then return; fi
  difference="$((${#refused[@]} + refused_more)) entries do not match"
  if [ "$difference" = '1 entries do not match' ]; then difference='1 entry does not match'; fi
  problem "$difference the manifest of the product; copy the product again, as a whole, or make it again (--any-files goes on all the same)"
}

compare_with_lists() {
  local -x LC_ALL=C
  local line='' number=0 format='' count='' listed_sums='' first_entry
  local manifest_sum='' sums_digest='' digests differences line_end
  if [ ! -e "$root/manifest.json" ] && [ ! -e "$root/SHA256SUMS" ] && [ "$carries_manifest" != yes ]; then
    if [ "$checking" = yes ]; then not_compared "the files of the product: it has no manifest.json, as those that older versions made"; fi
    return
  fi
  for line in manifest.json SHA256SUMS; do
    if ! is_plain_file "$root/$line"; then
      refuse_file "$line" missing ", which says what the product's files are"
      return
    fi
    if ! is_list "$root/$line"; then
      refuse_file "$line" changed " has more than the 4 GiB that it may have"
      return
    fi
  done
  if ! command -v sha256sum >/dev/null 2>&1; then
    not_compared "the files of the product: there is no sha256sum"
    unread_first=$checking
    return
  fi
  # While the entries are read, where there are processors.
  exec {digests}< <(digests_of_lists 2>/dev/null)
  while IFS= read -r line; do
    number=$((number + 1))
    case $line in
      '  "format": '*) format=${line//[!0-9]/} ;;
      '    "files": '*) count=${line//[!0-9]/} ;;
      '  "sums": "'*) listed_sums=${line#*: \"} listed_sums=${listed_sums%%\"*} ;;
      '  "entries": ['*) break ;;
    esac
  done <"$root/manifest.json"
  if [ "$format" != 1 ]; then
    refuse_file manifest.json unknown " has the format '$format', and this script reads 1"
    return
  fi
  case $count in 0[0-9]* | ????????????????*) count='' ;; esac
  if [ "$count" = '' ]; then
    refuse_file manifest.json changed " does not say how many files there are"
    exec {digests}<&-
    return
  fi
  first_entry=$((number + 1))
  if has_tools_for_entries; then
    entries_compared=yes
    read_differences
  fi
  for line in manifest_sum product_digest sums_digest; do
    IFS= read -r "${line?}" <&"$digests" || break
  done
  exec {digests}<&-
  if [ "$manifest_sum" = '' ]; then
    refuse_file manifest.json 'cannot be read'
    return
  fi
  if [ "$(in_sums "$manifest_sum  manifest.json")" != "$manifest_sum  manifest.json" ]; then
    refuse_file manifest.json changed " does not have the bytes that SHA256SUMS says"
    return
  fi
  if [ "$entries_compared" = yes ]; then
    if [ "$(wc -l <"$root/SHA256SUMS")" != $((count + 1)) ] ||
      [ "$(entry_lines | grep -c '","kind":"file",')" != "$count" ]; then
      refuse_file SHA256SUMS changed " names other files than manifest.json"
      return
    fi
    compare_entries
  else
    not_compared "the files and directories of the product, but for bytes: it takes GNU find, comm, sort and cut"
  fi
  if [ "$checking" = yes ]; then compare_bytes; else compare_first_bytes; fi
}

# Writes the sha256 of manifest.json, of SHA256SUMS, and of SHA256SUMS without the line
# of manifest.json: a line for each.
digests_of_lists() {
  local manifest_sum sum
  manifest_sum=$(sha256sum <"$root/manifest.json") || return
  manifest_sum=${manifest_sum%% *}
  printf '%s\n' "$manifest_sum"
  if [ "$checking" = no ]; then return; fi
  sum=$(sha256sum <"$root/SHA256SUMS") || return
  printf '%s\n' "${sum%% *}"
  sum=$(other_sums | sha256sum) || return
  printf '%s\n' "${sum%% *}"
}

# Sets product_digest to the sha256 of SHA256SUMS; 1 when it cannot be read. It is read once.
read_product_digest() {
  if [ -n "${product_digest-}" ]; then return; fi
  product_digest=$(sha256sum <"$root/SHA256SUMS" 2>/dev/null) || return
  product_digest=${product_digest%% *}
}

# The comment that was signed with SHA256SUMS: which product, of which day. Whether the
# signature is right is for minisign to say, so plain characters of it are shown only.
check_signed_comment() {
  local -x LC_ALL=C
  local line comment='' number=0 file=$root/SHA256SUMS.minisig
  if [ "$checking" = no ] || ! is_plain_file "$file" || ! is_list "$root/SHA256SUMS"; then return; fi
  while IFS= read -r line; do
    number=$((number + 1))
    # The first line is signed by nobody.
    case $number$line in '3trusted comment: '*) comment=${line#*: } ;; esac
  done < <(head -c 16384 -- "$file")
  note "the signature of SHA256SUMS names: ${comment//[![:print:]]/ } (check it: minisign -Vm SHA256SUMS -p KEY.pub)"
  if ! read_product_digest; then return; fi
  case "$comment " in
    *product:sha256:"$product_digest"[![:alnum:]]*) ;;
    *product:sha256:*) warning "the signature of SHA256SUMS was made for another product" ;;
  esac
}

# Whether the statement of provenance is about this product; nothing else is taken from it.
check_provenance() {
  local line digest='' place=''
  if [ "$checking" = no ] || ! is_plain_file "$root/provenance.json" || ! is_list "$root/SHA256SUMS"; then return; fi
  while IFS= read -r -n 4096 line; do
    case $place$line in
      '  "subject": ['*) place=subject ;;
      'subject  ]'*) place='' ;;
      'subject'*'"sha256": "'*) digest=${line#*: \"} digest=${digest%\"*} ;;
    esac
  done < <(head -c 4194304 -- "$root/provenance.json")
  if ! read_product_digest; then return; fi
  if [ "$digest" != "$product_digest" ]; then
    warning "provenance.json does not belong to this product: it names another digest"
  fi
}

# What the attached verification says, and what that is worth.
check_verification() {
  local line digest='' outcome='' finished='' number=0
  if [ "$checking" = no ] || ! is_list "$root/SHA256SUMS"; then return; fi
  if ! is_plain_file "$root/verification.json"; then
    note "no final verification is attached to the product"
    return
  fi
  while IFS= read -r -n 4096 line; do
    number=$((number + 1))
    if [ "$number" -gt 10000 ]; then break; fi
    case $line in
      '  "outcome": '*) outcome=${line#*: \"} outcome=${outcome%\"*} ;;
      '  "product_digest": '*) digest=${line#*: \"} digest=${digest%\"*} ;;
      '  "finished": '*) finished=${line#*: \"} finished=${finished%\"*} ;;
    esac
  done < <(head -c 4194304 -- "$root/verification.json")
  # Anybody may have written it: nothing of it reaches a terminal as it is.
  printf -v finished '%q' "$finished"
  if ! read_product_digest; then return; fi
  if [ "$digest" != "sha256:$product_digest" ]; then
    warning "verification.json belongs to another product: this one is not verified"
  elif [ "$outcome" != passed ]; then
    warning "verification.json reports that the final verification of this product failed"
  elif [ ${#refused[@]} -gt 0 ] || [ "$own_listed" -gt 0 ]; then
    warning "verification.json reports on the product as it was made, and the product has changed since"
  elif [ -f "$root/verification.json.minisig" ]; then
    note "verification.json reports a pass at $finished; check its signature: minisign -Vm verification.json -p KEY.pub"
  else
    note "verification.json reports a pass at $finished; it is not signed, so this is no proof of its origin"
  fi
}
