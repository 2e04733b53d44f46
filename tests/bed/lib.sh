# shellcheck shell=bash
# Shared by the scripts of the test bed: where things are, and how they speak. Sourced, never run.

bed=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by the scripts that source this file
project=$(cd "$bed/../.." && pwd)

# Everything that setup.sh makes and that costs time to make again. `env` in it is what the other scripts source.
cache=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/kopi-docka-testbed

# Where the Kopia of the tests is, and the demo's is not: setup.sh.
# shellcheck disable=SC2034 # used by the scripts that source this file
quick=$cache/quick

# The image that every test and the demo run; image.sh makes it.
# shellcheck disable=SC2034 # used by the scripts that source this file
test_image=kopi-docka-test:1

say() { printf '%s\n' "test bed: $*" >&2; }

die() {
  printf '%s\n' "error: $1" >&2
  [ $# -lt 2 ] || printf 'hint: %s\n' "${@:2}" >&2
  exit 1
}

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root" "the engine and the files of volumes belong to root; run it with sudo"; }

# version_at_least HAVE WANTED
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

engine_answers() { timeout 10 docker -H "unix://$1" version >/dev/null 2>&1; }

# Puts what setup.sh made on PATH. Call it after setup.sh.
load_env() {
  # shellcheck source=/dev/null
  . "$cache/env"
}

# choose_engine DIR    Sets `socket`: the engine that KOPI_DOCKA_TEST_DOCKER names, else the one of this machine, else one of our own
#                      in DIR. Sets `image_is_ours` if the test image had to be loaded into it.
choose_engine() {
  local system=/var/run/docker.sock
  if [ -n "${KOPI_DOCKA_TEST_DOCKER:-}" ]; then
    socket=$KOPI_DOCKA_TEST_DOCKER
    engine_answers "$socket" || die "no Docker engine answers at $socket" "unset KOPI_DOCKA_TEST_DOCKER, or start the engine it names"
  elif engine_answers "$system"; then
    socket=$system
  else
    "$bed/engine.sh" start "$1"
    socket=$1/docker.sock
  fi
  image_is_ours=false
  docker -H "unix://$socket" image inspect "$test_image" >/dev/null 2>&1 || image_is_ours=true
  "$bed/image.sh" "$socket"
}

# Undoes choose_engine, and ends every engine that was started below the folder $1.
leave_engine() {
  if [ "${image_is_ours:-false}" = true ]; then docker -H "unix://$socket" image rm "$test_image" >/dev/null 2>&1 || true; fi
  local namespace
  find "$1" -maxdepth 5 -name netns -type f 2>/dev/null | while IFS= read -r namespace; do
    "$bed/engine.sh" stop "$(dirname "$namespace")" || true
  done || true
}

# make_archive FILE WHAT SUITE PACKAGES    A Debian with PACKAGES (a,b,c) in it, as the script's own `finish ROOT` leaves it, in a tar
#                                          file that is there whole or not at all. Takes a minute or two.
make_archive() {
  local archive=$1 what=$2 suite=$3 packages=$4 root mirror=${KOPI_DOCKA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
  need_root "making the image of $what"
  command -v debootstrap >/dev/null || die "there is no debootstrap" "run 'make setup'"
  mkdir -p "$cache"
  root=$(mktemp -d)
  # shellcheck disable=SC2064 # this folder, not what the name means later
  trap "rm -rf --one-file-system '$root'" EXIT
  chmod 755 "$root"
  say "installing $what into an image once (a minute or two)"
  debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$cache/debootstrap.log" 2>&1 || {
    tail -n 20 "$cache/debootstrap.log" >&2
    die "$what could not be installed from $mirror"
  }
  finish "$root"
  tar --create --numeric-owner --one-file-system --directory="$root" --file="$archive.$$" .
  mv "$archive.$$" "$archive"
  rm -rf --one-file-system "$root"
  trap - EXIT
}

# A changed pin makes it again: the stamp holds a hash of what it was made from.
stamp_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

is_made() { [ "$(cat "$cache/$1.stamp" 2>/dev/null)" = "$2" ]; }

# build_module NAME PACKAGE TIME [GO BUILD FLAGS]    The program PACKAGE from the module in the folder NAME, which takes TIME. What Go keeps of
#                                                    the build goes to a folder that is removed: it is twenty times the program.
build_module() {
  local name=$1 package=$2 time=$3 module=$bed/$1 program=${2##*/} stamp work status=0
  shift 3
  stamp=$(stamp_of "$module/go.mod" "$module/go.sum" <(printf %s "$*"))
  ! is_made "$name" "$stamp" || return 0
  command -v go >/dev/null || die "$name is missing, and there is no Go to build it" "install Go >= $(sed -n 's/^go //p' "$module/go.mod") (https://go.dev/doc/install)"
  say "building $name once ($time)"
  mkdir -p "$cache/bin"
  work=$(mktemp -d "$cache/.build.XXXXXX")
  # Pinned by go.sum: without it, or with other bytes than it knows, Go refuses. The result appears whole or not at all.
  (cd "$module" && GOCACHE=$work/build GOMODCACHE=$work/modules GOFLAGS=-modcacherw CGO_ENABLED=0 \
    go build -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' "$@" -o "$work/$program" "$package") >"$cache/$name.log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then
    mv "$work/$program" "$cache/bin/$program"
    echo "$stamp" >"$cache/$name.stamp"
  else
    cat "$cache/$name.log" >&2
  fi
  rm -rf "$work"
  [ "$status" = 0 ] || die "$name could not be built" "it needs a Go module proxy (GOPROXY)"
}
