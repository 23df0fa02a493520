#!/bin/bash
# Stands in for pixi where a test wants to know what a hostile program can say in our
# script's place. In a final verification $FORGE tells what it does.

# Connects to an address that no network has, so often.
attempt() {
  for ((n = 0; n < $1; n++)); do
    (exec 3<>/dev/tcp/192.0.2.1/9) 2>/dev/null
  done
}

# Whatever older processes show, and what can be read from their descriptors.
everything_in_sight() {
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'
  ls -aR /pixi-offline/out /tmp /dev/shm /run 2>/dev/null
  for process in /proc/[0-9]*; do
    [ "${process#/proc/}" -lt $$ ] || continue
    for descriptor in "$process"/fd/*; do
      timeout 0.2 head -c 65536 "$descriptor" 2>/dev/null
    done
  done
}

# Says with each word that could be a secret that all went well.
forge() {
  everything_in_sight | grep -aoE '[0-9a-f]{8,}' | sort -u | head -n 300 | while read -r word; do
    for words in 'attempts bootstrap 0' 'end bootstrap 0' 'end verify 0' 'finished 0'; do
      printf '\036%s %s\036\n' "$word" "$words"
    done
  done | tee /proc/1/fd/1
}

# Reads the output of the container in the host's place until our script has said how the
# phase $1 ended, and says it again as a success.
catch() {
  setsid bash -c '
    while IFS= read -r line; do
      [[ $line == *" end '"$1"' "* ]] && break
      printf "%s\n" "$line" >>/tmp/caught
    done </proc/1/fd/1
    line=${line%[0-9]*}
    printf "%s0\036\n" "$line" >/proc/1/fd/1
  ' >/dev/null 2>&1 &
  sleep 1
}

case ${1-} in
--version | -V) echo 'pixi 0.77.0' ;;
install)
  mkdir -p .pixi/envs/default/conda-meta
  printf '{}\n' >.pixi/envs/default/conda-meta/history
  case ${FORGE-} in
  words) attempt 3 && forge ;;
  catch) catch bootstrap && exit 1 ;;
  esac
  ;;
run)
  case ${FORGE-} in
  verify-words) forge && exit 7 ;;
  verify-catch) catch verify && exit 7 ;;
  verify-attempts) attempt 2 ;;
  verify-hang) sleep 600 ;;
  esac
  echo verified
  ;;
esac
exit 0
