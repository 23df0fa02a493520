#!/bin/sh
# The old script's name for final-verify-product: runs the binary that is
# beside this file, in the build output, or on PATH.
name=final-verify-product
here=$(CDPATH='' cd -P -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
for binary in "$here/$name" "$here"/../target/*/release/"$name" "$here/../target/release/$name"; do
  [ -x "$binary" ] && exec "$binary" "$@"
done
command -v "$name" >/dev/null 2>&1 && exec "$name" "$@"
echo "ERROR: Missing required command: $name (neither beside $0, nor in the build output, nor on PATH)" >&2
exit 127
