#!/usr/bin/env bash
# setup.sh         Gets everything that the tests need on a Debian machine with a Rust toolchain: a Docker engine, Docker Compose v2,
#                  Kopia, a machine with systemd (systemd.sh), a bare one (bare.sh), storage servers (servers.sh), a tailnet (tailnet.sh) and a few
#                  small tools.
# setup.sh demo    Only what the demo needs: engine, Compose, Kopia and its small tools.
#
# Installs only what is missing; when nothing is, it touches no network and is done in a moment. Starts no service: the tests bring up
# an engine of their own (engine.sh). Writes $cache/env, which the other scripts source.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

kopia_minimum=0.23.0
compose_minimum=2.20.0
# Where a Compose v2 comes from on a Debian whose own package is still v1 (bookworm).
mirror=${KOPI_DOCKA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
newer_suite=trixie
compose_file=usr/libexec/docker/cli-plugins/docker-compose
newer=$cache/newer

# dockerd and iptables live in sbin, which is not on everyone's PATH.
export PATH="$cache/bin:${PATH//"$quick:"/}:/usr/local/sbin:/usr/sbin:/sbin"
# A client configuration of our own: no credentials, no contexts, and a place for the Compose plugin.
export DOCKER_CONFIG="$cache/docker"

case ${1:-all} in
  all | demo) purpose=${1:-all} ;;
  *) die "usage: setup.sh [demo]" ;;
esac

# command:package, for what is looked up by name.
tools=(
  dockerd:docker.io docker:docker.io iptables:iptables tar:tar getfattr:attr setfacl:acl setcap:libcap2-bin jq:jq
  ps:procps ip:iproute2 unshare:util-linux make:make cc:gcc
)
[ "$purpose" = demo ] || tools+=(
  debootstrap:debootstrap tmux:tmux openssl:openssl sshd:openssh-server ssh-keygen:openssh-client setpriv:util-linux
  mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs strace:strace docker-registry:docker-registry node:nodejs npm:npm python3:python3 perl:perl
  shellcheck:shellcheck dash:dash aiosmtpd:python3-aiosmtpd
)

missing_packages() {
  local tool
  for tool in "${tools[@]}"; do
    command -v "${tool%%:*}" >/dev/null || echo "${tool#*:}"
  done
  command -v cc >/dev/null || echo libc6-dev
  static_busybox >/dev/null || echo busybox-static
}

# The image holds nothing but busybox, so it has to be a static one.
static_busybox() {
  local path
  path=$(command -v busybox) && ! ldd "$path" >/dev/null 2>&1 && echo "$path"
}

