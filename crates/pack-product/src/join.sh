#!/bin/sh
# Checks the parts of an archive that lie beside this script, and joins them.
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
/*) ;;
*) parts_dir=./$parts_dir ;;
esac
to=${1:-$parts_dir}
case $to in
/*) ;;
*) to=./$to ;;
esac
[ -d "$to" ] || fail "$to is no directory" 2

list=
for found in "$parts_dir"/*.parts.sha256; do
    [ -f "$found" ] || continue
    [ -z "$list" ] || fail "there are parts of several archives in $parts_dir: leave those of one, with their lists" 2
    list=$found
done
[ -n "$list" ] || fail "there is no list NAME.parts.sha256 in $parts_dir: copy it there, too" 2
name=${list##*/}
name=${name%.parts.sha256}
[ -f "$parts_dir/$name.sha256" ] || fail "$name.sha256 is missing in $parts_dir: copy it there, too" 2
[ ! -e "$to/$name" ] || fail "$to/$name is there already: remove it, or name another directory" 2

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
while IFS= read -r line; do
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
    while IFS= read -r candidate; do
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
    *) complain "${found##*/} is no part of this archive: remove it" ;;
    esac
done
[ "$bad" -eq 0 ] || fail 'nothing was joined'

# 2. Join them under another name, and compare the whole.
partial=$to/.$name.joining
trap 'rm -f "$partial"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$partial" || fail "$to cannot be written to: name another directory"
number=1
while [ "$number" -le "$parts" ]; do
    cat "$parts_dir/$name.$(printf '%03d' "$number")" >>"$partial" || fail "$partial cannot be written: is $to full?"
    number=$((number + 1))
done
IFS= read -r line <"$parts_dir/$name.sha256" || fail "$name.sha256 cannot be read"
digest_of "$partial"
[ "$digest" = "${line%% *}" ] || fail "what was joined is not the archive that $name.sha256 lists: copy the lists again"
mv "$partial" "$to/$name"
trap - EXIT
printf 'OK: %s, sha256:%s\n' "$to/$name" "$digest"
