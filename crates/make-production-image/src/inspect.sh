#!/bin/sh
# Says what an image is as a system, a line for each fact that is known.
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=
if [ -z "$libc" ]; then
  # musl's says its name on the other stream, and fails.
  libc=$(ldd --version 2>&1)
  libc=${libc%%
*}
fi
# No ldd either, but musl's loader.
for loader in /lib/ld-musl-*; do
  if [ -e "$loader" ]; then libc='musl libc'; fi
done
echo "libc $libc"
bash=$(command -v bash) && echo "bash $bash"
pixi=$(pixi --version 2>/dev/null) && echo "pixi $pixi"
echo "user $(id -u)"
if [ -d "$1" ]; then
  for entry in "$1"/* "$1"/.[!.]*; do
    if [ -e "$entry" ]; then
      echo "taken $entry"
      break
    fi
  done
elif [ -e "$1" ]; then
  echo "taken $1"
fi
exit 0
