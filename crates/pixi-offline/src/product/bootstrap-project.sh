#!/usr/bin/env bash
# Installs the project of this product from the product's own package cache,
# without a network. Needs bash 4.2, coreutils and pixi.
if [ -z "${BASH_VERSION-}" ]; then
  echo 'ERROR: run it with bash: bash bootstrap-project.sh' >&2
  exit 2
fi
# Functions that the caller's shell exports would take the place of builtins and programs.
# In POSIX mode no function takes the place of these builtins.
POSIXLY_CORRECT=1
unset -f unset set eval trap read declare builtin command printf 2>/dev/null || :
# Before 5.1 bash reads less in this mode, which a variable may have turned on.
set +o posix
unset POSIXLY_CORRECT
set -euo pipefail
# Options that a variable may have turned on, too.
set +f +k
unset FUNCNEST
while read -r _ _ REPLY; do unset -f "$REPLY"; done < <(declare -F)
unset GLOBIGNORE
shopt -u nocasematch failglob nullglob

# What this product is and needs: make-archive-ready-product writes the facts of the
# product between the two marks. A value that it did not know is empty.
# BEGIN FACTS
environments=('default')
project_in_root=''
built_by_pixi=''
lock_version=''
lock_differs='no'
has_python_packages='no'
needs_git='no'
architecture=''
glibc=''
platform_name=''
install_bytes=''
install_entries=''
bundled_pixi='no'
carries_manifest='no'
requirements_known='no'
tested=()
virtual_packages=()
preferred_platforms=()
overrides=()
uncovered=('SHA256SUMS' 'SHA256SUMS.minisig' 'provenance.json' 'provenance.json.minisig' 'verification.json' 'verification.json.minisig' 'changes.json' 'changes.json.minisig' 'report.html')
mark_name='installed-by-bootstrap'
user_variables=('PYTHONPATH' 'PYTHONHOME' 'PYTHONSTARTUP' 'PYTHONUSERBASE' 'PYTHONEXECUTABLE' 'PYTHONPLATLIBDIR' 'VIRTUAL_ENV' 'JUPYTER_PATH' 'JUPYTER_CONFIG_PATH' 'JUPYTER_DATA_DIR' 'IPYTHONDIR' 'R_HOME' 'R_LIBS' 'R_LIBS_SITE' 'R_LIBS_USER' 'R_PROFILE' 'R_PROFILE_USER' 'R_ENVIRON' 'R_ENVIRON_USER' 'PERL5LIB' 'PERLLIB' 'PERL5OPT' 'PERL5DB' 'PERL_LOCAL_LIB_ROOT' 'PERL_MB_OPT' 'PERL_MM_OPT' 'GEM_HOME' 'GEM_PATH' 'RUBYLIB' 'RUBYOPT' 'BUNDLE_PATH' 'BUNDLE_GEMFILE' 'JULIA_DEPOT_PATH' 'JULIA_LOAD_PATH' 'JULIA_PROJECT' 'NODE_PATH' 'NODE_OPTIONS' 'NODE_REPL_EXTERNAL_MODULE' 'npm_config_prefix' 'NPM_CONFIG_PREFIX' 'LUA_PATH' 'LUA_CPATH' 'LUA_INIT' 'LUA_PATH_5_1' 'LUA_PATH_5_2' 'LUA_PATH_5_3' 'LUA_PATH_5_4' 'LUA_CPATH_5_1' 'LUA_CPATH_5_2' 'LUA_CPATH_5_3' 'LUA_CPATH_5_4' 'LUA_INIT_5_2' 'LUA_INIT_5_3' 'LUA_INIT_5_4' 'CLASSPATH' '_JAVA_OPTIONS' 'JAVA_TOOL_OPTIONS' 'JDK_JAVA_OPTIONS' 'DOTNET_STARTUP_HOOKS' 'PHPRC' 'PHP_INI_SCAN_DIR' 'TCLLIBPATH' 'TCL_LIBRARY' 'TK_LIBRARY' 'OCTAVE_PATH' 'GUILE_LOAD_PATH' 'GUILE_LOAD_COMPILED_PATH' 'OCAMLPATH' 'CAML_LD_LIBRARY_PATH' 'GHC_PACKAGE_PATH' 'GHC_ENVIRONMENT' 'ERL_LIBS' 'GI_TYPELIB_PATH' 'GTK_PATH' 'GTK_MODULES' 'GTK3_MODULES' 'GTK_EXE_PREFIX' 'GTK_DATA_PREFIX' 'GDK_PIXBUF_MODULE_FILE' 'GDK_PIXBUF_MODULEDIR' 'GIO_MODULE_DIR' 'GIO_EXTRA_MODULES' 'GSETTINGS_SCHEMA_DIR' 'GST_PLUGIN_PATH' 'GST_PLUGIN_PATH_1_0' 'GST_PLUGIN_SYSTEM_PATH' 'GST_PLUGIN_SYSTEM_PATH_1_0' 'QT_PLUGIN_PATH' 'QT_QPA_PLATFORM_PLUGIN_PATH' 'QML_IMPORT_PATH' 'QML2_IMPORT_PATH' 'PROJ_LIB' 'PROJ_DATA' 'GDAL_DATA' 'GDAL_DRIVER_PATH' 'HDF5_PLUGIN_PATH' 'MAGICK_HOME' 'MAGICK_CONFIGURE_PATH' 'CPATH' 'C_INCLUDE_PATH' 'CPLUS_INCLUDE_PATH' 'LIBRARY_PATH' 'PKG_CONFIG_PATH' 'CMAKE_PREFIX_PATH' 'AMENT_PREFIX_PATH' 'ROS_PACKAGE_PATH' 'LD_LIBRARY_PATH' 'LD_PRELOAD' 'LD_AUDIT')
user_settings=('PYTHONNOUSERSITE=1' 'JUPYTER_PREFER_ENV_PATH=1' 'R_LIBS_USER=/dev/null' 'R_PROFILE_USER=.Rprofile' 'R_ENVIRON_USER=.Renviron' 'JULIA_LOAD_PATH=@:@stdlib')
# END FACTS

