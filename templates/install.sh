#!/bin/sh
# install.sh BINARY      Installs it below $DESTDIR$PREFIX, with its manual pages, completions and systemd units. Enables and starts nothing.
# install.sh --remove    Removes them again; configuration, state and backups stay.
set -eu

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix
program=$root/bin/kopi-docka
manuals=$root/share/man/man1
formats=$root/share/man/man5
bash=$root/share/bash-completion/completions/kopi-docka
# Debian's zsh looks for packages' files elsewhere than for the administrator's.
if [ "$prefix" = /usr ]; then zsh=$root/share/zsh/vendor-completions/_kopi-docka; else zsh=$root/share/zsh/site-functions/_kopi-docka; fi
fish=$root/share/fish/vendor_completions.d/kopi-docka.fish
units=$root/lib/systemd/system

if [ "${1:-}" = --remove ]; then
  rm -f "$program" "$bash" "$zsh" "$fish" "$manuals"/kopi-docka.1 "$manuals"/kopi-docka-*.1 "$formats"/kopi-docka.json.5
  rm -f "$units"/kopi-docka.service "$units"/kopi-docka.timer "$units"/kopi-docka-backup.service "$units"/kopi-docka-recover.service "$units"/kopi-docka-recover.timer "$units"/kopi-docka-recover-boot.service "$units"/kopi-docka-clean.service "$units"/kopi-docka-retry.service "$units"/kopi-docka-retry.timer "$units"/kopi-docka-notify.service "$units"/kopi-docka-drill.service "$units"/kopi-docka-drill.timer
  exit 0
fi

binary=${1:?usage: install.sh BINARY}
[ -x "$binary" ] || {
  echo "error: there is no program $binary" >&2
  echo "hint: build it with 'make build', or name another one: make install BINARY=FILE" >&2
  exit 1
}
# What it writes belongs to everybody's eyes, whatever the umask of whoever builds.
umask 022
# It speaks of itself: nothing of whoever builds may slip in.
kopi_docka() { env -i PATH="$PATH" HOME=/root LC_ALL=C "$binary" --quiet "$@"; }

install -d "$manuals" "$formats" "$units" "$(dirname "$program")" "$(dirname "$bash")" "$(dirname "$zsh")" "$(dirname "$fish")"
kopi_docka man --output-dir "$manuals"
mv -f "$manuals"/kopi-docka.json.5 "$formats"
kopi_docka completions bash >"$bash"
kopi_docka completions zsh >"$zsh"
kopi_docka completions fish >"$fish"
kopi_docka write-units --output-dir "$units" --program "$prefix/bin/kopi-docka" >/dev/null
chmod 644 "$bash" "$zsh" "$fish" "$manuals"/kopi-docka*.1 "$formats"/kopi-docka.json.5
# Last, so that a program that is there has all that belongs to it. Replaced, not written into: it may be running.
install -m 755 "$binary" "$program.new"
mv -f "$program.new" "$program"
