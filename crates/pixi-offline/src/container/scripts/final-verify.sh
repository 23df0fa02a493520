
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
  cd -- "$product/$name" || exit
  # shellcheck disable=SC1091 # the product's
  . ../envs.sh
  export VERIFY_OUT_DIR="$out"
  phase verify pixi "$@" || exit
  check_expected_files "$PWD" "$expected_files" || exit
fi
exit 0
