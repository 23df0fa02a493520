#!/bin/sh
# The old script's name for create-workdir-from-container: runs the binary that is
# beside this file, in the build output, or on PATH.
name=create-workdir-from-container
here=$(CDPATH='' cd -P -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
for binary in "$here/$name" "$here"/../target/*/release/"$name" "$here/../target/release/$name"; do
  [ -x "$binary" ] && exec "$binary" "$@"
done
command -v "$name" >/dev/null 2>&1 && exec "$name" "$@"
echo "ERROR: Missing required command: $name (neither beside $0, nor in the build output, nor on PATH)" >&2
exit 127
