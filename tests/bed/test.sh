#!/usr/bin/env bash
# test.sh [ARGS…]    `cargo test` in the test bed. ARGS are for cargo: test.sh --test it backup:: -- --nocapture
set -euo pipefail
cd "$(dirname "$0")/../.."
exec tests/bed/run.sh cargo test --locked "$@"
