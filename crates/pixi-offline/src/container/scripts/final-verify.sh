
# Installs a product where there is no network, and verifies it.

how=$1
name=$2
expected_files=$3
shift 3

product=/product
out=/pixi-offline/out
give_back=/
give_back_entries='pixi-offline/out'
[ "$how" = in-place ] && give_back_entries="$give_back_entries product"
check_out_folder

# The product's own scripts are bash scripts.
need bash

if [ "$how" = copy ]; then
  mkdir -p "$product" && phase copy cp -a /pixi-offline/product/. "$product/" || exit
fi

cd "$product" || exit
if command -v pixi >/dev/null 2>&1; then
  say "pixi $(pixi --version 2>/dev/null)"
fi
phase bootstrap ./bootstrap-project.sh ${name:+--project-name "$name"} || exit

if [ $# -gt 0 ]; then
  # In a shell of its own, with nothing but positional words: what the person
  # has envs.sh export may have any name.
  # shellcheck disable=SC2016 # expanded there
  phase verify bash -c '. "$1/envs.sh" && export VERIFY_OUT_DIR="$2" && cd -- "$1/$3" && shift 3 && exec pixi "$@"' \
    pixi-offline "$product" "$out" "$name" "$@" || exit
  check_expected_files "$product/$name" "$expected_files" || exit
fi
exit 0
