#!/usr/bin/env bash
# Installs the project of this product from the product's own package cache,
# without a network. Needs bash 4.2, coreutils and pixi.
set -euo pipefail

# What the product knows of itself: make-archive-ready-product puts the facts of
# this product between the two marks. An empty value was not known to it.
# BEGIN FACTS
environments=('default')
built_by_pixi=''
lock_version=''
has_python_packages='no'
needs_git='no'
architecture=''
glibc=''
platform_name=''
install_bytes=''
install_entries=''
bundled_pixi='no'
carries_manifest='no'
virtual_packages=()
preferred_platforms=()
overrides=()
# END FACTS

usage() {
  cat <<'END_OF_USAGE'
Usage: ./bootstrap-project.sh [OPTIONS] [--] [pixi install arguments…]

Looks whether the project beside this script can be installed here, and installs
it with `pixi install` from pkg-cache/, without a network: every environment that
the product was made with, one call for each.

  --project-name NAME  the project's folder; found by itself when there is one
  --pixi PIXI          the pixi to use [default: bin/pixi of the product when it is
                       there, else the one on PATH]
  --any-pixi           go on with a pixi that does not fit the product
  --any-files          go on with files that are not as the product lists them
  --check              only look: one line for each check, nothing is installed; the
                       bytes of every file are compared with SHA256SUMS, too
  -h, --help           this text

Everything else is handed to `pixi install`. Environments named there (-e NAME,
--environment NAME, -a, --all) are installed, in one call, instead of those that
the product was made with. Afterwards: source envs.sh, go into the project's
folder, and use `pixi run`.

Looked at before pixi runs, all problems reported together: that every file, folder
and link is there as manifest.json lists it, and nothing else (sizes and kinds; the
bytes with --check), that the product can be written to, that pixi fits the lock and the package cache,
architecture, glibc and git, the length of the path, that programs may be started
there, space and inodes. An environment that was installed at another path does
not work here and is removed. What cannot be found out is said (`not checked: …`)
and stops nothing.

Exit codes: 2 wrong use or a problem found, 127 no pixi, else that of the first
`pixi install` that fails. With --check: 0 no problem, 2 a problem.
END_OF_USAGE
}

fail() {
  local code=$1
  shift
  printf 'ERROR: %s\n' "$*" >&2
  exit "$code"
}

# ---- What a check found: lines on stdout for --check, else what matters on stderr.

checking=no
problems=()

ok() {
  if [ "$checking" = yes ]; then printf 'ok: %s\n' "$*"; fi
}

problem() {
  problems+=("$*")
  if [ "$checking" = yes ]; then printf 'problem: %s\n' "$*"; fi
}

not_checked() {
  if [ "$checking" = yes ]; then printf 'not checked: %s\n' "$*"; else printf 'not checked: %s\n' "$*" >&2; fi
}

# The product has nothing to compare with: no news on every install.
not_recorded() {
  if [ "$checking" = yes ]; then not_checked "$1: the product does not record what it needs"; fi
}

warning() {
  if [ "$checking" = yes ]; then printf 'warning: %s\n' "$*"; else printf 'WARNING: %s\n' "$*" >&2; fi
}

note() {
  if [ "$checking" = yes ]; then printf 'note: %s\n' "$*"; else printf 'NOTE: %s\n' "$*" >&2; fi
}

# ---- Where things are.

is_project() {
  [ -f "$1/pixi.toml" ] || [ -f "$1/pyproject.toml" ]
}

