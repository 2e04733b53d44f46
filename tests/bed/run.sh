#!/usr/bin/env bash
# run.sh [--stock-kopia] COMMAND ARGS…
#                         Sets the test bed up and runs COMMAND in it: with Docker, Compose and Kopia on PATH, a Docker engine that
#                         answers, and the test image in it. Whatever it started is ended afterwards, also on failure or Ctrl-C.
#
# What the tests find in their environment:
#   KOPI_DOCKA_TEST_DOCKER    the socket of the engine that they share. If it is set already, that engine is used.
#   KOPI_DOCKA_TEST_BED       this folder: engine.sh gives a test an engine of its own, image.sh the image
#   KOPI_DOCKA_TEST_KOPIA     Kopia as everybody has it; the one on PATH may be quicker (setup.sh), unless the flag keeps it away
#   KOPI_DOCKA_REQUIRE_REAL   1: a test that misses one of these fails; without it, it may skip itself
#   TMPDIR                    a folder that is removed at the end, and every engine in it ended
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

is_stock=no
if [ "${1:-}" = --stock-kopia ]; then
  is_stock=yes
  shift
fi
[ $# -gt 0 ] || die "usage: run.sh [--stock-kopia] COMMAND ARGS…"
"$bed/setup.sh"
load_env
[ "$is_stock" = no ] || PATH=${PATH//"$quick:"/}
need_root "the test bed"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/kd-test.XXXXXX")
# Tests run the program as a user without rights too, and that user has to get to it.
chmod 711 "$work"
clean_up() {
  trap '' INT TERM HUP
  leave_engine "$work"
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# They would lead the tests to another engine than the one meant.
unset DOCKER_HOST DOCKER_CONTEXT
choose_engine "$work/engine"
mkdir -m 711 "$work/tmp"
export KOPI_DOCKA_TEST_DOCKER=$socket KOPI_DOCKA_TEST_BED=$bed KOPI_DOCKA_REQUIRE_REAL=1 TMPDIR=$work/tmp
# They mostly wait, for containers to stop and for programs to be given up: more at once than there are processors.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
"$@"
