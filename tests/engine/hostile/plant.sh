#!/bin/sh
# Plants what the file `plan` of the project lists, and prints `planted ACTION PLACE` for
# each that was possible. Its lines are `WHEN ACTION PLACE`; those are taken whose WHEN is
# the first argument. PLACE is a word for this shell, so that it may begin with one of the
# variables below. The links lead to the directory of the host that the file `witness` names.
set -u
when=$1
witness=$(cat witness)
# An offline install is not told where that is, and can find it.
out=${VERIFY_OUT_DIR:-/pixi-offline/out}
cache=$PIXI_CACHE_DIR
resources=$PRODUCT_RES_DIR
project=$PWD
top=${out%/*}
# The run from a workdir and the final verification have the out directory elsewhere.
[ "${cache%/*}/project/demo" != "$project" ] || top=${cache%/*}
export out cache resources project top

plant() {
  # Nothing may be left at the place; what is mounted there stays.
  rm -rf -- "$2" 2>/dev/null
  if [ -e "$2" ] || [ -L "$2" ]; then return 1; fi
  mkdir -p -- "${2%/*}" || return
  case $1 in
    link-to-file) ln -s "$witness/file" "$2" ;;
    link-to-dir) ln -s "$witness/dir" "$2" ;;
    link-to-nothing) ln -s "$witness/new" "$2" ;;
    link-upwards) ln -s "../../../../../../../../../../../../..$witness/file" "$2" ;;
    link-to-device) ln -s /dev/zero "$2" ;;
    link-to-itself) ln -s "${2##*/}" "$2" ;;
    fifo) mkfifo -m 0666 "$2" ;;
    device) mknod -m 0666 "$2" c 1 5 ;;
    socket) perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die "$!\n"' "$2" ;;
    dir) mkdir "$2" && echo planted >"$2/inside" ;;
    file) echo planted >"$2" ;;
    setuid) echo planted >"$2" && chmod 6777 "$2" ;;
    locked-dir) mkdir "$2" && echo planted >"$2/inside" && chmod 0000 "$2" ;;
    long-name) mkdir "$2" && : >"$2/$(printf '%0255d' 0)" ;;
    chain) ln -s "$2.second" "$2" && ln -s "$witness/file" "$2.second" ;;
    swapped)
      echo planted >"$2"
      (
        while :; do
          ln -sfn "$witness/file" "$2"
          rm -f -- "$2"
          echo planted >"$2"
        done
      ) >/dev/null 2>&1 &
      ;;
    sparse) truncate -s 10G "$2" ;;
    many)
      mkdir "$2" && cd "$2" || return
      i=0
      while [ "$i" -lt 1000 ]; do
        # shellcheck disable=SC2046 # a hundred names
        touch $(seq -f "entry-$i-%g" 100)
        i=$((i + 1))
      done
      cd /
      ;;
    *) echo "no such action: $1" && exit 3 ;;
  esac
}

plan=$(cat plan)
while read -r wanted action place; do
  [ "$wanted" = "$when" ] || continue
  eval "path=$place"
  # shellcheck disable=SC2154 # set by the line above
  if plant "$action" "$path"; then echo "planted $action $place"; fi
done <<END_OF_PLAN
$plan
END_OF_PLAN
exit 0
