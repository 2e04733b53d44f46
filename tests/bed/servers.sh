#!/usr/bin/env bash
# servers.sh    Gets the storage servers of the tests, each in one pinned version: versitygw (S3) and fake-gcs-server (Google Cloud
#               Storage), built as Go modules, and Azurite (Azure), from npm. Only what is missing; setup.sh calls it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

export PATH="$cache/bin:$PATH"
mkdir -p "$cache/bin"

# A changed pin makes it again: the stamp holds a hash of what it was made from.
stamp_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

is_made() { [ "$(cat "$cache/$1.stamp" 2>/dev/null)" = "$2" ]; }

# build_module NAME PACKAGE    From the module in the folder NAME. What Go keeps of the build goes to a folder that is removed: it is
# twenty times the program.
build_module() {
  local name=$1 package=$2 module=$bed/$1 stamp work status=0
  stamp=$(stamp_of "$module/go.mod" "$module/go.sum")
  ! is_made "$name" "$stamp" || return 0
  command -v go >/dev/null || die "$name is missing, and there is no Go to build it" "install Go >= $(sed -n 's/^go //p' "$module/go.mod") (https://go.dev/doc/install)"
  say "building $name once (two minutes)"
  work=$(mktemp -d "$cache/.build.XXXXXX")
  # Pinned by go.sum: without it, or with other bytes than it knows, Go refuses. The result appears whole or not at all.
  (cd "$module" && GOCACHE=$work/build GOMODCACHE=$work/modules GOFLAGS=-modcacherw CGO_ENABLED=0 \
    go build -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' -o "$work/$name" "$package") >"$cache/$name.log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then
    mv "$work/$name" "$cache/bin/$name"
    echo "$stamp" >"$cache/$name.stamp"
  else
    cat "$cache/$name.log" >&2
  fi
  rm -rf "$work"
  [ "$status" = 0 ] || die "$name could not be built" "it needs a Go module proxy (GOPROXY)"
}

# Pinned by package-lock.json with the hash of every package; nothing of them runs while they are installed.
install_azurite() {
  local module=$bed/azurite stamp work status=0
  stamp=$(stamp_of "$module/package.json" "$module/package-lock.json")
  ! is_made azurite "$stamp" || return 0
  command -v npm >/dev/null || die "Azurite is missing, and there is no npm to install it" "install Node.js 20 or newer with npm (Debian: nodejs npm)"
  version_at_least "$(node --version | tr -d v)" 20 || die "Azurite needs Node.js 20 or newer, here is $(node --version)" "https://nodejs.org/en/download"
  say "installing Azurite once (a minute or two)"
  work=$(mktemp -d "$cache/.azurite.XXXXXX")
  cp "$module/package.json" "$module/package-lock.json" "$work"
  (cd "$work" && npm ci --ignore-scripts --omit=dev --no-audit --no-fund --cache "$work/.npm") </dev/null >"$cache/azurite.log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then
    rm -rf "$work/.npm" "$cache/azurite"
    mv "$work" "$cache/azurite"
    ln -sfn "$cache/azurite/node_modules/.bin/azurite-blob" "$cache/bin/azurite-blob"
    echo "$stamp" >"$cache/azurite.stamp"
  else
    cat "$cache/azurite.log" >&2
    rm -rf "$work"
    die "Azurite could not be installed" "it needs an npm registry (npm config set registry …)"
  fi
}

# One waits for the network while the other compiles.
install_azurite &
azurite=$!
build_module versitygw github.com/versity/versitygw/cmd/versitygw
build_module fake-gcs-server github.com/fsouza/fake-gcs-server
wait "$azurite"
