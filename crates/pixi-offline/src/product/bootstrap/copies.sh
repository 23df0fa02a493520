
# ---- What --into makes: a copy of the project, and a cache of links to the product's.

# pixi opens the locks of its cache for writing, and writes beside the packages. So the
# target has a cache of its own, where the unpacked conda packages are links to those of the
# product, which are only read. What uv keeps is copied: it links or copies a directory of its
# archive that is a link as if it were a file, and hard-links what it cannot clone.

# The entries of the manifest, without most of those that are not copied.
copied_lines() {
  local skip='"path":"(res/|pkg-cache/pkgs/[^/]*/)'
  if printf 'a\n' | grep -v -E "$skip" >/dev/null 2>&1; then
    grep -v -E "$skip" -- "$root/manifest.json" || :
  else
    cat -- "$root/manifest.json"
  fi
}

# Sets dirs and files, which are copied, links among the latter; packages, what links to
# conda packages hold; copy_bytes and copy_entries. Only what the manifest lists is taken.
plan_copies() {
  local -x LC_ALL=C
  local line path kind size inside=no
  dirs=() files=() packages=() copy_bytes=0 copy_entries=0
  while IFS= read -r line; do
    case $inside$line in
      no'  "entries": ['*) inside=yes && continue ;;
      yes*'"path":"'*) ;;
      *) continue ;;
    esac
    path=${line#*\"path\":\"}
    kind=${path#*\",\"kind\":\"} path=${path%%\"*}
    case $path in *%*) printf -v path '%b' "${path//[%]/\\x}" ;; esac
    take_planned "${kind%%\"*}"
    if [ "$REPLY" = no ]; then continue; fi
    copy_entries=$((copy_entries + 1))
    case $kind in
      *'"size":'*)
        size=${kind##*\"size\":} size=${size%%[!0-9]*}
        # Of a list that anybody may have written.
        case $size in '' | 0?* | ????????????????*) ;; *) copy_bytes=$((copy_bytes + size)) ;; esac
        ;;
    esac
  done < <(copied_lines)
}

