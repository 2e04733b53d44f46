#!/usr/bin/env bash
# image.sh SOCKET    Makes the image that the tests and the demo run, without a registry: a static busybox with its applets.
#                    Its command waits and, unlike `sleep` as process 1, ends at once when it is asked to.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: image.sh SOCKET"
docker=(docker -H "unix://$1")

"${docker[@]}" image inspect "$test_image" >/dev/null 2>&1 && exit 0

busybox=$(command -v busybox) || die "there is no busybox" "run 'make setup'"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir -p "$root"/{bin,dev,etc,home,proc,root,run,sys,usr/bin,var}
mkdir -m 1777 "$root/tmp"
cp --dereference "$busybox" "$root/bin/busybox"
"$busybox" --list | while read -r applet; do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
cat >"$root/bin/idle" <<'X'
#!/bin/sh
# `sleep` in the background: a shell that waits for a child in the foreground hears of a signal only afterwards.
trap 'exit 0' TERM INT
while :; do
  sleep 3600 &
  wait $!
done
X
chmod 755 "$root/bin/idle"
tar --create --numeric-owner --owner=0 --group=0 --directory="$root" . |
  "${docker[@]}" import --change 'CMD ["/bin/idle"]' --change 'ENV PATH=/bin:/usr/bin' - "$test_image" >/dev/null
