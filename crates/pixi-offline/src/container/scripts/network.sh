
# Has everything that is started from here on use the certificates and logins that the host
# has put into the directory $1; nothing when that is empty. $2 are the variables that may be
# set: the caller's own stay as they are.
use_network_files() {
  [ -n "$1" ] || return 0
  for file in "$1"/*; do
    if ! (: <"$file") 2>/dev/null; then
      say "unreadable-file ${file##*/}" failure
      exit 1
    fi
  done
  [ ! -e "$1/roots.pem" ] || trust_certificates "$1" "$2"
  # An old pixi (0.15) knows no variable for its logins, and git none for a netrc: a link in
  # the home serves them, where there is no such file.
  if [ -e "$1/auth.json" ]; then
    case " $2 " in *' RATTLER_AUTH_FILE '*) export RATTLER_AUTH_FILE="$1/auth.json" ;; esac
    link_in_home "$1/auth.json" .rattler/credentials.json
  fi
  if [ -e "$1/netrc" ]; then
    case " $2 " in *' NETRC '*) export NETRC="$1/netrc" ;; esac
    link_in_home "$1/netrc" .netrc
  fi
}

# A home that cannot be written to has no link.
link_in_home() {
  [ -d "${HOME-}" ] || return 0
  file=$HOME/$2
  { mkdir -p "${file%/*}" && ln -s "$1" "$file"; } 2>/dev/null
  return 0
}

# Programs take the file of these variables for all authorities that there are: so it gets
# those of the image too, or where that has none those that pixi has built in.
trust_certificates() {
  trusted=$(mktemp -d) || exit
  trusted=$trusted/certificates.pem
  for file in "${SSL_CERT_FILE-}" /etc/ssl/certs/ca-certificates.crt \
    /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem "$1/roots.pem"; do
    [ ! -s "$file" ] || break
  done
  for file in "$file" "$1"/ca-*.pem; do
    cat "$file" && echo || exit
  done >"$trusted" || exit
  for variable in $2; do
    case $variable in
      RATTLER_AUTH_FILE | NETRC) ;;
      # Pixi 0.61 to 0.69 reads the other variables only when it is told to.
      PIXI_TLS_ROOT_CERTS)
        case $pixi_version in "pixi 0.6"[1-9].*) export PIXI_TLS_ROOT_CERTS=all ;; esac
        ;;
      *) export "$variable=$trusted" ;;
    esac
  done
}
