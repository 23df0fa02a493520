# Nothing of the user's own comes before the packages of the environment.
# PIXI_OFFLINE_USER_PACKAGES=keep leaves all as it is, and a list of names, with
# spaces between them, those variables.
_pixi_offline_keep=${PIXI_OFFLINE_USER_PACKAGES-}
if [ "$_pixi_offline_keep" != keep ]; then
  for _pixi_offline_name in VARIABLES; do
    case " $_pixi_offline_keep " in *" $_pixi_offline_name "*) ;; *) unset "$_pixi_offline_name" ;; esac
  done
SETTINGS
  # No package has the driver of a graphics card, and some machines name its directory
  # nowhere else: that stays.
  case " $_pixi_offline_keep " in
    *" LD_LIBRARY_PATH "*) ;;
    *)
      _pixi_offline_rest=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}
      unset LD_LIBRARY_PATH
      while [ -n "$_pixi_offline_rest" ]; do
        _pixi_offline_name=${_pixi_offline_rest%%:*}
        _pixi_offline_rest=${_pixi_offline_rest#*:}
        if [ -n "$_pixi_offline_name" ] &&
          { [ -e "$_pixi_offline_name/libcuda.so.1" ] || [ -e "$_pixi_offline_name/libnvidia-ml.so.1" ]; }; then
          export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$_pixi_offline_name"
        fi
      done
      ;;
  esac
  # Ruby looks into the user's gems unless it is told where else: in the one Ruby
  # that is installed. Its activation names another directory of the environment.
  if [ -z "${GEM_PATH-}" ] && { [ -d "${HOME-}/.gem" ] || [ -d "${XDG_DATA_HOME:-${HOME-}/.local/share}/gem" ]; }; then
    # shellcheck disable=SC2016 # expanded there
    _pixi_offline_name=$(sh -c 'for gems in "$1"/envs/*/lib/ruby/gems/*/ "$1"/*/.pixi/envs/*/lib/ruby/gems/*/; do
      if [ -d "$gems" ]; then printf "%s\n" "${gems%/}"; fi; done' sh "$_pixi_offline_root")
    case $_pixi_offline_name in
      '' | *'
'*) ;;
      *) export GEM_PATH="$_pixi_offline_name" ;;
    esac
  fi
fi
unset _pixi_offline_keep _pixi_offline_name _pixi_offline_rest
