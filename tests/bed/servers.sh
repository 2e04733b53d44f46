#!/usr/bin/env bash
# servers.sh    Gets the storage servers of the tests, each in one pinned version: versitygw (S3) and fake-gcs-server (Google Cloud
#               Storage), built as Go modules, and Azurite (Azure), from npm. Only what is missing; setup.sh calls it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

export PATH="$cache/bin:$PATH"
mkdir -p "$cache/bin"

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
build_module versitygw github.com/versity/versitygw/cmd/versitygw "two minutes"
build_module fake-gcs-server github.com/fsouza/fake-gcs-server "two minutes"
wait "$azurite"