usage() {
  cat <<'END_OF_USAGE'
Usage: ./bootstrap-project.sh [OPTIONS] [--] [pixi install arguments…]

  ./bootstrap-project.sh --check     compare every file, and look whether it can be
                                     installed on this machine; changes nothing
  ./bootstrap-project.sh             install it here
  ./bootstrap-project.sh --into DIR  install a copy of the project in DIR, from a
                                     product that this user may only read

Installs the project beside this script with `pixi install` from pkg-cache/,
without a network: every environment that the product was made with, one call for
each. Before that it looks whether that can go well. README.txt has the rest.

Options:
  --into DIR           install in DIR, which is new, empty, or from an earlier --into:
                       the project is copied there, the packages and the resources
                       stay in the product. A project of another version that is
                       there is moved aside
  --project-name NAME  the project's directory; found by itself when there is one
  --pixi PIXI          the pixi to use [default: bin/pixi of the product when it was
                       made with one, else the one on PATH]
  --any-pixi           go on with a pixi that does not fit the product; also
                       --ignore-pixi-version
  --any-files          go on with files that are not as the product lists them; also
                       --ignore-file-changes
  --check              only look: one line for each check, nothing is installed; the
                       bytes of every file are compared with SHA256SUMS, too
  -h, --help           this text

Everything else is handed to `pixi install`. Environments named there (-e NAME,
--environment NAME, -a, --all) are installed, in one call, instead of those that
the product was made with. Afterwards: source envs.sh, go into the project's
directory, and use `pixi run`.

Checked before pixi runs, all problems reported together: that every file, directory
and link is as manifest.json lists it, and nothing was added (sizes, kinds and
permissions; the bytes of what an install runs, with --check of every file), that the
product can be written to, that pixi fits the lock and the package cache,
architecture, glibc and git, what the packages require of the machine (__cuda …), the
length of the path, that programs may be started there, TMPDIR, space and inodes.
Nothing of the product is run, and none of its settings read, before its files were
found to be as listed. What is in .pixi/ of the project and was not installed by this
script, here, is deleted. What cannot be found out is said (`not checked: …`) and
stops nothing. --check needs no right to write.

Exit codes: 2 wrong use or a problem found, 127 no pixi, 129, 130 or 143 interrupted
by SIGHUP, SIGINT or SIGTERM, else that of the first `pixi install` that fails. With
--check: 0 every entry and every byte was compared and nothing is wrong, 2 a problem,
3 no problem, but entries or bytes that could not be compared.
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

# ---- What a run leaves to be removed at its end.

git_settings=
has_lock=no
made_target=no
installing=no
pixi_process=
copy_bytes=0
copy_entries=0

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

# The product has nothing to compare with: printed by --check only.
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
  [ -f "$1/pixi.toml" ] || [ -f "$1/pyproject.toml" ] || [ -f "$1/mojoproject.toml" ]
}

