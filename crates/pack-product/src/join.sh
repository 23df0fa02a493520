#!/bin/sh
# Checks the parts of an archive that are beside this script, and joins them.
# usage: sh join.sh [DIRECTORY]
# DIRECTORY is where the archive goes; without it, the directory of the parts.
set -eu
LC_ALL=C
export LC_ALL

fail() {
    printf 'ERROR: %s\n' "$1" >&2
    exit "${2:-1}"
}

case ${1-} in
-h | --help)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
esac
[ $# -le 1 ] || fail 'usage: sh join.sh [DIRECTORY]' 2
case $0 in
*/*) parts_dir=${0%/*} ;;
*) parts_dir=. ;;
esac
case $parts_dir in
/* | . | ./*) ;;
*) parts_dir=./$parts_dir ;;
esac
to=${1:-$parts_dir}
case $to in
/* | . | ./*) ;;
*) to=./$to ;;
esac
[ -d "$to" ] || fail "$to is not a directory" 2

list=
for found in "$parts_dir"/*.parts.sha256 "$parts_dir"/.*.parts.sha256; do
    [ -f "$found" ] || continue
    # macOS puts these beside files on a stick.
    case ${found##*/} in ._*) continue ;; esac
    [ -z "$list" ] || fail "there are parts of several archives in $parts_dir: leave those of one, with their lists" 2
    list=$found
done
[ -n "$list" ] || fail "there is no list NAME.parts.sha256 in $parts_dir: copy it there, too" 2
name=${list##*/}
name=${name%.parts.sha256}
[ -f "$parts_dir/$name.sha256" ] || fail "$name.sha256 is missing in $parts_dir: copy it there, too" 2
[ ! -e "$to/$name" ] || fail "$to/$name already exists: remove it, or name another directory" 2

# The digest of a file.
digest_of() {
    digest=$(sha256sum <"$1") || fail "$1 cannot be read"
    digest=${digest%% *}
}

# 1. Each part must be the one that the list has.
bad=0
parts=0
known=
complain() {
    printf 'ERROR: %s\n' "$1" >&2
    bad=1
}
# The last line of a file that a person edited may have no end.
while IFS= read -r line || [ -n "$line" ]; do
    wanted=${line%% *}
    part=${line#*  }
    case $part in
    "$name".[0-9][0-9][0-9]) ;;
    *) fail "$list has a line that names no part of $name: copy it again" ;;
    esac
    parts=$((parts + 1))
    known="$known $part"
    if [ ! -f "$parts_dir/$part" ]; then
        complain "$part is missing: copy it into $parts_dir"
        continue
    fi
    digest_of "$parts_dir/$part"
    [ "$digest" != "$wanted" ] || continue
    other=
    while IFS= read -r candidate || [ -n "$candidate" ]; do
        [ "${candidate%% *}" != "$digest" ] || other=${candidate#*  }
    done <"$list"
    if [ -n "$other" ]; then
        complain "$part is a second copy of $other: copy the right $part"
    else
        complain "$part is damaged, or a part of another archive: copy it again"
    fi
done <"$list"
[ "$parts" -gt 0 ] || fail "$list is empty: copy it again"
for found in "$parts_dir/$name".[0-9][0-9][0-9]; do
    [ -e "$found" ] || continue
    case "$known " in
    *" ${found##*/} "*) ;;
    *) complain "${found##*/} is not part of this archive: remove it" ;;
    esac
done
[ "$bad" -eq 0 ] || fail 'nothing was joined'

# 2. Join them under another name, which no other run has, and compare the whole.
for partial in "$to/.$name.joining".*; do
    [ ! -e "$partial" ] || printf 'NOTE: %s is of another run: remove it when that has ended\n' "$partial" >&2
done
partial=$to/.$name.joining.$$
trap 'rm -f "$partial"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# In a shell of its own, which a redirection that fails may end.
(: >"$partial") 2>/dev/null || fail "$to cannot be written to: name another directory" 2
number=1
while [ "$number" -le "$parts" ]; do
    cat "$parts_dir/$name.$(printf '%03d' "$number")" >>"$partial" || fail "$partial cannot be written: is $to full?"
    number=$((number + 1))
done
IFS= read -r line <"$parts_dir/$name.sha256" || [ -n "$line" ] || fail "$name.sha256 cannot be read"
digest_of "$partial"
[ "$digest" = "${line%% *}" ] || fail "the joined archive does not match $name.sha256: copy the lists again"
[ ! -e "$to/$name" ] || fail "$to/$name was made meanwhile, and is left as it is"
mv -f "$partial" "$to/$name" || fail "$to/$name cannot be made"
trap - EXIT
joined=$to/$name
printf 'OK: %s, sha256:%s\n' "${joined#./}" "$digest"
