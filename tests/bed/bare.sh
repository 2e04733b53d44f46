#!/usr/bin/env bash
# bare.sh    Makes a Debian with nothing but its essential packages and OpenSSL, once: the machine that somebody has who lost a server.
#            Prints its folder in the cache, which nobody may change: what uses it (tests/it/new_host.rs) lays a file system over it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# = 0 ] || die "usage: bare.sh"

packages=openssl,ca-certificates

# shellcheck source=/dev/null
suite=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-sid}" || echo trixie)

finish() { rm -rf "$1"/usr/share/{doc,locale,info,man} "$1"/var/cache/apt "$1"/var/lib/apt/lists; }

key=$(declare -f finish | cat - <(echo "$packages") | sha256sum | cut -c 1-12)
root=$cache/bare-$suite-$key
archive=$root.tar

if [ ! -d "$root" ]; then
  [ -s "$archive" ] || make_archive "$archive" "a bare Debian" "$suite" "$packages"
  unpacked=$(mktemp -d "$cache/.bare-XXXXXX")
  tar --extract --numeric-owner --file="$archive" --directory="$unpacked"
  chmod 755 "$unpacked"
  mv --no-target-directory "$unpacked" "$root" 2>/dev/null || rm -rf --one-file-system "$unpacked"
  rm -f "$archive"
fi
echo "$root"
