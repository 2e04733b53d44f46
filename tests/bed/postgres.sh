#!/usr/bin/env bash
# postgres.sh SOCKET [MAJOR]    Makes the image kopi-docka-test-postgres:MAJOR of a real PostgreSQL (15 if none is named, or 17) with
#                               amcheck, without a registry: Debian's packages, installed into a folder once and kept in the cache.
#                               Its command makes a database in $PGDATA if there is none, and serves it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || [ $# = 2 ] || die "usage: postgres.sh SOCKET [MAJOR]"
docker=(docker -H "unix://$1")
major=${2:-15}
# Each release of Debian has one.
case $major in
  15) suite=bookworm ;;
  17) suite=trixie ;;
  *) die "no release of Debian is known to have PostgreSQL $major" ;;
esac
image=kopi-docka-test-postgres:$major
archive=$cache/postgres-$major.tar

finish() {
  local root=$1
  # Just-in-time compilation is left out, and with it most of the size.
  rm -rf "$root/usr/lib/postgresql/$major"/lib/{llvmjit*,bitcode} "$root"/usr/lib/*/libLLVM* \
    "$root"/usr/share/{doc,man,locale,info} "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root/var/lib/postgresql/$major"
  cat >"$root/serve" <<X
#!/bin/sh
set -e
bin=/usr/lib/postgresql/$major/bin
X
  cat >>"$root/serve" <<'X'
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
mkdir -p "$PGDATA" /run/postgresql
chown postgres "$PGDATA" /run/postgresql
chmod 700 "$PGDATA"
[ -s "$PGDATA/PG_VERSION" ] || as_postgres "$bin/initdb" -D "$PGDATA" --data-checksums --locale=C.UTF-8 --auth=trust
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -D "$PGDATA" -c listen_addresses=
X
  chmod 755 "$root/serve"
}

# One at a time: two would make two images, of which one loses its name.
exec 9>"$cache/postgres-$major.lock"
flock 9
"${docker[@]}" image inspect "$image" >/dev/null 2>&1 && exit 0
[ -s "$archive" ] || make_archive "$archive" "PostgreSQL $major" "$suite" "postgresql-$major"
"${docker[@]}" import --change 'CMD ["/serve"]' --change 'ENV PGDATA=/var/lib/postgresql/data' \
  --change "ENV PATH=/usr/lib/postgresql/$major/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$archive" "$image" >/dev/null