install_packages() {
  local packages
  mapfile -t packages < <(missing_packages | sort -u)
  [ ${#packages[@]} -gt 0 ] || return 0
  need_root "installing ${packages[*]}"
  command -v apt-get >/dev/null || die "missing: ${packages[*]} (Debian's names)" "this is not a Debian; install them and run it again"
  say "installing ${packages[*]}"
  apt_get update || die "apt-get update failed"
  without_services apt_get install --no-install-recommends "${packages[@]}" || die "could not install ${packages[*]}"
  mapfile -t packages < <(missing_packages | sort -u)
  [ ${#packages[@]} -eq 0 ] || die "still missing after the installation: ${packages[*]}"
}

# Its chatter is shown only when it fails.
apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" </dev/null >"$cache/apt.log" 2>&1 || {
    cat "$cache/apt.log" >&2
    return 1
  }
}

# Runs "$@" with starting of services forbidden in the way that Debian provides for: where there is no init the start would fail,
# and where there is one, nobody asked us for a service.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  "$@" || status=$?
  rm -f "$policy"
  trap - EXIT
  return "$status"
}

compose_version() { docker compose version --short 2>/dev/null | sed 's/^v//'; }

compose_is_there() {
  local version
  version=$(compose_version) && version_at_least "$version" "$compose_minimum"
}

install_compose() {
  local plugins=$DOCKER_CONFIG/cli-plugins own=$HOME/.docker/cli-plugins/docker-compose
  mkdir -p "$plugins"
  compose_is_there && return
  if [ -x "$own" ]; then
    ln -sf "$own" "$plugins/docker-compose"
    compose_is_there && return
    rm -f "$plugins/docker-compose"
  fi
  say "fetching Docker Compose v2 from Debian $newer_suite"
  fetch_compose "$plugins/docker-compose"
  compose_is_there || die "the Compose plugin in $plugins does not work" "see what 'DOCKER_CONFIG=$DOCKER_CONFIG docker compose version' says"
}

fetch_compose() {
  local folder
  folder=$(mktemp -d)
  if unpack "$newer_suite" "$folder" docker-compose && install -m 755 "$folder/$compose_file" "$1"; then
    rm -rf "$folder"
    return
  fi
  rm -rf "$folder"
  die "Docker Compose v2 could not be fetched from $mirror" \
    "or put a docker-compose plugin >= $compose_minimum into /usr/local/lib/docker/cli-plugins"
}

# unpack SUITE FOLDER PACKAGES…    What the packages of another Debian hold, in FOLDER. They are never installed, and APT gets sources,
#                                  lists and a cache of its own, so that nothing of that suite can ever slip into this system.
unpack() {
  local suite=$1 folder=$2 apt status=0
  shift 2
  apt=$(mktemp -d)
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/deb"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
  cat >"$apt/apt.conf" <<X
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
X
  # An `&&` chain: `set -e` is off in a command whose status is looked at.
  (cd "$apt/deb" && export APT_CONFIG=$apt/apt.conf && apt_get update && apt_get download "$@") || status=$?
  local package
  for package in "$apt"/deb/*.deb; do
    [ "$status" != 0 ] || dpkg-deb --extract "$package" "$folder" || status=$?
  done
  rm -rf "$apt"
  return "$status"
}

# The newest engine and Compose that Debian has, beside those of this machine: what a restore makes has to be accepted by both. Their
# programs stay in a folder of their own, which engine.sh and the tests put first on PATH.
install_newer() {
  newer_works && return
  local suite folder
  for suite in sid "$newer_suite"; do
    say "fetching the Docker engine and Compose of Debian $suite"
    folder=$(mktemp -d)
    if unpack "$suite" "$folder" docker.io containerd docker-compose; then
      rm -rf "$newer"
      mkdir -p "$newer/bin" "$newer/docker/cli-plugins"
      # Not runc: it needs the C library of its own suite, and this machine's works with all of them.
      find "$folder" -type f \( -name dockerd -o -name docker-proxy -o -name 'containerd' -o -name 'containerd-shim*' \) -perm -100 \
        -exec install -m 755 -t "$newer/bin" {} +
      install -m 755 "$folder/$compose_file" "$newer/docker/cli-plugins/docker-compose"
    fi
    rm -rf "$folder"
    newer_works && return
  done
  die "no newer Docker engine and Compose could be fetched from $mirror" "see $cache/apt.log"
}

newer_works() {
  "$newer/bin/dockerd" --version >/dev/null 2>&1 && "$newer/bin/containerd" --version >/dev/null 2>&1 &&
    DOCKER_CONFIG=$newer/docker docker compose version >/dev/null 2>&1
}

# `kopia --version` says `0.23.1 build: …`, and `v0.23.1 build: …` when it was built as a Go module.
kopia_is_there() {
  local version
  version=$(kopia --version 2>/dev/null | sed -n '1s/^v\{0,1\}\([0-9.]*\).*/\1/p')
  [ -n "$version" ] && version_at_least "$version" "$kopia_minimum"
}

install_kopia() {
  kopia_is_there && return
  local module=$bed/kopia wanted have
  wanted=$(sed -n 's/^go //p' "$module/go.mod")
  local remedy=("install Go >= $wanted (https://go.dev/doc/install; Debian's golang-go may be too old)" "or put kopia >= $kopia_minimum on PATH (https://kopia.io/docs/installation)")
  command -v go >/dev/null || die "kopia is missing, and there is no Go to build it" "${remedy[@]}"
  # Run in the module's folder, so that a Go which fetches newer toolchains by itself answers with the one it would use.
  have=$(cd "$module" && go env GOVERSION 2>&1) || die "Go refuses to build kopia: $have" "${remedy[@]}"
  version_at_least "${have#go}" "$wanted" || die "kopia is missing, and $have is too old to build it" "${remedy[@]}"
  say "building kopia $(sed -n 's/^.*github.com\/kopia\/kopia v\([^ ]*\).*/\1/p' "$module/go.mod") once (a minute or two)"
  mkdir -p "$cache/bin"
  # Pinned by go.sum: without it, or with other bytes than it knows, Go refuses. The result appears whole or not at all.
  (cd "$module" && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' -o "$cache/bin/.kopia.$$" github.com/kopia/kopia) ||
    die "kopia could not be built" "${remedy[1]}"
  mv "$cache/bin/.kopia.$$" "$cache/bin/kopia"
  kopia_is_there || die "the kopia just built does not say a version >= $kopia_minimum: $(kopia --version 2>&1)"
}

# The same Kopia from the same source with its build tag `testing`, for the tests. All that it has more is a key derivation that costs
# nothing: half of the processor time of a Kopia that does little goes into the one that keeps a password from being guessed, and the tests
# start some ten thousand of them. Without it the tests are slower, and nothing else.
install_quick_kopia() {
  local module=$bed/kopia stamp status=0
  stamp=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -d ' ' -f 1)
  if [ "$(cat "$cache/quick.stamp" 2>/dev/null)" != "$stamp" ] || [ ! -x "$quick/kopia" ]; then
    command -v go >/dev/null || return 0
    say "building kopia for the tests once (a minute or two)"
    mkdir -p "$quick"
    (cd "$module" && CGO_ENABLED=0 go build -tags testing -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' -o "$quick/.kopia.$$" \
      github.com/kopia/kopia) >"$cache/quick.log" 2>&1 || status=$?
    if [ "$status" != 0 ]; then
      say "it could not be built, so the tests take longer: see $cache/quick.log"
      return 0
    fi
    mv "$quick/.kopia.$$" "$quick/kopia"
    echo "$stamp" >"$cache/quick.stamp"
  fi
}

# Only in the place of the same version: whoever has a newer one on PATH wants to see the tests with that.
quick_kopia_fits() { [ -x "$quick/kopia" ] && [ "$("$quick/kopia" --version | cut -d' ' -f1)" = "$(kopia --version | cut -d' ' -f1)" ]; }

write_env() {
  local first=
  ! quick_kopia_fits || first=$quick:
  cat >"$cache/.env.$$" <<X
# Written by tests/bed/setup.sh; source it.
export PATH="$first$cache/bin:\$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export DOCKER_CONFIG="$cache/docker"
export KOPI_DOCKA_TEST_NEWER="$newer"
export KOPI_DOCKA_TEST_KOPIA="$(command -v kopia)"
X
  mv "$cache/.env.$$" "$cache/env"
}

mkdir -p "$cache"
install_packages
install_compose
install_kopia
if [ "$purpose" = all ]; then
  install_quick_kopia
  install_newer
  "$bed/systemd.sh"
  "$bed/bare.sh" >/dev/null
  "$bed/servers.sh"
  "$bed/tailnet.sh"
fi
write_env
say "ready: $(docker --version), Compose $(compose_version), kopia $(kopia --version | cut -d' ' -f1). To use it by hand: . $cache/env"