# Sets root, the folder of this script, without losing a line end in its name.
find_product() {
  local script=${BASH_SOURCE[0]}
  case $script in */*) ;; *) script=./$script ;; esac
  root=$(CDPATH='' cd -P -- "${script%/*}/" >/dev/null && pwd -P && printf x)
  root=${root%?x}
}

# Sets project, and place: the deepest folder on the way to the environments.
find_project() {
  local folder found=()
  if [ -z "$name" ]; then
    for folder in "$root"/*/ "$root"/.[!.]*/; do
      folder=${folder%/}
      case ${folder##*/} in res | pkg-cache | bin) continue ;; esac
      if is_project "$folder"; then found+=("${folder##*/}"); fi
    done
    case ${#found[@]} in
      1) name=${found[0]} ;;
      0) fail 2 "no project beside $0: no folder in $root has a pixi.toml or pyproject.toml" ;;
      *) fail 2 "several projects beside $0 (${found[*]}); name one with --project-name" ;;
    esac
  fi
  case $name in */* | . | ..) fail 2 "--project-name '$name' is not the name of a folder in $root" ;; esac
  project=$root/$name
  is_project "$project" || fail 2 "$project has no pixi.toml or pyproject.toml; is --project-name right?"
  place=$project
  for folder in .pixi .pixi/envs; do
    if [ -d "$project/$folder" ]; then place=$project/$folder; fi
  done
}

# Sets pixi: the caller's, else the product's own, else the one on PATH.
choose_pixi() {
  if [ -z "$pixi" ]; then
    pixi=pixi
    if [ -f "$root/bin/pixi" ] && [ -x "$root/bin/pixi" ]; then
      pixi=$root/bin/pixi
    elif [ "$bundled_pixi" = yes ]; then
      warning "the product was made with a pixi of its own, but $root/bin/pixi is not there or not executable; the one on PATH is used"
    fi
  fi
  # PATH and the working directory may change before pixi is started.
  local on_path
  if on_path=$(type -P "$pixi"); then pixi=$on_path; fi
  case $pixi in
    /*) ;;
    */*) if [ -d "${pixi%/*}/" ]; then pixi=$(CDPATH='' cd -- "${pixi%/*}/" && pwd)/${pixi##*/}; fi ;;
  esac
}

# Sets wanted, the environments that will be installed, and named_by_caller.
choose_environments() {
  local word value_follows=no all=no
  named_by_caller=no
  wanted=()
  for word in "$@"; do
    if [ "$value_follows" = yes ]; then
      wanted+=("$word")
      value_follows=no
      continue
    fi
    case $word in
      -e | --environment) named_by_caller=yes value_follows=yes ;;
      -a | --all) named_by_caller=yes all=yes ;;
      --environment=*) named_by_caller=yes wanted+=("${word#*=}") ;;
      -e?*)
        word=${word#-e}
        named_by_caller=yes wanted+=("${word#=}")
        ;;
    esac
  done
  if [ "$named_by_caller" = no ] || [ "$all" = yes ]; then wanted=("${environments[@]}"); fi
}

# ---- Versions.

# The version in what `pixi --version` prints, such as 0.77.0.
version_in() {
  local pattern='^pixi ([0-9]+\.[0-9]+[^[:space:]]*)'
  [[ $1 =~ $pattern ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

# The first two numbers of a version as one: 0.77.1 is 77, 2.36 is 2036.
number_of() {
  local pattern='^([0-9]+)\.([0-9]+)'
  [[ $1 =~ $pattern ]] && printf '%s\n' $((10#${BASH_REMATCH[1]} * 1000 + 10#${BASH_REMATCH[2]}))
}

# The first pixi that reads a lock of this format.
first_pixi_for_lock() {
  case $1 in
    4) echo 0.14 ;;
    5) echo 0.22 ;;
    6) echo 0.39 ;;
    7) echo 0.68 ;;
    *) return 1 ;;
  esac
}

# Which folder of wheels in the cache a pixi of this number looks into: it sees
# no other, and would go to the network for all Python packages.
wheel_folder() {
  if [ "$1" -le 34 ]; then
    echo 1
  elif [ "$1" -le 39 ]; then
    echo 2
  elif [ "$1" -le 41 ]; then
    echo 3
  elif [ "$1" -le 43 ]; then
    echo 4
  elif [ "$1" -le 68 ]; then
    echo 5
  else
    echo 6
  fi
}

# A pixi that cannot install this product, unless the caller insists.
refuse_pixi() {
  if [ "$any_pixi" = yes ]; then
    warning "$*"
  else
    problem "$*; --any-pixi tries it all the same"
  fi
}

# ---- The checks: each finds one thing out, and changes nothing.

check_product_is_whole() {
  local complete=yes
  if [ ! -f "$project/pixi.lock" ]; then
    complete=no
    problem "$project has no pixi.lock; without one nothing can be installed offline: make the product again"
  fi
  if [ ! -d "$root/pkg-cache" ] || [ ! -f "$root/envs.sh" ]; then
    complete=no
    problem "$root has no pkg-cache or no envs.sh; copy the product again, whole"
  fi
  if [ "$complete" = yes ]; then ok "the product has its project, pixi.lock, pkg-cache and envs.sh"; fi
}

