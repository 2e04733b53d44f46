#!/usr/bin/env bash
# engine.sh start DIR    A Docker engine of our own; everything that it has is below DIR, its socket is DIR/docker.sock. Returns when
#                        it answers. On a DIR whose engine was stopped or killed: starts it again with the same data. If DIR/daemon.json
#                        is there, it is the engine's configuration (live-restore and the like).
# engine.sh stop DIR     Ends the engine, its containers and whatever they left, and removes DIR.
#
# The engine is the one of KOPI_DOCKA_ENGINE, a folder with dockerd and containerd, if that is set, else this machine's.
#
# The engine lives in a network namespace of its own, kept in DIR/netns for as long as DIR lives: its docker0 and firewall rules meet
# neither this machine's nor those of another engine. (An engine started with --bridge=none beside another one deletes the other's
# docker0.) A port that a container publishes is therefore reached with `nsenter --net=DIR/netns`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

usage="usage: engine.sh start|stop DIR"
PATH=${KOPI_DOCKA_ENGINE:+$KOPI_DOCKA_ENGINE:}$PATH
# An engine that was killed first ends the containers that it finds running, 10 s for one that ignores SIGTERM, and answers after that.
start_seconds=60
stop_seconds=40

# Bounded: `within SECONDS COMMAND…` until it succeeds.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# The pid of this DIR's engine if it runs. The pid file alone proves nothing: it outlives a killed engine, and pids come again.
engine_pid() {
  local pid
  pid=$(cat "$dir/docker.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  is_running "$pid" && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$dir/docker.pid" && echo "$pid"
}

# A process that ended and that nobody has collected yet is a zombie: no command line, but `kill -0` still finds it.
is_running() { [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$1/cmdline")" ]; }
is_gone() { ! is_running "$1"; }

# Processes that one of our engines left: containerd and one shim for each container, which name DIR in their arguments.
leftovers() {
  local file
  for file in /proc/[0-9]*/cmdline; do
    tr '\0' '\n' 2>/dev/null <"$file" | grep -qE "^${dir//./\\.}/exec/containerd/(containerd\.(sock|toml))$" || continue
    file=${file#/proc/}
    echo "${file%/cmdline}"
  done
}

answers_or_died() { engine_answers "$dir/docker.sock" || ! is_running "$started"; }

start() {
  need_root "a Docker engine"
  command -v dockerd >/dev/null || die "there is no dockerd" "run 'make setup'"
  # The longest socket path below DIR has to fit into the kernel's 107 bytes.
  [ ${#dir} -le 64 ] || die "$dir is too long a path for an engine" "use a shorter one"
  mkdir -p "$dir"
  if engine_pid >/dev/null; then
    within "$start_seconds" engine_answers "$dir/docker.sock" || fail_with_log "the engine in $dir runs, but does not answer"
    return
  fi
  rm -f "$dir/docker.pid" "$dir/docker.sock"
  forget_containerd
  make_namespace
  # Without a file of its own dockerd would read /etc/docker/daemon.json.
  [ -e "$dir/daemon.json" ] || echo '{}' >"$dir/daemon.json"
  # A session of its own: a Ctrl-C for the tests must not reach the engine before they have cleaned up.
  setsid nsenter --net="$dir/netns" dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/docker.pid" --host "unix://$dir/docker.sock" >>"$dir/log" 2>&1 </dev/null &
  started=$!
  within "$start_seconds" answers_or_died || fail_with_log "the engine in $dir does not answer after $start_seconds s"
  is_running "$started" || fail_with_log "the engine in $dir did not start"
}

# dockerd asks `kill -0` whether the containerd of its last life still runs. One that was killed with it and waits as a zombie for a slow
# process 1 says yes, and dockerd then waits 15 s for it and gives up.
forget_containerd() {
  local pid
  pid=$(cat "$dir/exec/containerd/containerd.pid" 2>/dev/null) || return 0
  is_running "$pid" || rm -f "$dir/exec/containerd/containerd.pid"
}

make_namespace() {
  mountpoint -q "$dir/netns" 2>/dev/null && return
  : >"$dir/netns"
  unshare --net="$dir/netns" ip link set lo up
}

fail_with_log() {
  say "the end of $dir/log:"
  tail -n 20 "$dir/log" >&2 || true
  die "$1"
}

stop() {
  [ -d "$dir" ] || return 0
  [ -e "$dir/netns" ] || die "$dir is not the folder of a test engine; nothing was removed"
  local pid
  if pid=$(engine_pid); then
    remove_containers
    kill "$pid" 2>/dev/null || true
    within "$stop_seconds" is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
  fi
  end_leftovers
  unmount_leftovers
  # A mount that will not go would let `rm` reach into something that is not ours.
  [ -z "$(mounts)" ] || die "still mounted below $dir: $(mounts | tr '\n' ' ')" "$dir was not removed"
  rm -rf --one-file-system "$dir"
}

# With live-restore an engine leaves its containers running when it ends, and they may ignore SIGTERM in any case.
remove_containers() {
  local ids
  mapfile -t ids < <(timeout 10 docker -H "unix://$dir/docker.sock" ps --all --quiet 2>/dev/null)
  [ ${#ids[@]} -eq 0 ] || timeout "$stop_seconds" docker -H "unix://$dir/docker.sock" rm --force "${ids[@]}" >/dev/null 2>&1 || true
}

# What a killed engine left. The children of a shim are the processes of its container.
end_leftovers() {
  local pids pid container
  mapfile -t pids < <(leftovers)
  for pid in "${pids[@]}"; do
    container=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | sed -n '/^-id$/{n;p}') || true
    [ -z "$container" ] || pkill -KILL --parent "$pid" || true
    kill -KILL "$pid" 2>/dev/null || true
    within 5 is_gone "$pid" || say "process $pid of the engine in $dir does not end"
    [ -z "$container" ] || rmdir /sys/fs/cgroup/{,*/}docker/"$container" 2>/dev/null || true
  done
}

# The deepest first. /proc/mounts writes a blank in a path as \040.
mounts() { awk -v d="$dir/" 'index($2, d) == 1 { print $2 }' /proc/mounts | sort -r | sed 's/\\040/ /g'; }

unmount_leftovers() {
  local path
  mounts | while IFS= read -r path; do
    umount "$path" 2>/dev/null || umount --lazy "$path" 2>/dev/null || true
  done
}

[ $# = 2 ] || die "$usage"
dir=$(realpath --canonicalize-missing "$2")
case $dir in
  / | /var/lib/docker | /var/lib | /var | /home | /root | /tmp) die "$dir must not be the folder of a test engine" ;;
esac
case $1 in
  start) start ;;
  stop) stop ;;
  *) die "$usage" ;;
esac