# Sets root, the directory of this script, without losing a line end in its name.
find_product() {
  local script=${BASH_SOURCE[0]}
  case $script in */*) ;; *) script=./$script ;; esac
  root=$(CDPATH='' cd -P -- "${script%/*}/" >/dev/null && pwd -P && printf x)
  root=${root%?x}
}

# Keeps of PATH what is absolute and outside of the product: no program of the product is
# run before it is known to be as listed, also where `.` or its bin/ is on PATH.
keep_product_off_path() {
  PATH=$(
    CDPATH='' rest=$PATH: kept=''
    while [ -n "$rest" ]; do
      entry=${rest%%:*} rest=${rest#*:}
      case $entry in (/*) ;; (*) continue ;; esac
      if cd -P -- "$entry" >/dev/null 2>&1; then
        case $PWD/ in ("$root"/*) continue ;; esac
      fi
      kept=$kept:$entry
    done
    printf '%sx' "${kept#:}"
  )
  PATH=${PATH%x}
  # An empty one means the working directory.
  PATH=${PATH:-/usr/bin:/bin}
}

# Sets project_path, the project's path in the product, project, shown_project for
# messages, and place, the deepest real directory on the way to the environments.
find_project() {
  local dir shown dirs=()
  if [ -z "$project_name" ]; then
    for dir in "$root"/*/ "$root"/.[!.]*/; do
      dir=${dir%/}
      case ${dir##*/} in res | pkg-cache | bin) continue ;; esac
      if is_project "$dir${project_in_root:+/$project_in_root}"; then dirs+=("${dir##*/}"); fi
    done
    case ${#dirs[@]} in
      1) project_name=${dirs[0]} ;;
      0) fail 2 "no project beside $0: no directory in $root has a pixi.toml, pyproject.toml or mojoproject.toml" ;;
      *)
        printf -v shown '%q ' "${dirs[@]}"
        fail 2 "several projects beside $0 (${shown% }); name one with --project-name"
        ;;
    esac
  fi
  case $project_name in */* | . | ..) fail 2 "--project-name '$project_name' is not the name of a directory in $root" ;; esac
  case $project_name in res | pkg-cache | bin) fail 2 "--project-name $project_name: that directory is the product's own" ;; esac
  # It may be deep in the directory that was staged with it.
  project_path=$project_name${project_in_root:+/$project_in_root}
  project=$root/$project_path
  printf -v shown_project '%q' "$project"
  is_project "$project" || fail 2 "$shown_project has no pixi.toml, pyproject.toml or mojoproject.toml; is --project-name right?"
  find_place
}

# Sets place, for the project as it is.
find_place() {
  local dir
  place=$project
  for dir in .pixi .pixi/envs; do
    if [ ! -d "$project/$dir" ] || [ -L "$project/$dir" ]; then break; fi
    place=$project/$dir
  done
}

# Sets pixi: the caller's, else the product's own, else the one on PATH.
choose_pixi() {
  if [ -z "$pixi" ]; then
    pixi=pixi
    if [ "$bundled_pixi" != yes ]; then
      :
    elif [ -f "$root/bin/pixi" ] && [ ! -L "$root/bin/pixi" ] && [ -x "$root/bin/pixi" ]; then
      pixi=$root/bin/pixi
    else
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
  local pattern='^pixi ([0-9]+\.[0-9]+[0-9A-Za-z.+-]*)'
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

# Which directory of wheels in the cache a pixi of this number looks into: it sees
# no other, and would go to the network for all Python packages.
wheel_dir() {
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

# Takes the arguments for pixi.
check_lock_use() {
  local argument
  [ "$lock_differs" = yes ] || return 0
  for argument in "$@"; do
    if [ "$argument" = --locked ]; then
      problem "--locked: this product's pixi.lock is not the project's own (manifest.json says why), and pixi cannot compare it with the manifest; leave --locked out, and it is installed as it is (the project's own is $root/pixi.lock.original)"
    fi
  done
}

check_product_is_whole() {
  local complete=yes
  if [ ! -f "$project/pixi.lock" ]; then
    complete=no
    problem "$shown_project has no pixi.lock; without one nothing can be installed offline: make the product again"
  fi
  if [ ! -d "$root/pkg-cache" ] || [ ! -f "$root/envs.sh" ]; then
    complete=no
    problem "$root has no pkg-cache or no envs.sh; copy the complete product again"
  fi
  if [ "$complete" = yes ]; then ok "the product has its project, pixi.lock, pkg-cache and envs.sh"; fi
}
