#!/bin/sh
# shellcheck disable=SC2317
# The beginning of every script in a container: how it talks to the
# host, how it ends, and who owns what it leaves.

# Neither shown nor exported, whatever the image has set: what comes now is secret.
set +avx
unset tokens token credential_token
# Tokens for the events, two for each, which are in no command line and no environment;
# see protocol.rs. Only builtins of the shell see them.
IFS= read -r tokens <&9 || exit 1

shell=$1
nonce=$2
# The variables of the script, as assignments.
eval "$3"
shift 3

# The next token: that for a success, or with `failure` that for one.
take_token() {
  token=${tokens%% *}
  tokens=${tokens#* }
  [ "$1" = success ] || token=${tokens%% *}
  tokens=${tokens#* }
}

# Says something to the host. What tells that something went wrong is said with
# `failure` as the second word.
say() {
  take_token "${2:-success}"
  printf '\036%s %s\036\n' "$token" "$1"
}
# The same of something with an exit code or a count: 0 is the success.
say_number() {
  if [ "$2" = 0 ]; then say "$1 $2"; else say "$1 $2" failure; fi
}
take_token success
credential_token=$token

# The engine's configuration puts proxies into the environment, with user and
# password: the host masks these in its logs. An event is no longer than 8 KiB.
env | while IFS= read -r variable; do
  case $variable in
    *://*@*)
      [ "${#variable}" -lt 4000 ] &&
        printf '\036%s credential %s\036\n' "$credential_token" "$variable"
      ;;
  esac
done
say "started $shell"
# A program of its own would have the token in its command line.
case $(command -v printf) in
  */*)
    say 'missing-program shell with a printf of its own' failure
    say 'finished 127' failure
    exit 127
    ;;
esac

PATH=$PATH:$PIXI_OFFLINE_IMAGE_PATH
export PATH
unset PIXI_OFFLINE_IMAGE_PATH
# Repository data would be readable by its owner alone.
umask 022

# Settings of the image or its profile that would lead pixi's cache elsewhere,
# or decide about the lock in our place.
unset RATTLER_CACHE_DIR PIXI_CACHE_CONDA_PACKAGES_DIR PIXI_CACHE_REPODATA_DIR \
  PIXI_CACHE_PYPI_WHEELS_DIR PIXI_CACHE_PYPI_MAPPING_DIR PIXI_CACHE_EXEC_ENVIRONMENTS_DIR \
  PIXI_CACHE_BUILD_TOOL_ENVIRONMENTS_DIR PIXI_CACHE_DETACHED_ENVIRONMENTS_DIR \
  PIXI_FROZEN PIXI_LOCKED PIXI_IN_SHELL PIXI_ENVIRONMENT_NAME CONDA_PREFIX \
  PIXI_PROJECT_MANIFEST PIXI_PROJECT_NAME PIXI_PROJECT_ROOT PIXI_PROJECT_VERSION

out=
chown_dir=
child=
watchdog=
# The agent, in a directory of its own, that nobody else would remove.
agent_path=

# What container root made belongs to whoever owns the out directory; things that
# were staged with another owner keep it (chown would also take their setuid).
# Nothing is staged into the out directory: all of it changes hands, so that the host
# can move it.
restore_ownership() {
  [ -n "$out" ] && [ "$(id -u)" = 0 ] || return 0
  owner=$(stat -c %u:%g "$out" 2>/dev/null) || return 0
  case $owner in 0:*) return 0 ;; esac
  # shellcheck disable=SC2086 # a list of paths of this script, none with a space
  (cd "$chown_dir" 2>/dev/null && set -- $chown_paths &&
    { chown -hR --from=0 "$owner" "$@" 2>/dev/null ||
      find "$@" -user 0 -exec chown -h "$owner" {} + 2>/dev/null; })
  chown -hR "$owner" "$out" 2>/dev/null
}

ended() {
  code=$?
  trap '' TERM INT HUP
  restore_ownership
  say_number finished "$code"
  [ -n "$watchdog" ] && kill -KILL "$watchdog" 2>/dev/null
  exit "$code"
}

interrupted() {
  trap '' TERM INT HUP
  say interrupted failure
  [ -z "$agent_path" ] || rm -rf -- "${agent_path%/*}"
  if [ -n "$child" ]; then
    kill -KILL -- "-$child" 2>/dev/null || kill -KILL "$child" 2>/dev/null
  fi
  exit 143
}

trap ended EXIT
trap interrupted TERM INT HUP

# The host holds the other end of our input. When that closes, whoever started
# us is gone, killed perhaps, and nobody would remove this container.
watch() {
  (
    trap - EXIT TERM INT HUP
    # Nothing is to be read: a line would be no better than the end.
    read -r _ <&9
    kill -TERM $$
  ) >/dev/null 2>&1 &
  watchdog=$!
}
watch

# Says what is over, and waits for the host's answer, a line.
wait_for_host() {
  { kill -KILL "$watchdog" && wait "$watchdog"; } 2>/dev/null
  say "ready $1"
  read -r _ <&9 || interrupted
  watch
}

# Runs a command as a named phase; the host logs its output under that name.
# It runs in the background and in a process group of its own, since a shell
# handles a signal only between foreground commands.
phase() {
  phase=$1
  shift
  say "begin $phase"
  [ "$shell" = bash ] && set -m
  count_kills
  kills_before=$kills
  "$@" 9<&- &
  child=$!
  [ "$shell" = bash ] && set +m
  wait "$child"
  code=$?
  child=
  if [ "$code" != 0 ]; then
    count_kills
    [ "$kills" = "$kills_before" ] || say "out-of-memory $phase" failure
  fi
  say_number "end $phase" "$code"
  return "$code"
}

# How many processes of this container the kernel has killed for lack of memory:
# its cgroup counts them (cgroup version 2, else 1).
count_kills() {
  kills=
  for events in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r "$events" ] || continue
    while read -r counter value; do
      [ "$counter" = oom_kill ] && kills=$value
    done <"$events"
  done
}

need() {
  command -v "$1" >/dev/null 2>&1 && return
  say "missing-program $1" failure
  exit 127
}

# The host has put a file named after the nonce into the out directory it mounted here. An engine on
# another machine mounts a directory of its own instead, an empty one.
check_out_dir() {
  [ -e "$out/.pixi-offline-$nonce" ] && return
  say out-dir-is-not-ours failure
  exit 1
}

# Looks for each line of $2 below $1 and below the out directory; says the first 20 that
# are missing.
check_expected_files() {
  [ -n "$2" ] || return 0
  missing=
  while IFS= read -r file; do
    [ -e "$1/$file" ] || [ -e "$out/$file" ] && continue
    [ "${#missing}" -ge 20 ] || say "missing-file $file" failure
    missing=x$missing
  done <<END_OF_FILES
$2
END_OF_FILES
  [ -z "$missing" ]
}
