#!/usr/bin/env bash
# systemd.sh           Makes what the image of a whole Debian machine is imported from, once: systemd as process 1, a Docker engine and an
#                      SSH server of Debian's own packages, installed into a folder and kept in the cache.
# systemd.sh SOCKET    Makes sure that the engine there has the image, and prints its name. What runs it is tests/it/common/systemd.rs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# -le 1 ] || die "usage: systemd.sh [SOCKET]"

packages=systemd,systemd-sysv,dbus,docker.io,openssh-server,openssh-client,procps,attr

# The binary of the tests is linked against this machine's C library, so the image is as new as it.
# shellcheck source=/dev/null
suite=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-sid}" || echo trixie)

finish() {
  local root=$1 unit
  # Nothing listens before a test asks for it.
  rm -f "$root"/etc/systemd/system/multi-user.target.wants/{ssh,cron}.service "$root"/etc/systemd/system/sshd.service
  # These would reach out of the container: into the kernel's settings, its modules, its clock.
  for unit in systemd-sysctl.service systemd-modules-load.service systemd-timesyncd.service systemd-udevd.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
  # No network of its own, so none for its containers; a second socket is how the tests get at the engine from outside.
  mkdir -p "$root/etc/systemd/system/docker.service.d"
  cat >"$root/etc/systemd/system/docker.service.d/start.conf" <<'X'
[Service]
ExecStart=
ExecStart=/usr/sbin/dockerd -H fd:// -H unix:///machine/docker.sock --containerd=/run/containerd/containerd.sock --bridge=none --iptables=false
X
  # Docker gives a container its control groups to look at; this one has an engine and systemd that make their own in them.
  cat >"$root/machine-start" <<'X'
#!/bin/sh
awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r folder; do mount -o remount,rw,bind "$folder"; done
exec /sbin/init
X
  chmod 755 "$root/machine-start"
  rm -rf "$root"/usr/share/{doc,locale,info} "$root"/var/cache/apt "$root"/var/lib/apt/lists
  : >"$root/etc/machine-id"
}

key=$(declare -f finish | cat - <(echo "$packages") | sha256sum | cut -c 1-12)
archive=$cache/systemd-$suite-$key.tar
image=kopi-docka-systemd:$key

[ -s "$archive" ] || make_archive "$archive" "a Debian with systemd and Docker" "$suite" "$packages"
[ $# = 1 ] || exit 0
docker -H "unix://$1" image inspect "$image" >/dev/null 2>&1 ||
  docker -H "unix://$1" import --change 'CMD ["/machine-start"]' --change 'ENV container=docker' "$archive" "$image" >/dev/null
echo "$image"