# A file that is not as it is listed: what, its path, and more of it. All are
# named by --check, some else; what follows from them is said once, at the end.
refuse_file() {
  local path=${2#./}
  if [ -n "${refused[$path]-}" ]; then return; fi
  refused[$path]=yes
  if [ "$checking" = no ] && [ ${#refused[@]} -gt 20 ]; then return; fi
  if [ "$any_files" = yes ]; then warning "$1: $(shown "$path")${3-}"; else problem "$1: $(shown "$path")${3-}"; fi
}

# The entries of the manifest, from its line $1 on, each ended by a NUL:
# ./PATH"file"MODE":SIZE, or ./PATH"link"TARGET or ./PATH"KIND"MODE. Paths have
# %XX for what is not plain ASCII, so that no line needs a JSON parser.
listed_entries() {
  local lines=()
  mapfile -t lines < <(tail -n "+$1" -- "$root/manifest.json" | cut -s -d '"' -f 4,8,12,15)
  if [ ${#lines[@]} -gt 0 ]; then printf './%b\0' "${lines[@]//%/\\x}"; fi
  printf 'end\0'
}

# What is there, in the same form. What an install puts into .pixi/ is not of the
# product, and may be more than the product itself.
found_entries() {
  local entry child singles=() trees=()
  local form=(
    -type f -printf '%p"file"%#m":%s,\0' -o -type d -printf '%p"directory"%#m\0'
    -o -type l -printf '%p"link"%l\0' -o -type p -printf '%p"fifo"%#m\0'
    -o -type s -printf '%p"socket"%#m\0' -o -type b -printf '%p"block-device"%#m\0'
    -o -type c -printf '%p"character-device"%#m\0'
  )
  cd -- "$root" || return
  shopt -s dotglob nullglob
  for entry in *; do
    case $entry in
      manifest.json | SHA256SUMS | SHA256SUMS.minisig | provenance.json | provenance.json.minisig | report.html | verification.json | verification.json.minisig)
        if [ ! -f "$entry" ] || [ -L "$entry" ]; then trees+=("./$entry"); fi
        ;;
      "$name")
        singles+=("./$entry")
        if [ -L "$entry" ] || [ ! -d "$entry" ]; then continue; fi
        for child in "$name"/*; do
          if [ "$child" != "$name/.pixi" ]; then
            trees+=("./$child")
            continue
          fi
          singles+=("./$child")
          if [ ! -L "$child" ] && [ -e "$child/config.toml" ]; then singles+=("./$child/config.toml"); fi
        done
        ;;
      *) trees+=("./$entry") ;;
    esac
  done
  find "${singles[@]}" -maxdepth 0 \( "${form[@]}" \) && find "${trees[@]}" "${form[@]}" && printf 'end\0'
}

# Whether something is in .pixi/ that the product did not bring.
is_installed() {
  local entry
  for entry in "$project"/.pixi/* "$project"/.pixi/.[!.]*; do
    case $entry in */config.toml) continue ;; esac
    if [ -e "$entry" ] || [ -L "$entry" ]; then return; fi
  done
  return 1
}

# The path of an entry, in a form that is one line.
shown() {
  printf '%q' "${1#./}"
}

# Compares what is there with the manifest, from its line $1 on: all but the bytes.
compare_entries() {
  local -x LC_ALL=C
  local entry path pattern kind mode size complete=no broken=no
  local installed=no modes=0 first_mode='' own=0 first_own=''
  local -A expected=() seen=()
  local order=()
  local of_file='^(.*)"(file)"([0-7]+)":([0-9]+),$' of_link='^(.*)"(link)"(.*)$' of_other='^(.*)"([a-z-]+)"([0-7]+)$'
  is_installed && installed=yes
  while IFS= read -r -d '' entry; do
    case $entry in
      done) complete=yes && continue ;;
      end | $'\tend') broken=yes && continue ;;
    esac
    for pattern in "$of_file" "$of_other" "$of_link"; do
      if [[ $entry =~ $pattern ]]; then break; fi
    done
    path=${BASH_REMATCH[1]-}
    entry=${entry#"$path"}
    if [ -z "${expected[${path#$'\t'}]-}${seen[$path]-}" ]; then order+=("${path#$'\t'}"); fi
    case $path in
      $'\t'*) seen[${path#$'\t'}]=$entry ;;
      *) expected[$path]=$entry ;;
    esac
  done < <(comm -z -3 <(listed_entries "$1" | sort -z) <(found_entries 2>/dev/null | sort -z) && printf 'done\0')
  if [ "$complete" = no ] || [ "$broken" = yes ]; then
    not_checked "the files of the product: not all of them can be looked at"
    return
  fi

  for path in ${order[@]+"${order[@]}"}; do
    entry=${seen[$path]-}
    if [ -z "${expected[$path]-}" ]; then
      case $installed$path in
        *"./$name/.pixi") ;;
        yes"./$name"/* | yes./res/* | yes./pkg-cache/*) own=$((own + 1)) first_own=$path ;;
        *) refuse_file added "$path" ;;
      esac
      continue
    fi
    # Once something is installed, project and resources are the person's to change.
    case $installed$path in
      yes"./$name"/* | yes./res/*)
        own=$((own + 1)) first_own=$path
        continue
        ;;
    esac
    if [ -z "$entry" ]; then
      refuse_file missing "$path"
      continue
    fi
    case ${expected[$path]}$entry in
      '"link"'*'"link"'*) refuse_file 'changed link' "$path" " leads to $(shown "${entry#\"link\"}"), and $(shown "${expected[$path]#\"link\"}") is listed" ;;
      *)
        if [[ ${expected[$path]} =~ ^\"([a-z-]+)\"([0-7]+)(.*)$ ]]; then
          kind=${BASH_REMATCH[1]} mode=${BASH_REMATCH[2]} size=${BASH_REMATCH[3]}
        else
          kind=link mode=0 size=''
        fi
        if ! [[ $entry =~ ^\"([a-z-]+)\"([0-7]+)(.*)$ ]] || [ "${BASH_REMATCH[1]}" != "$kind" ]; then
          refuse_file changed "$path" " is another kind of file than is listed"
        elif [ "${BASH_REMATCH[3]}" != "$size" ]; then
          size=${size#'":'}
          entry=${BASH_REMATCH[3]#'":'}
          refuse_file changed "$path" " has ${entry%,} bytes, and ${size%,} are listed"
        elif (((8#$mode & 8#100) != 0 && (8#${BASH_REMATCH[2]} & 8#100) == 0)); then
          refuse_file 'changed mode' "$path" " has ${BASH_REMATCH[2]}, and $mode is listed"
        else
          modes=$((modes + 1)) first_mode="$(shown "$path") has ${BASH_REMATCH[2]}, and $mode is listed"
        fi
        ;;
    esac
  done
  if [ "$modes" -gt 0 ]; then
    warning "the permissions of $modes files or folders are not as listed: $first_mode"
  fi
  if [ "$own" -gt 0 ] && [ "$checking" = yes ]; then
    note "$own files or folders of the project, its resources or the package cache are not as the product brought them, $(shown "$first_own") for example; something was installed here before, so that stops nothing"
  fi
  if [ ${#refused[@]} = 0 ]; then ok "every file, folder and link is there as manifest.json lists it"; fi
}

# Compares the bytes of all files with SHA256SUMS.
compare_bytes() {
  local -x LC_ALL=C
  local output line path other=0
  if output=$(cd -- "$root" && sha256sum --check --quiet --strict SHA256SUMS 2>/dev/null); then
    ok "the bytes of every file are as SHA256SUMS says"
    return
  fi
  while IFS= read -r line; do
    path=${line%: FAILED*}
    case $line in
      '') continue ;;
      *': FAILED' | *': FAILED open or read') ;;
      *) continue ;;
    esac
    other=$((other + 1))
    # What an installed product's person changed is said above.
    if is_installed; then case $path in "$name"/* | res/*) continue ;; esac; fi
    refuse_file changed "$path" " does not have the bytes that SHA256SUMS says"
  done <<<"$output"
  if [ "$other" = 0 ]; then refuse_file changed SHA256SUMS " has lines that are no checksums"; fi
}

# Whether the files are those that the product was made with. Sets refused.
check_files() {
  declare -gA refused=()
  compare_with_lists
  if [ ${#refused[@]} -gt 0 ] && [ "$any_files" = no ]; then
    problem "${#refused[@]} files or folders are not as the product lists them; copy the product again, whole, or make it again (--any-files goes on all the same)"
  fi
}

compare_with_lists() {
  local -x LC_ALL=C
  local line='' number=0 format='' files=''
  if [ ! -f "$root/manifest.json" ] && [ ! -f "$root/SHA256SUMS" ] && [ "$carries_manifest" != yes ]; then
    if [ "$checking" = yes ]; then not_checked "the files of the product: it has no manifest.json, as those that older versions made"; fi
    return
  fi
  for line in manifest.json SHA256SUMS; do
    if [ -f "$root/$line" ]; then continue; fi
    refuse_file missing "$line" ", which says what the product's files are"
    return
  done
  if ! comm -z /dev/null /dev/null >/dev/null 2>&1 || ! find / -maxdepth 0 -printf '' >/dev/null 2>&1; then
    not_checked "the files of the product: it takes coreutils' comm and GNU find"
    return
  fi
  while IFS= read -r line; do
    number=$((number + 1))
    case $line in
      '  "format": '*) format=${line//[!0-9]/} ;;
      '    "files": '*) files=${line//[!0-9]/} ;;
      '  "entries": ['*) break ;;
    esac
  done <"$root/manifest.json"
  if [ "$format" != 1 ]; then
    refuse_file unknown manifest.json " has the format '$format', and this script reads 1"
    return
  fi
  if [ -z "$(cd -- "$root" && comm -12 <(sha256sum manifest.json) <(sort SHA256SUMS))" ]; then
    refuse_file changed manifest.json " does not have the bytes that SHA256SUMS says"
    return
  fi
  if [ "$(wc -l <"$root/SHA256SUMS")" != $((files + 1)) ]; then
    refuse_file changed SHA256SUMS " names other files than manifest.json"
    return
  fi
  compare_entries $((number + 1))
  if [ "$checking" = yes ]; then compare_bytes; fi
}

# The comment that was signed with SHA256SUMS: which product, of which day. Whether the
# signature is right is for minisign to say, so plain characters of it are shown only.
check_signed_comment() {
  local -x LC_ALL=C
  local line comment='' here file=$root/SHA256SUMS.minisig
  if [ "$checking" = no ] || [ ! -f "$file" ] || [ -L "$file" ]; then return; fi
  while IFS= read -r line; do
    case $line in 'trusted comment: '*) comment=${line#*: } && break ;; esac
  done < <(head -c 16384 -- "$file")
  note "the signature of SHA256SUMS names: ${comment//[![:print:]]/ } (check it: minisign -Vm SHA256SUMS -p KEY.pub)"
  here=$(sha256sum <"$root/SHA256SUMS") || return 0
  case "$comment " in
    *product:sha256:"${here%% *}"[![:alnum:]]*) ;;
    *product:sha256:*) warning "the signature of SHA256SUMS was made for another product" ;;
  esac
}

# What the attached verification says, and what that is worth.
check_verification() {
  local line digest='' outcome='' finished='' here
  if [ "$checking" = no ] || [ ! -f "$root/SHA256SUMS" ]; then return; fi
  if [ ! -f "$root/verification.json" ]; then
    note "no final verification is attached to the product"
    return
  fi
  while IFS= read -r line; do
    case $line in
      '  "outcome": '*) outcome=${line#*: \"} outcome=${outcome%\"*} ;;
      '  "product_digest": '*) digest=${line#*: \"} digest=${digest%\"*} ;;
      '  "finished": '*) finished=${line#*: \"} finished=${finished%\"*} ;;
    esac
  done <"$root/verification.json"
  here=$(sha256sum <"$root/SHA256SUMS") || return 0
  if [ "$digest" != "sha256:${here%% *}" ]; then
    warning "verification.json speaks of another product: this one is not verified"
  elif [ "$outcome" != passed ]; then
    warning "the final verification of this product failed, says verification.json"
  elif [ ${#refused[@]} -gt 0 ]; then
    warning "verification.json speaks of this product as it was made, and it is no longer that"
  elif [ -f "$root/verification.json.minisig" ]; then
    ok "final verification passed at $finished, says verification.json; check its signature: minisign -Vm verification.json -p KEY.pub"
  else
    ok "final verification passed at $finished, says verification.json, which is not signed: anyone could have written it"
  fi
}

check_writable() {
  local folder all=yes
  # pixi opens the locks of its cache for writing.
  local folders=("$root/pkg-cache" "$project")
  if [ "$place" != "$project" ]; then folders+=("$place"); fi
  for folder in "${folders[@]}"; do
    if [ -d "$folder" ] && [ ! -w "$folder" ]; then
      all=no
      problem "$folder is not writable for this user; copy the product to a place that is"
    fi
  done
  if [ "$all" = yes ]; then ok "the product is writable"; fi
}

check_pixi() {
  local here='' number built_number first known=yes
  if ! command -v "$pixi" >/dev/null 2>&1; then
    problem "pixi not found ($pixi); put pixi on PATH, or name it with --pixi PATH"
    failure_code=127
    return
  fi
  here=$(version_in "$("$pixi" --version 2>/dev/null </dev/null)") || :
  number=$(number_of "$here") || known=no
  if [ "$known" = no ]; then
    not_checked "whether this pixi fits the product: $pixi --version names no version"
    return
  fi

  if first=$(first_pixi_for_lock "$lock_version"); then
    if [ "$number" -lt "$(number_of "$first")" ]; then
      refuse_pixi "pixi $here cannot read the project's pixi.lock (format $lock_version, written by pixi ${built_by_pixi:-$first or later}); use pixi ${built_by_pixi:-$first or later}, or make the product with --bundle-pixi"
      return
    fi
  elif [ -n "$lock_version" ]; then
    not_checked "whether pixi $here reads the project's pixi.lock: its format, $lock_version, is newer than this script"
  fi
  if [ "$has_python_packages" = yes ] && [ "$number" -lt 74 ]; then
    note "pixi $here does not know PIXI_OFFLINE (0.74 and later do): where a Python package is missing from the cache it tries the network"
  fi
  if ! built_number=$(number_of "$built_by_pixi"); then
    not_checked "whether pixi $here fits the package cache: the product does not record which pixi filled it"
    return
  fi
  if [ "$has_python_packages" = yes ]; then
    if [ "$(wheel_folder "$number")" != "$(wheel_folder "$built_number")" ]; then
      refuse_pixi "pixi $here does not see the Python packages in the cache, which pixi $built_by_pixi filled; use pixi $built_by_pixi, or make the product with --bundle-pixi"
      return
    fi
    # 0.71 began to verify the hashes of cached wheels, and ignores those cached
    # by a pixi of this group that stored none.
    if [ "$number" -ge 71 ] && [ "$built_number" -lt 71 ]; then
      refuse_pixi "pixi $here ignores the Python packages in the cache, since pixi $built_by_pixi stored them without hashes; use pixi $built_by_pixi, or make the product with --bundle-pixi"
      return
    fi
  fi
  if [ "$here" = "$built_by_pixi" ]; then
    ok "pixi $here is the one that the product was made with"
  else
    warning "this is pixi $here, and the product was made with pixi $built_by_pixi"
  fi
}

check_architecture() {
  local here
  if [ -z "$architecture" ]; then
    not_recorded architecture
  elif ! here=$(uname -m 2>/dev/null); then
    not_checked "architecture: there is no uname"
  elif [ "$here" != "$architecture" ]; then
    problem "this machine is $here, and the product is for $architecture; make the product on an image for $here"
  else
    ok "architecture $here"
  fi
}

check_glibc() {
  local libc='' here number
  if [ -z "$glibc" ]; then
    not_recorded glibc
    return
  fi
  if ! libc=$(LC_ALL=C getconf GNU_LIBC_VERSION 2>/dev/null) && command -v ldd >/dev/null 2>&1; then
    # musl's says what it is on stderr, and fails.
    libc=$(LC_ALL=C ldd --version 2>&1) || :
  fi
  libc=${libc%%$'\n'*}
  here=${libc##* }
  case $libc in
    *musl*) problem "this system's C library is musl, and the packages need glibc $glibc or later; install on a system with glibc" ;;
    *glibc* | *GLIBC* | *'GNU libc'*)
      if ! number=$(number_of "$here"); then
        not_checked "glibc: '$libc' names no version"
      elif [ "$number" -lt "$(number_of "$glibc")" ]; then
        problem "this system has glibc $here, and the packages need $glibc or later; install on a newer system"
      else
        ok "glibc $here, at least $glibc"
      fi
      ;;
    *) not_checked "glibc: neither getconf nor ldd tells" ;;
  esac
}

check_git() {
  if [ "$needs_git" != yes ]; then
    ok "git is not needed"
  elif command -v git >/dev/null 2>&1; then
    ok "git is there"
  else
    problem "git is not there, and the project has a git dependency that is installed with it; install git"
  fi
}

# pixi puts the environment on PATH, which is divided by colons.
check_path_characters() {
  case $project in
    *:*) warning "$project has a colon in its path: pixi installs there, but \`pixi run\` finds no program of the environment; move the product" ;;
    *) ok "no colon in the path" ;;
  esac
}

# conda writes an environment's path over a placeholder of 255 characters.
check_path_length() {
  local LC_ALL=C limit=255 environment prefix fits=yes
  for environment in ${wanted[@]+"${wanted[@]}"}; do
    prefix=$project/.pixi/envs/$environment
    if [ ${#prefix} -gt "$limit" ]; then
      fits=no
      problem "the path of environment $environment would have ${#prefix} characters, and packages have room for $limit; move the product to a shorter path: $prefix"
    fi
  done
  if [ "$fits" = yes ]; then ok "the paths of the environments have at most $limit characters"; fi
}

# A mount option, or a rule of the system, may forbid it.
check_programs_may_run() {
  local program
  if ! program=$(mktemp "$place/.may-run.XXXXXX" 2>/dev/null); then
    not_checked "whether programs may be started below $place: no file can be made there"
    return
  fi
  if ! printf '#!/bin/sh\nexit 0\n' 2>/dev/null >"$program" || ! chmod u+x -- "$program"; then
    not_checked "whether programs may be started below $place: no file can be written there"
  elif "$program" >/dev/null 2>&1; then
    ok "programs may be started below the project"
  else
    problem "programs below $place cannot be started (is it mounted noexec?); copy the product to a place where they can"
  fi
  rm -f -- "$program"
}

# How many of a file system's units are left where the environments will be:
# -Pk for KiB, -Pi for inodes. Fails when it does not count them.
left_at_place() {
  local text pattern='[[:space:]]([0-9]+)[[:space:]]+-?[0-9]+[[:space:]]+(-?[0-9]+)[[:space:]]+([0-9]+%|-)[[:space:]]'
  text=$(LC_ALL=C df "$1" "$place" 2>/dev/null) || return
  [[ ${text##*$'\n'} =~ $pattern ]] && [ "${BASH_REMATCH[1]}" -gt 0 ] && printf '%s\n' "${BASH_REMATCH[2]}"
}

wanted_are_installed() {
  local environment
  for environment in ${wanted[@]+"${wanted[@]}"}; do
    [ -d "$project/.pixi/envs/$environment/conda-meta" ] || return
  done
}

check_space() {
  local left mib=1048576
  if [ -z "$install_bytes" ]; then
    not_recorded space
  elif wanted_are_installed; then
    ok "space: the environments are there already"
  elif ! left=$(left_at_place -Pk); then
    not_checked "space: df does not tell"
  elif [ $((left * 1024)) -lt "$install_bytes" ]; then
    problem "the file system of $place has $((left * 1024 / mib)) MiB left, and installing takes $((install_bytes / mib + 1)) MiB; make room, or copy the product elsewhere"
  else
    ok "space: $((left * 1024 / mib)) MiB left, $((install_bytes / mib + 1)) MiB needed"
  fi
}

check_inodes() {
  local left
  if [ -z "$install_entries" ]; then
    not_recorded inodes
  elif wanted_are_installed; then
    ok "inodes: the environments are there already"
  elif ! left=$(left_at_place -Pi); then
    not_checked "inodes: df does not tell, or the file system has no fixed number of them"
  elif [ "$left" -lt "$install_entries" ]; then
    problem "the file system of $place has $left inodes left, and installing takes $install_entries; make room, or copy the product elsewhere"
  else
    ok "inodes: $left left, $install_entries needed"
  fi
}

# Whether the environment in this folder was installed for another path; sets
# other_path. pixi notes the path in conda-meta/, pixi 0.15 in a file that a
# package may have as well, so what it says must look like such a path. Two names
# of one folder are one path.
is_from_elsewhere() {
  local environment=$1 file
  for file in "$environment/conda-meta/pixi_env_prefix" "$environment/prefix"; do
    [ -f "$file" ] || continue
    other_path=$(<"$file")
    other_path=${other_path%/conda-meta}
    case $other_path in /*/"${environment##*/}") ;; *) continue ;; esac
    if [ "$other_path" != "$environment" ] && ! [ "$other_path" -ef "$environment" ]; then return 0; fi
  done
  return 1
}

