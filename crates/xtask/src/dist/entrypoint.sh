#!/bin/sh
# Starts pixi-offline as the owner of the current directory, so that what is made belongs to
# that user, with the group that may use the engine's socket.
socket=/var/run/docker.sock
owner=$(stat -c %u .) && group=$(stat -c %g .) || exit
if [ "$(id -u)" != 0 ] || [ "$owner" = 0 ]; then
  exec pixi-offline "$@"
fi
if [ -S "$socket" ]; then
  groups=--groups=$(stat -c %g "$socket")
else
  groups=--clear-groups
fi
exec setpriv --reuid="$owner" --regid="$group" "$groups" pixi-offline "$@"
