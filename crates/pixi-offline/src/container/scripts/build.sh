
# Installs the staged project and verifies it, both with network.

where=$1
workdir=$2
name=$3
install_options=$4
expected_files=$5
shift 5

out=$workdir/out
give_back=$workdir
give_back_entries='project resources pixi-cache out'
# In a container that is somebody's the workdir is its own, not the host's.
[ "$where" = inside ] || check_out_folder

export PIXI_CACHE_DIR="$workdir/pixi-cache"
export PRODUCT_RES_DIR="$workdir/resources"
export VERIFY_OUT_DIR="$out"

need pixi
say "pixi $(pixi --version 2>/dev/null)"
cd -- "$workdir/project/$name" || exit

# shellcheck disable=SC2086 # options of ours, none with a space in it
phase install pixi install $install_options || exit

if [ $# -gt 0 ]; then
  # The lock was honoured or written a moment ago; a verification must not
  # change it behind the person's back.
  export PIXI_FROZEN=true
  phase verify pixi "$@" || exit
  check_expected_files "$PWD" "$expected_files" || exit
fi
exit 0