# Sets from_elsewhere.
check_old_environments() {
  local folder environment all_from_here=yes
  from_elsewhere=()
  for folder in .pixi/envs .pixi/solve-group-envs; do
    for environment in "$project/$folder"/*/; do
      environment=${environment%/}
      is_from_elsewhere "$environment" || continue
      all_from_here=no
      if [ -L "$project/.pixi" ] || [ -L "$project/$folder" ] || [ -L "$environment" ]; then
        problem "$environment was installed for $other_path and does not work here; it lies behind a symbolic link, so remove it yourself"
        continue
      fi
      from_elsewhere+=("$environment")
      note "$environment was installed for $other_path and does not work here; bootstrap removes it"
    done
  done
  if [ "$all_from_here" = yes ]; then ok "no environment from another path"; fi
}

check_everything() {
  check_product_is_whole
  check_files
  check_signed_comment
  check_verification
  check_writable
  check_pixi
  check_architecture
  check_glibc
  check_git
  check_path_characters
  check_path_length
  check_programs_may_run
  check_space
  check_inodes
  check_old_environments
}

# ---- The installation.

remove_environments_from_elsewhere() {
  local environment
  for environment in ${from_elsewhere[@]+"${from_elsewhere[@]}"}; do
    rm -rf -- "$environment" || fail 2 "$environment cannot be removed; remove it and start again"
  done
}

# git uses no repository of another user, and the packages of git dependencies
# are cloned from the cache: exceptions for the repositories of this cache alone.
# In a file, since git ignores GIT_CONFIG_COUNT when it serves a clone.
trust_git_cache() {
  local repository own=${XDG_CONFIG_HOME:-${HOME-}/.config}/git/config
  local foreign=()
  for repository in "$root"/pkg-cache/uv-cache/git-v0/db/*/ "$root"/pkg-cache/uv-cache/git-v0/checkouts/*/*/; do
    repository=${repository%/}
    if [ -d "$repository" ] && [ ! -O "$repository" ]; then foreign+=("$repository" "$repository/.git"); fi
  done
  if [ ${#foreign[@]} -eq 0 ] || ! command -v git >/dev/null 2>&1; then return; fi
  git_settings=$(mktemp)
  trap 'rm -f -- "$git_settings"' EXIT
  # It takes the place of the user's own settings, and so names them.
  if [ -n "${GIT_CONFIG_GLOBAL-}" ]; then
    git config --file "$git_settings" --add include.path "$GIT_CONFIG_GLOBAL"
  else
    git config --file "$git_settings" --add include.path "$own"
    git config --file "$git_settings" --add include.path "${HOME-}/.gitconfig"
  fi
  for repository in "${foreign[@]}"; do
    git config --file "$git_settings" --add safe.directory "$repository"
  done
  export GIT_CONFIG_GLOBAL="$git_settings"
}

# Runs `pixi install` with the product's settings. In a shell of its own, with
# nothing but positional words: what the person has envs.sh export may have any
# name, and must not meet a variable of this script.
pixi_install() {
  local lock=frozen argument
  for argument in "$@"; do
    # Both would contradict each other.
    if [ "$argument" = --locked ]; then lock=locked; fi
  done
  # shellcheck disable=SC2016 # expanded there
  bash -c '. "$1/envs.sh" && cd -- "$2" || exit
    if [ "$3" = locked ]; then unset PIXI_FROZEN; fi
    exec "$4" install "${@:5}"' bootstrap "$root" "$project" "$lock" "$pixi" "$@"
}

install() {
  local environment
  if [ "$named_by_caller" = yes ]; then
    pixi_install "$@"
    return
  fi
  # One call each: pixi 0.15 takes only one -e, and -e default it does not know.
  for environment in "${environments[@]}"; do
    if [ "$environment" = default ]; then
      pixi_install "$@"
    else
      pixi_install -e "$environment" "$@"
    fi
  done
}

# ---- What was asked for.

[ ${#environments[@]} -gt 0 ] || environments=(default)

name=
pixi=
any_pixi=no
any_files=no
while [ $# -gt 0 ]; do
  case $1 in
    --project-name | --pixi)
      [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
      if [ "$1" = --pixi ]; then pixi=$2; else name=$2; fi
      shift 2
      ;;
    --project-name=*) name=${1#*=} && shift ;;
    --pixi=*) pixi=${1#*=} && shift ;;
    --any-pixi) any_pixi=yes && shift ;;
    --any-files) any_files=yes && shift ;;
    --check) checking=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    --) shift && break ;;
    *) break ;;
  esac
done

find_product
find_project
choose_pixi
choose_environments "$@"

failure_code=2
check_everything
if [ "$checking" = yes ]; then
  [ ${#problems[@]} -eq 0 ] || exit 2
  exit 0
fi
if [ ${#problems[@]} -gt 0 ]; then
  printf 'ERROR: %s\n' "${problems[@]}" >&2
  exit "$failure_code"
fi
remove_environments_from_elsewhere

trust_git_cache
install "$@"
