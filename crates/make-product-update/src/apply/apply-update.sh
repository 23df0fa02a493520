#!/usr/bin/env bash
# Makes a new product out of an old one and this update, and puts it in the place of the
# old one. Needs bash 4.2 and coreutils.
if [ -z "${BASH_VERSION-}" ]; then
  echo 'ERROR: run it with bash: bash apply-update.sh' >&2
  exit 2
fi
# One command, so that bash reads all of it first.
# shellcheck disable=SC2317 # other functions and traps call functions by their names
{
# Functions that the caller's shell exports would take the place of builtins and programs.
# In POSIX mode no function takes the place of these builtins.
POSIXLY_CORRECT=1
unset -f unset set eval trap read declare builtin command printf 2>/dev/null || :
# Before 5.1 bash reads less in this mode, which a variable may have turned on.
set +o posix
unset POSIXLY_CORRECT QUOTING_STYLE BLOCK_SIZE BLOCKSIZE DF_BLOCK_SIZE DU_BLOCK_SIZE TIME_STYLE
set -euo pipefail
# Options that a variable may have turned on, too.
set +f +k
unset FUNCNEST
while read -r _ _ REPLY; do unset -f "$REPLY"; done < <(declare -F)
unset GLOBIGNORE
shopt -u nocasematch failglob nullglob dotglob
# Where & in what replaces a pattern would stand for what it matched.
shopt -u patsub_replacement 2>/dev/null || :
# Bytes, whatever the names are.
export LC_ALL=C
# Known everywhere; before 4.3 bash makes none from inside a function.
declare -A listed facts linkable

usage() {
  cat <<'END_OF_USAGE'
Usage: ./apply-update.sh [OPTIONS] TARGET

  ./apply-update.sh --check /opt/weather    look whether it can be applied; changes nothing
  ./apply-update.sh /opt/weather            apply it
  ./apply-update.sh --restore /opt/weather  put the old product back

Makes the new product beside TARGET, out of TARGET and this update, compares every byte,
mode and link of it, and puts it in the place of TARGET. The old product stays beside it as
TARGET.<first 12 digits of its digest>. When it is interrupted, both are whole on the disk:
the next call finishes, --restore undoes.

Options:
  --check       only look: the update and every file of TARGET that is needed are compared
                with their digests
  --hard-links  share unchanged files of the package cache with the old product, instead of
                copying them: a program that writes into one in place changes both
  --older       go on where TARGET is newer than the product of this update
  --remove-old  remove the old product once the new one is whole in its place
  --restore     put the old product back, or end what an interrupted call left
  -h, --help    this text

Exit codes: 0 done, or done before; 1 a failure, 2 wrong use or a problem that was found
before anything was changed. In both cases TARGET is as it was, unless the message names
something else.
END_OF_USAGE
}

# ---- What is said, all of it on stderr.

fail() {
  local code=$1
  shift
  printf 'ERROR: %s\n' "$*" >&2
  exit "$code"
}

say() {
  printf '%s\n' "$*" >&2
}

note() {
  printf 'NOTE: %s\n' "$*" >&2
}

warning() {
  printf 'WARNING: %s\n' "$*" >&2
}

# A number and what it counts: what follows 1, and what follows any other number.
counted() {
  if [ "$1" = 1 ]; then printf '1 %s' "$2"; else printf '%s %s' "$1" "$3"; fi
}

# How many names of one kind are shown.
most_shown=20

# Names paths that are not as they should be, as many as a screen has.
show_paths() {
  local what=$1 path count=0
  shift
  for path; do
    count=$((count + 1))
    if [ "$count" -gt "$most_shown" ]; then break; fi
    printf 'ERROR: %s: %q\n' "$what" "$path" >&2
  done
  if [ $# -gt "$most_shown" ]; then printf 'ERROR: %s: %s more\n' "$what" $(($# - most_shown)) >&2; fi
}

# ---- Lists of records that each end with a NUL.

# Sets records to the next ones of descriptor 3, $1 at most; 1 when there are no more.
next_records() {
  local record
  records=()
  if [ "$reads_by_nul" = yes ]; then
    mapfile -t -d '' -n "$1" -u 3 records
  else
    while [ ${#records[@]} -lt "$1" ] && IFS= read -r -d '' -u 3 record; do records+=("$record"); done
  fi
  [ ${#records[@]} -gt 0 ]
}

# How many records are looked at in one go.
batch=5000

# Sets what this bash and this machine can do: whether mapfile reads records; how many bytes a file has at most that
# bash copies in less time than a process takes; how many characters the words of a command may have in all: 128 KiB with
# the environment where the stack is small.
find_limits() {
  local stack
  reads_by_nul=no most_by_bash=-1 word_room=100000
  if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then reads_by_nul=yes most_by_bash=65536; fi
  stack=$(ulimit -s) || stack=0
  case $stack in unlimited | 8192 | [1-9]????*) word_room=1000000 ;; esac
}

# Runs a command with many words, as often as their length takes.
in_parts() {
  local fixed=$1 text
  shift
  local words=("${@:1:fixed}")
  shift "$fixed"
  text="$*"
  # A pointer to each counts as well.
  if [ $((${#text} + 8 * $#)) -gt "$word_room" ] && [ $# -gt 1 ]; then
    in_parts "$fixed" "${words[@]}" "${@:1:$(($# / 2))}" && in_parts "$fixed" "${words[@]}" "${@:$(($# / 2 + 1))}"
    return
  fi
  "${words[@]}" "$@"
}

# Runs a command in a directory.
in_dir() {
  (cd -- "$1" && "${@:2}")
}

# Runs a command with records as its last words. bash takes a while to hand so many on: no function does more often than
# it must.
with_records() {
  local text="${records[*]}"
  # A pointer to each counts as well.
  if [ $((${#text} + 8 * ${#records[@]})) -gt "$word_room" ]; then
    in_parts $# "$@" "${records[@]}"
  else
    "$@" "${records[@]}"
  fi
}

# The same in a directory, with all records of a file.
with_list() {
  (
    cd -- "$1" || exit
    while next_records "$batch"; do with_records "${@:3}" || exit; done 3<"$2"
  )
}

print_lines() {
  if [ $# -gt 0 ]; then printf '%s\n' "$@"; fi
}

print_records() {
  if [ $# -gt 0 ]; then printf '%s\0' "$@"; fi
}

# Records as lines and back: what stands for a line end in a name is a NUL meanwhile.
swap_ends() {
  tr '\000\n' '\n\000'
}

# Records as lines that bash can keep: \1 stands for a line end in a name. Before 4.3 bash takes these characters for what
# they are only from variables, where it replaces text.
line_end=$'\001' newline=$'\n'
as_lines() {
  tr '\n\000' '\001\n'
}

# Sets lines to those of a text.
split_lines() {
  local IFS=$'\n'
  set -f
  # shellcheck disable=SC2206 # they are split on purpose
  lines=($1)
  set +f
}

# Sets of facts in a file of the plan: names and values in turn.
read_facts() {
  local prefix=$1 name value
  while IFS= read -r -d '' name && IFS= read -r -d '' value; do
    case $name in '' | *[!a-z-]*) continue ;; esac
    facts[$prefix$name]=$value
  done <"$2"
}

# Requires a fact that is a number; others would be calculated with.
require_number() {
  case ${facts[$1]-} in '' | *[!0-9]* | 0[0-9]* | ????????????????*) fail 1 "the update is damaged: its plan has no number for '$1'" ;; esac
}

# ---- Work that several processes share.

# Sets processes to how many are to work at a time.
count_processors() {
  processes=$(nproc 2>/dev/null) || processes=1
  case $processes in [1-8]) ;; [1-9]*) processes=8 ;; *) processes=1 ;; esac
}

# Waits until fewer than so many of our processes run, $1; remembers in work_failed that
# one of them failed.
wait_for_room() {
  while [ ${#running[@]} -gt "$1" ]; do
    wait "${running[0]}" || work_failed=yes
    running=("${running[@]:1}")
  done
}

# Starts a command beside this one.
start() {
  wait_for_room $((processes - 1))
  if [ "$work_failed" = yes ]; then return 1; fi
  "$@" &
  running+=("$!")
}

finish_work() {
  wait_for_room 0
  [ "$work_failed" = no ]
}

# Prints what sha256sum has to say of so many lines of a list, which is printed by a
# command, of the files in a directory. 1 when anything fails, also when a process was killed.
failed_sums() {
  local dir=$1 count=$2 part parts=$processes line passed output outputs=() code=0
  shift 2
  if [ "$count" -lt 50 ]; then parts=1; fi
  for ((part = 1; part <= parts; part++)); do
    exec {output}< <(cd -- "$dir" && "$@" | split -n "r/$part/$parts" | sha256sum --check --quiet --strict 2>/dev/null && printf 'passed\n')
    outputs+=("$output")
  done
  for output in "${outputs[@]}"; do
    passed=no
    while IFS= read -r line; do
      if [ "$line" = passed ]; then passed=yes; else printf '%s\n' "$line"; fi
    done <&"$output"
    if [ "$passed" = no ]; then code=1; fi
    exec {output}<&-
  done
  return "$code"
}

# Sets REPLY to the path in a line of SHA256SUMS, or of what sha256sum says of it: one that
# begins with a backslash has escapes.
unescaped() {
  REPLY=$1
  case $2 in \\*) printf -v REPLY '%b' "$1" ;; esac
}

# Sets failed_paths to those in what failed_sums printed.
take_failed() {
  local line path
  failed_paths=()
  while IFS= read -r line; do
    case $line in
      *': FAILED' | *': FAILED open or read')
        path=${line%: FAILED*}
        unescaped "${path#\\}" "$line"
        failed_paths+=("$REPLY")
        ;;
    esac
  done <<<"$1"
}

is_plain_file() {
  [ -f "$1" ] && [ ! -L "$1" ]
}

is_real_dir() {
  [ -d "$1" ] && [ ! -L "$1" ]
}

# Sets digest to that of a product, by its SHA256SUMS; empty where there is no product.
read_digest() {
  digest=''
  if ! is_real_dir "$1" || ! is_plain_file "$1/SHA256SUMS"; then return; fi
  digest=$(sha256sum <"$1/SHA256SUMS" 2>/dev/null) || digest=''
  digest=${digest%% *}
}
