#!/usr/bin/env bash
# postgres.sh SOCKET    Makes the image of a real PostgreSQL with amcheck, without a registry: Debian's packages, installed into a
#                       folder once and kept in the cache. Its command makes a database in $PGDATA if there is none, and serves it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: postgres.sh SOCKET"
docker=(docker -H "unix://$1")
image=kopi-docka-test-postgres:1
archive=$cache/postgres-15.tar
mirror=${KOPI_DOCKA_DEBIAN_MIRROR:-http://deb.debian.org/debian}

make_archive() {
  need_root "making the image of PostgreSQL"
  command -v debootstrap >/dev/null || die "there is no debootstrap" "run 'make setup'"
  local root
  root=$(mktemp -d)
  # shellcheck disable=SC2064 # this folder, not what the name means later
  trap "rm -rf '$root'" EXIT
  say "installing PostgreSQL into an image once (a minute or two)"
  debootstrap --variant=minbase --include=postgresql-15 bookworm "$root" "$mirror" >"$cache/debootstrap.log" 2>&1 || {
    tail -n 20 "$cache/debootstrap.log" >&2
    die "PostgreSQL could not be installed from $mirror"
  }
  # Just-in-time compilation is left out, and with it most of the size.
  rm -rf "$root"/usr/lib/postgresql/15/lib/{llvmjit*,bitcode} "$root"/usr/lib/*/libLLVM* \
    "$root"/usr/share/{doc,man,locale,info} "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/var/lib/postgresql/15
  cat >"$root/serve" <<'X'
#!/bin/sh
set -e
bin=/usr/lib/postgresql/15/bin
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
mkdir -p "$PGDATA" /run/postgresql
chown postgres "$PGDATA" /run/postgresql
chmod 700 "$PGDATA"
[ -s "$PGDATA/PG_VERSION" ] || as_postgres "$bin/initdb" -D "$PGDATA" --data-checksums --locale=C.UTF-8 --auth=trust
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -D "$PGDATA" -c listen_addresses=
X
  chmod 755 "$root/serve"
  tar --create --numeric-owner --one-file-system --directory="$root" --file="$archive.$$" .
  mv "$archive.$$" "$archive"
}

"${docker[@]}" image inspect "$image" >/dev/null 2>&1 && exit 0
[ -s "$archive" ] || make_archive
"${docker[@]}" import --change 'CMD ["/serve"]' \
  --change 'ENV PGDATA=/var/lib/postgresql/data' --change 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  "$archive" "$image" >/dev/null
