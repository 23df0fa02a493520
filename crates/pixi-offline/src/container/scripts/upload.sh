#!/bin/sh
# Takes a program from its input into a container of the caller: into the
# first place where a file can be made and run. Says where on its output.
name=$1
size=$2
shift 2
# Other users of the container see our words, and must not get at the program: it
# is in a directory of its own that nobody else can enter, made here and now.
umask 077
set -C
for dir in "$@"; do
  # Where everybody may rename what others made, no directory is safe.
  # shellcheck disable=SC2012 # one directory, and only its mode is looked at
  case $(ls -ldL "$dir" 2>/dev/null) in
    d???????w[!tT]* | '') continue ;;
  esac
  place=$dir/$name
  mkdir "$place" 2>/dev/null || continue
  file=$place/program
  if { printf '#!/bin/sh\nexit 0\n' >"$file" && chmod 700 "$file" && "$file"; } 2>/dev/null; then
    # A new file: the one just run may still be busy. A part of the program
    # means that whoever sends it is gone.
    rm -f "$file" && cat >"$file" && [ "$(wc -c <"$file")" -eq "$size" ] && chmod 700 "$file" &&
      printf '%s' "$file" && exit
    rm -rf "$place"
    exit 1
  fi
  rm -rf "$place" 2>/dev/null
done
echo "no place to put a program into: tried $*" >&2
exit 1
