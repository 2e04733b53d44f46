#!/usr/bin/env bash
# tailnet.sh    Gets what a tailnet of the tests' own is made of, each in one pinned version, built as Go modules: Tailscale (`tailscaled`)
#               and headscale, a control server. Only what is missing; setup.sh calls it. What starts them is tests/it/common/tailnet/.
#
# Once, on two cores that others use too: two minutes and 29 MB for Tailscale, five minutes and 58 MB for headscale, and two gigabytes
# of the cache while they are built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[ $# = 0 ] || die "usage: tailnet.sh"

# Without these it calls itself `1.96.5-ERR-BuildInfo`.
version=$(sed -n 's/^\ttailscale\.com v\([0-9.]*\).*/\1/p' "$bed/tailscale/go.mod")
stamps="-X tailscale.com/version.longStamp=$version -X tailscale.com/version.shortStamp=$version"

# The client is in the same file, for who calls it `tailscale`. There is no such name in the cache: it would be on the PATH of every test, and
# most machines have no Tailscale. Left out is what only clouds and desktops use, which takes longer to build than all the rest.
build_module tailscale tailscale.com/cmd/tailscaled "two minutes" "-ldflags=-s -w $stamps" \
  -tags=ts_include_cli,ts_omit_aws,ts_omit_kube,ts_omit_systray,ts_omit_desktop_sessions
build_module headscale github.com/juanfont/headscale/cmd/headscale "five minutes"