# Puts a path of this kind where it belongs. Sets REPLY to whether anything is made of it.
take_planned() {
  REPLY=yes
  case $path in
    "$project_name" | "$project_name"/*) if [ "$must_place" = no ]; then REPLY=no; fi ;;
    pkg-cache/pkgs/*/*) REPLY=no ;;
    pkg-cache | pkg-cache/* | envs.sh | bin | bin/*) if [ "$must_link" = no ]; then REPLY=no; fi ;;
    *) REPLY=no ;;
  esac
  if [ "$REPLY" = no ]; then return; fi
  case /$path/ in *//* | */./* | */../*) fail 2 "manifest.json lists a path that leads out of the product; copy the product again" ;; esac
  case $1,$path in
    directory,pkg-cache/pkgs/*) packages+=("../../.product/$path") ;;
    directory,*) dirs+=("$path") ;;
    *) files+=("$path") ;;
  esac
}

# Runs a command, up to its `--`, with the words that follow and one last, in pieces that
# fit on a command line.
in_pieces() {
  local last=$1 command=() index
  shift
  while [ "$1" != -- ]; do command+=("$1") && shift; done
  shift
  for ((index = 1; index <= $#; index += 200)); do
    "${command[@]}" -- "${@:index:200}" ${last:+"$last"} || return
  done
}

# Makes the copies in a draft. The product is read from where this shell stands: that stays
# the same product when an update renames it.
make_copies() {
  local draft=$1 path made=()
  cd -- "$root" || return
  if [ "$(stat -c %d:%i . 2>/dev/null)" != "$root_identity" ]; then return 1; fi
  mkdir -- "$draft" || return
  (cd -- "$draft" && in_pieces '' mkdir -p -- ${dirs[@]+"${dirs[@]}"}) || return
  in_pieces "$draft/" cp -R -P --preserve=timestamps --parents --reflink=auto -- ${files[@]+"${files[@]}"} || return
  in_pieces "$draft/pkg-cache/pkgs/" ln -s -- ${packages[@]+"${packages[@]}"} || return
  for path in pkg-cache bin "$project_name" envs.sh; do
    if [ -e "$draft/$path" ]; then made+=("$draft/$path"); fi
  done
  # A product may be readable alone, and the copies are this user's.
  chmod -R u+rwX -- "${made[@]}" || return
  if [ "$must_link" = yes ]; then say_where_from >>"$draft/envs.sh" || return; fi
  [ . -ef "$root" ]
}

# What the envs.sh of the target has at its end.
say_where_from() {
  local sum
  sum=$(sha256sum <manifest.json) || return
  printf '_pixi_offline_name=%s.%s\n' "${product_digest:0:12}" "${sum%% *}"
  cat <<'END_OF_ENVS'
# Made by bootstrap-project.sh --into. The conda packages are in the product, so environments
# share no file with them.
export PIXI_NO_HARD_LINKS=true
# Whether that product is still there: an update keeps the one before beside the new one.
# shellcheck disable=SC2016 # expanded there
_pixi_offline_name=$(sh -c '
  product=$(readlink "$1/.product" && printf x)
  product=${product%?x}
  if [ -z "$product" ]; then
    printf "WARNING: the product that this was installed from is not known: %s is missing; PRODUCT_RES_DIR and installing again need the product, the environments do not\n" "$1/.product" >&2
    exit
  elif [ -d "$product.${2%.*}/res" ]; then
    printf "%s" "$product.${2%.*}/res"
  elif [ ! -d "$product/res" ]; then
    printf "WARNING: the product that this was installed from is not there: %s; PRODUCT_RES_DIR and installing again need it, the environments do not\n" "$product" >&2
    exit
  else
    grep -q -x -F "${2#*.}  manifest.json" "$product/SHA256SUMS" 2>/dev/null
    if [ "$?" != 1 ]; then exit; fi
  fi
  printf "WARNING: there is another version of the product since this was installed: %s; its bootstrap-project.sh --into installs it here\n" "$product" >&2
' sh "${PIXI_CACHE_DIR%/pkg-cache}" "$_pixi_offline_name")
if [ -n "$_pixi_offline_name" ]; then export PRODUCT_RES_DIR="$_pixi_offline_name"; fi
unset _pixi_offline_name
END_OF_ENVS
}

# Brings what a run that was cut short left into a state that is known: the project is the
# old or the new one, and none is lost.
recover() {
  rm -rf -- "${target:?}/$draft_name" || fail 2 "$shown_target/$draft_name cannot be removed"
  if [ -z "$moving" ]; then return; fi
  if [ -n "$aside" ] && [ ! -e "$target/$project_name" ] && [ -e "$target/$project_name.$aside" ]; then
    mv -n -T -- "$target/$project_name.$aside" "$target/$project_name" || fail 2 "$shown_target cannot be written"
  elif [ -e "$target/$project_name" ] && { [ -z "$aside" ] || [ -e "$target/$project_name.$aside" ]; }; then
    placed=$moving
  fi
  moving='' aside=''
  write_record
}

# Puts the project of the draft in its place, and the one that is there beside it.
place_project() {
  local draft=$1 number=1 old=$target/$project_name shown
  aside=
  if [ -e "$old" ] || [ -L "$old" ]; then
    aside=${placed:0:12}
    aside=${aside:-0}
    while [ -e "$old.$aside" ] || [ -L "$old.$aside" ]; do
      number=$((number + 1))
      aside=${aside%%.*}.$number
    done
  fi
  moving=$product_digest
  write_record
  if [ -n "$aside" ]; then
    mv -n -T -- "$old" "$old.$aside" || fail 2 "$shown_target cannot be written"
    printf -v shown '%q' "$old.$aside"
    note "the project that was there is now $shown, with all that was changed in it; its environments work there no longer. When you need it no more: rm -rf $shown"
  fi
  mv -n -T -- "$draft/$project_name" "$old" || fail 2 "$shown_target cannot be written; run it again"
  placed=$product_digest moving='' aside=''
  write_record
}

# Puts the cache of the draft, and what goes with it, in place of what is there.
place_cache() {
  local draft=$1 entry
  linked=
  write_record
  for entry in pkg-cache bin envs.sh; do
    if [ ! -e "$draft/$entry" ]; then continue; fi
    if [ "$entry" = bin ]; then has_bin=yes && write_record; fi
    if ! rm -rf -- "${target:?}/$entry" || ! mv -n -T -- "$draft/$entry" "$target/$entry"; then
      fail 2 "$shown_target/$entry cannot be replaced; run it again"
    fi
  done
  # The pixi of the product before, where this one has none.
  if [ "$has_bin" = yes ] && [ "$bundled_pixi" != yes ]; then rm -rf -- "${target:?}/bin" && has_bin=no; fi
  if [ ! -L "$target/res" ]; then ln -s -- .product/res "$target/res" || fail 2 "$shown_target/res cannot be written"; fi
  linked=$product_digest
  write_record
}

# Makes the target what a product is: a directory with project, cache, resources and envs.sh.
fill_target() {
  local draft=$target/$draft_name
  if [ ! -e "$target" ]; then
    if mkdir -- "$target" 2>/dev/null; then made_target=yes; fi
    [ -d "$target" ] || fail 2 "$shown_target cannot be made"
  fi
  take_lock
  # Another run may have ended since.
  require_own_target
  read_record
  recover
  decide_work
  if [ "$must_place$must_link" != nono ]; then
    plan_copies
    if ! has_record; then write_record; fi
    (make_copies "$draft") || fail 2 "the product could not be copied into $shown_target; is the disk full, or was the product replaced meanwhile? Run it again"
    if [ "$must_place" = yes ]; then place_project "$draft"; fi
    if [ "$must_link" = yes ]; then place_cache "$draft"; fi
    rm -rf -- "$draft"
  fi
  if [ "$(readlink -- "$target/.product" && printf x)" != "$root"$'\nx' ]; then
    ln -s -f -n -- "$root" "$target/.product" || fail 2 "$shown_target/.product cannot be written"
  fi
  # Of a directory that is there now.
  find_mark
}

# The product may have been replaced while pixi read it by its path.
require_same_product() {
  if [ "$copying" = no ] || [ "$(stat -c %d:%i -- "$root/" 2>/dev/null)" = "$root_identity" ]; then return; fi
  fail 2 "the product was replaced while this ran, and $shown_target may have packages of both; run the bootstrap-project.sh of the new one: --into $shown_target"
}

# Removes what is of use to no later run.
clean_up() {
  if [ -n "$git_settings" ]; then rm -f -- "$git_settings"; fi
  if [ "$has_lock" = yes ]; then
    rm -rf -- "${target:?}/$draft_name"
    # A target that never came to be.
    if [ -z "$placed$moving" ] && [ "$must_place" = yes ]; then rm -f -- "$target/$record_name"; fi
    rm -f -- "$target/$lock_name" "$target/$record_name.new"
  fi
  if [ "$made_target" = yes ]; then rmdir -- "$target" 2>/dev/null || :; fi
  # Then that is why pixi failed.
  if [ "$installing" = yes ]; then require_same_product; fi
}
