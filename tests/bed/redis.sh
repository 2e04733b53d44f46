#!/usr/bin/env bash
# redis.sh SOCKET    Makes the image kopi-docka-test-redis:7 of a real Redis, without a registry: Debian's packages, installed into a folder
#                    once and kept in the cache. Its command keeps everything in memory: nothing is on the disk but what SAVE puts there.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: redis.sh SOCKET"
docker=(docker -H "unix://$1")
image=kopi-docka-test-redis:7
archive=$cache/redis-7.tar

finish() {
  local root=$1
  rm -rf "$root"/usr/share/{doc,man,locale,info} "$root"/var/cache/apt "$root"/var/lib/apt/lists
}

# One at a time: two would make two images, of which one loses its name.
exec 9>"$cache/redis-7.lock"
flock 9
"${docker[@]}" image inspect "$image" >/dev/null 2>&1 && exit 0
[ -s "$archive" ] || make_archive "$archive" "Redis 7" bookworm redis-server
"${docker[@]}" import --change 'CMD ["redis-server", "--save", "", "--dir", "/data", "--protected-mode", "no"]' \
  --change 'ENV PATH=/usr/bin:/bin' "$archive" "$image" >/dev/null
