
# Installs a product where there is no network, and verifies it.

# `copy` or `in-place`; the project, or nothing; `chosen` when the arguments name an
# environment; the expected files (one a line).
: "${how?}" "${name?}" "${environment?}" "${expected_files?}"
# The arguments are those of pixi for the verification.

product=/product
out=/pixi-offline/out
chown_dir=/
chown_paths='pixi-offline/out'
[ "$how" = in-place ] && chown_paths="$chown_paths product"
check_out_dir

# Without a network there is no proxy either. The engine's configuration may have
# named one here, with its password.
unset HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY \
  http_proxy https_proxy ftp_proxy all_proxy no_proxy

# The product's own scripts are bash scripts.
need bash

# With the agent that the host may have put there, in half the time. Where it
# cannot be started (an image for another processor, a mount without programs), or there
# is something at the place already, the image's own does it.
copy_product() {
  if [ -z "$(ls -A "$product")" ] && "$copy_agent" --version >/dev/null 2>&1; then
    "$copy_agent" --inside-container "{\"copy\": {\"from\": \"/pixi-offline/product\", \"to\": \"$product\"}}"
  else
    cp -a /pixi-offline/product/. "$product/"
  fi
}

copy_agent=$out/.pixi-offline-new-copier
if [ "$how" = copy ]; then
  mkdir -p "$product" && phase copy copy_product || exit
fi
rm -f "$copy_agent"

cd "$product" || exit
if command -v pixi >/dev/null 2>&1; then
  say "pixi $(pixi --version 2>/dev/null)"
fi
# Packets that found no way out, and datagrams to a resolver on loopback that is
# not there: the kernel counts them for this network namespace (proc(5), snmp).
count_attempts() {
  total=0
  while read -r names && read -r values; do
    case $names in
      Ip:*) wanted=OutNoRoutes ;;
      Udp:*) wanted=NoPorts ;;
      *) continue ;;
    esac
    # shellcheck disable=SC2086 # a line of words
    set -- $values
    for counter in $names; do
      [ "$counter" = "$wanted" ] && total=$((total + $1))
      shift
    done
  done </proc/net/snmp
  if [ -r /proc/net/snmp6 ]; then
    while read -r counter value; do
      case $counter in Ip6OutNoRoutes | Udp6NoPorts) total=$((total + value)) ;; esac
    done </proc/net/snmp6
  fi
}

# A phase, and how often something tried to reach the network in it.
phase_offline() {
  if [ -r /proc/net/snmp ]; then
    count_attempts
    before=$total
    phase "$@"
    status=$?
    count_attempts
    say_number "attempts $1" $((total - before))
    return "$status"
  fi
  phase "$@"
}

# The host reads the same counters from outside, where it can: now, after the
# bootstrap and when this container has ended.
wait_for_host start
phase_offline bootstrap env PIXI_OFFLINE_NEXT=no ./bootstrap-project.sh ${name:+--project-name "$name"} || exit

if [ $# -gt 0 ]; then
  wait_for_host bootstrap
  # What the product installs, and where the project is below it: it may be deep in the
  # directory that was staged with it.
  # shellcheck disable=SC2016 # expanded there
  asked=$(unset PIXI_OFFLINE_PROJECT && bash -c '. "$1/envs.sh" >/dev/null 2>&1; printf "%s\n%s" "${PIXI_OFFLINE_ENVIRONMENTS:-default}" "${PIXI_OFFLINE_PROJECT:-$2}"' \
    pixi-offline "$product" "$name")
  # No name of an environment has a line end.
  newline='
'
  installed=${asked%%"$newline"*}
  project=${asked#*"$newline"}
  # What the product installs is what is verified: the default environment where
  # it is among that, else the first.
  case $environment$installed in
    chosen* | default | "default "* | *" default" | *" default "*) ;;
    *) shift && set -- run -e "${installed%% *}" "$@" ;;
  esac
  # In a shell of its own, with nothing but positional words: what the person
  # has envs.sh export may have any name.
  # shellcheck disable=SC2016 # expanded there
  phase_offline verify bash -c '. "$1/envs.sh" && export VERIFY_OUT_DIR="$2" && cd -- "$1/$3" && shift 3 && exec pixi "$@"' \
    pixi-offline "$product" "$out" "$project" "$@" || exit
  check_expected_files "$product/$project" "$expected_files" || exit
fi
exit 0
