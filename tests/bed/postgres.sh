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

finish() {
  local root=$1
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
}

"${docker[@]}" image inspect "$image" >/dev/null 2>&1 && exit 0
[ -s "$archive" ] || make_archive "$archive" PostgreSQL bookworm postgresql-15
"${docker[@]}" import --change 'CMD ["/serve"]' \
  --change 'ENV PGDATA=/var/lib/postgresql/data' --change 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  "$archive" "$image" >/dev/null
