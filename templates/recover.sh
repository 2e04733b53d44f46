#!/bin/sh
# Reaches the backups of a lost host from a new one, with Kopia alone: proves the connection with copies in memory, then puts the files of
# this bundle where they were, connects, and lists the restore points. Removes nothing, and can be run again.
#
# The exit status is one of `kopi-docka`:
#   0  connected                            13  not root
#   1  another repository is there          15  Kopia is missing or too old
#   2  wrong arguments                      16  this bundle is damaged
#   5  something else is in the way         17  the storage cannot be reached
#  10  no repository is there              130, 143  ended by a signal
#  12  the repository has another password
set -u
umask 077

usage='usage: sh recover.sh [--force] [--take-over] [--at PARAMS] [--yes]

  --force       replace files that differ; a copy of each is kept beside it
  --take-over   this host replaces the lost one: it gets its name, its restore points and its maintenance of the repository
  --at PARAMS   the repository is at another address now, such as "filesystem --path /mnt/x" (as in kopia.kopia_params)
  --yes         answer every question with yes'

# Generated with the bundle: what these stand for is in recover/values.
host='' machine='' unique_id='' config_file='' kopia_config='' cache='' state_file='' version='' kopia_major='' kopia_minor=''
content_cache='' metadata_cache='' names_host='' is_timed=''

say() { printf '%s\n' "$*"; }

warn() { printf 'warning: %s\n' "$*" >&2; }

# STATUS MESSAGE [HINT]...
die() {
  code=$1
  printf 'error: %s\n' "$2" >&2
  shift 2
  for hint; do printf 'hint: %s\n' "$hint" >&2; done
  exit "$code"
}

# QUESTION: a yes, or the end. Without a terminal nothing is assumed.
ask() {
  [ "$yes" = no ] || return 0
  [ -t 0 ] || die 5 "not on a terminal, and this needs an answer: $1" 'nothing was changed; say --yes to agree'
  printf '%s [y/N] ' "$1" >&2
  read -r answer || answer=
  case $answer in y | Y | yes | Yes) ;; *) die 5 'declined: nothing was changed' ;; esac
}

scratch='' unfinished=''
# shellcheck disable=SC2329 # The traps call it.
clean() {
  [ -z "$scratch" ] || rm -rf "$scratch"
  [ -z "$unfinished" ] || rm -f "$unfinished"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

force=no take_over=no yes=no at=
while [ $# -gt 0 ]; do
  case $1 in
    --force) force=yes ;;
    --take-over) take_over=yes ;;
    --yes | -y) yes=yes ;;
    --at=*) at=${1#--at=} ;;
    --at)
      [ $# -gt 1 ] || die 2 '--at needs the address of the repository' 'such as: --at "filesystem --path /mnt/x"'
      at=$2
      shift
      ;;
    --help | -h)
      say "$usage"
      exit 0
      ;;
    *) die 2 "unknown argument: $1" "$usage" ;;
  esac
  shift
done

# ---- what is needed ----

[ "$(id -u)" = 0 ] || die 13 'recover.sh needs root' 'run it with sudo, or as root'
cd "$(dirname "$0")" || die 16 'the directory of recover.sh cannot be entered'
here=$(pwd)
sha256sum -c SHA256SUMS >/dev/null 2>&1 ||
  die 16 "the bundle in $here is damaged" 'decrypt it again, or use another copy or an older bundle; this names the file: sha256sum -c SHA256SUMS'
# shellcheck source=/dev/null
. ./recover/values

needs="install Kopia $kopia_major.$kopia_minor or newer (https://kopia.io/docs/installation/)"
command -v kopia >/dev/null 2>&1 || die 15 'kopia is not on the PATH' "$needs"
found=$(kopia --version 2>/dev/null)
found=${found%% *}
found=${found#v}
major=${found%%.*}
minor=${found#*.}
minor=${minor%%[!0-9]*}
case $major:$minor in
  *[!0-9:]* | :* | *:) die 15 "\`kopia --version\` did not tell a version: $found" "$needs" ;;
esac
if [ "$major" -lt "$kopia_major" ] || { [ "$major" -eq "$kopia_major" ] && [ "$minor" -lt "$kopia_minor" ]; }; then
  die 15 "Kopia $found is too old" "$needs"
fi

memory=/run
[ ! -w /dev/shm ] || memory=/dev/shm
scratch=$(mktemp -d "$memory/kopi-docka-recover-XXXXXX") || die 1 "no directory can be made in $memory"

# ---- the address ----

if [ -n "$at" ]; then
  # Split as a shell does, and nothing more.
  case $at in
    *[\`\$\;\&\|\<\>\(\)]* | *'
'*) die 2 'the address after --at holds a character that means something to a shell' ;;
  esac
  set -f
  eval "set -- $at" 2>/dev/null || die 2 'the address after --at has a quote that is not closed'
  set +f
  [ $# -gt 0 ] || die 2 'the address after --at is empty'
else
  while IFS= read -r word; do set -- "$@" "$word"; done <recover/arguments
fi

# ---- the connection, with copies in memory ----

set -a
# shellcheck source=/dev/null
. ./credentials/env-vars.txt
set +a
KOPIA_PASSWORD=$(cat kopia-password.txt)
KOPIA_PERSIST_CREDENTIALS_ON_CONNECT=false
KOPIA_CHECK_FOR_UPDATES=false
KOPIA_DISABLE_COLOR=1
export KOPIA_PASSWORD KOPIA_PERSIST_CREDENTIALS_ON_CONNECT KOPIA_CHECK_FOR_UPDATES KOPIA_DISABLE_COLOR

# What follows is stopped when the storage says nothing, where there is a program for that.
limit=
if timeout --foreground 9 true 2>/dev/null; then limit='timeout --foreground 60'; elif timeout 9 true 2>/dev/null; then limit='timeout 60'; fi

# CONFIG COMMAND...
on() {
  config=$1
  shift
  # shellcheck disable=SC2086 # Several words.
  $limit kopia --config-file="$config" --log-dir="$scratch/logs" --no-auto-maintenance "$@"
}

# CONFIG CACHE ARGUMENTS...
connect() {
  config=$1
  to=$2
  shift 2
  on "$config" repository connect "$@" --cache-directory="$to" \
    --content-cache-size-mb="$content_cache" --metadata-cache-size-mb="$metadata_cache" --disable-repository-format-cache \
    --no-check-for-updates --override-username=kopi-docka --override-hostname="$name" >"$scratch/said" 2>&1 </dev/null
}

# WORD: with the copy in this bundle in the place of a file that is not there yet
in_memory() {
  while IFS='	' read -r member path _; do
    case $1 in
      "$path" | --*="$path")
        printf %s "${1%"$path"}$here/$member"
        return
        ;;
    esac
  done <credentials/files.tsv
  printf %s "$1"
}

connect_in_memory() (
  count=$#
  while [ "$count" -gt 0 ]; do
    word=$(in_memory "$1")
    shift
    set -- "$@" "$word"
    count=$((count - 1))
  done
  while IFS='	' read -r variable path; do
    eval "$variable=\$(in_memory \"\$path\"); export $variable"
  done <recover/variables
  HOME=$scratch/home
  export HOME
  # Rclone finds its file by itself.
  mkdir -p "$HOME/.config/rclone"
  while IFS='	' read -r member path _; do
    case $path in */.config/rclone/rclone.conf) cp "$member" "$HOME/.config/rclone/rclone.conf" ;; esac
  done <credentials/files.tsv
  connect "$scratch/repository.config" "$scratch/cache" "$@" || return
  on "$scratch/repository.config" repository status --json >"$scratch/status" 2>"$scratch/said" || return
  # A long list takes its time.
  limit=
  on "$scratch/repository.config" snapshot list --all --json >"$scratch/snapshots" 2>"$scratch/said"
)

not_connected() {
  sed 's/^/kopia said: /' "$scratch/said" >&2
  case $(cat "$scratch/said") in
    *'invalid repository password'*)
      die 12 'the repository has another password than this bundle' 'it was changed after the bundle was made: use a newer bundle' ;;
    *'not initialized in the provided storage'* | *'BLOB not found'*)
      die 10 'the storage answers, but there is no repository' 'check that the right disk is mounted, or name the address with --at' ;;
    *'cannot access storage path'*)
      die 17 'the directory of the repository is not there' 'mount the disk with the repository, or say where it is now: --at "filesystem --path /mnt/x"' ;;
    *) die 17 'the storage cannot be reached' 'check the network and the address; where it is elsewhere now, name it with --at' ;;
  esac
}

own_name=$(uname -n | tr '[:upper:]' '[:lower:]')
# This host has a name in the repository already: an earlier run of this script, or of kopi-docka.
knows_repository=no
if [ -f "$state_file" ] && grep -q "\"$unique_id\"" "$state_file"; then
  knows_repository=yes
  known=$(sed -n 's/^ *"host": "\([^"]*\)".*/\1/p' "$state_file")
  own_name=${known:-$own_name}
fi
name=$own_name
[ "$take_over" = no ] || name=$host

say "Connecting to: $*"
connect_in_memory "$@" || not_connected
there=$(sed -n 's/.*"uniqueIDHex": *"\([0-9a-f]*\)".*/\1/p' "$scratch/status")
[ "$there" = "$unique_id" ] ||
  die 1 "another repository is there: expected $unique_id, found ${there:-nothing}" 'check that the right disk is mounted, or name the address with --at'

# ---- what is put where ----

# TEXT: as a string of JSON
json() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }

# FILE: with values in the place of its marks, each on a line of its own
fill() {
  while IFS= read -r line; do
    case $line in
      *'"@PARAMS@"'*) value=$(json "$at") mark='"@PARAMS@"' ;;
      *'"@LOCATION@"'*) value=$(json "$location") mark='"@LOCATION@"' ;;
      *'"@HOST@"'*) value=$(json "$name") mark='"@HOST@"' ;;
      *'"@NOW@"'*) value=$(json "$(date -u +%Y-%m-%dT%H:%M:%SZ)") mark='"@NOW@"' ;;
      *)
        printf '%s\n' "$line"
        continue
        ;;
    esac
    printf '%s%s%s\n' "${line%%"$mark"*}" "$value" "${line#*"$mark"}"
  done <"$1"
}

location=$*
state=recover/repository.json
[ "$take_over" = no ] || state=recover/repository-taken-over.json
fill "$state" >"$scratch/state"

# The configuration as it was, but for another address, and for the name of a host that lives on.
settings=kopi-docka.json
if [ -n "$at" ]; then
  fill recover/kopi-docka-elsewhere.json >"$scratch/settings"
  settings=$scratch/settings
elif [ "$take_over" = no ] && [ "$names_host" = yes ]; then
  settings=recover/kopi-docka-unnamed.json
fi

: >"$scratch/plan"
# SOURCE TARGET MODE OWNER
plan() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$scratch/plan"; }

while IFS='	' read -r member path mode owner _; do plan "$member" "$path" "$mode" "$owner"; done <credentials/files.tsv
for drop_in in systemd/*/*; do
  [ ! -f "$drop_in" ] || plan "$drop_in" "/etc/systemd/system/${drop_in#systemd/}" 644 0:0
done
if [ "$knows_repository" = no ] || { [ "$take_over" = yes ] && ! grep -q "\"$machine\"" "$state_file"; }; then
  plan "$scratch/state" "$state_file" 600 0:0
fi
# The last: from then on this host has a configuration.
plan "$settings" "$config_file" 600 0:0

# FILE FILE
same() { [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]; }

differ=''
while IFS='	' read -r source target _; do
  if [ -d "$target" ]; then
    die 5 "$target is a directory, where a file has its place" 'nothing was changed; move it away'
  elif [ -e "$target" ] || [ -L "$target" ]; then
    same "$source" "$target" || differ="$differ
  $target"
  fi
done <"$scratch/plan"
if [ -e "$kopia_config" ]; then
  on "$kopia_config" repository status --json 2>/dev/null </dev/null | grep -q "\"$unique_id\"" || differ="$differ
  $kopia_config"
fi
if [ -n "$differ" ]; then
  say "These are there already, and differ from the bundle:$differ"
  if [ "$force" = no ]; then
    if [ "$yes" = no ] && [ ! -t 0 ]; then
      die 5 'files that differ are in the way: nothing was changed' 'replace them with --force; a copy of each is kept beside it'
    fi
    ask 'Replace them? A copy of each is kept beside it.'
  fi
fi
[ "$take_over" = no ] ||
  ask "Is the host \`$host\` gone for good? Two hosts that save under one name harm each other's restore points."

# ---- from here on something is changed ----

moment=$(date -u +%Y-%m-%dT%H-%M-%SZ)

# TARGET: a copy beside it
keep() {
  copy=$1.$moment
  [ ! -e "$copy" ] || copy=$copy-$$
  cp -p "$1" "$copy" || die 1 "$1 cannot be copied; it stays as it is"
  say "Kept the former $1 as $copy"
}

# FILE: the directories on the way to it
make_way() {
  case $1 in /etc/systemd/*) (umask 022 && mkdir -p "$(dirname "$1")") ;; *) mkdir -p "$(dirname "$1")" ;; esac ||
    die 1 "the directory of $1 cannot be made"
}

# SOURCE TARGET MODE OWNER
put() {
  if [ -e "$2" ]; then
    ! same "$1" "$2" || return 0
    keep "$2"
  fi
  make_way "$2"
  unfinished=$(mktemp "$(dirname "$2")/.kopi-docka-new-XXXXXX") || die 1 "$2 cannot be written"
  if ! { cat "$1" >"$unfinished" && chmod "$3" "$unfinished" && chown "$4" "$unfinished" && mv -f "$unfinished" "$2"; }; then
    die 1 "$2 cannot be written"
  fi
  unfinished=''
  say "Put $2"
}

last=$(sed -n '$=' "$scratch/plan")
number=0
while IFS='	' read -r source target mode owner; do
  number=$((number + 1))
  if [ "$number" -eq "$last" ]; then
    # With the files where they belong.
    make_way "$kopia_config"
    make_way "$cache"
    [ ! -e "$kopia_config" ] || case $differ in *"  $kopia_config"*) keep "$kopia_config" ;; esac
    unfinished=$kopia_config.new
    connect "$unfinished" "$cache" "$@" || not_connected
    mv -f "$unfinished" "$kopia_config" || die 1 "$kopia_config cannot be written"
    unfinished=''
  fi
  put "$source" "$target" "$mode" "$owner"
done <"$scratch/plan"
sync
if [ "$take_over" = yes ]; then
  on "$kopia_config" maintenance set --owner=me >/dev/null 2>"$scratch/said" </dev/null ||
    warn "this host could not take over the maintenance of the repository: $(tail -n 1 "$scratch/said")"
fi

# ---- what is there, and what comes next ----

say
say "Connected to the repository $unique_id as kopi-docka@$name."
say "The newest restore points of \`$host\`:"
sed -n 's/.*"source":{"host":"\([^"]*\)".*"tag:backup_id":"\([^"]*\)".*"tag:type":"recipe".*"tag:unit":"\([^"]*\)".*/\1	\3	\2/p' "$scratch/snapshots" | sort >"$scratch/points"
before='' newest=''
while IFS='	' read -r saved_by unit id; do
  [ "$saved_by" = "$host" ] || continue
  [ "$unit" = "$before" ] || [ -z "$before" ] || say "  $before  $newest"
  before=$unit newest=$id
done <"$scratch/points"
if [ -n "$before" ]; then say "  $before  $newest"; else say '  none'; fi

named=''
[ "$config_file" = /etc/kopi-docka.json ] || named=" --config '$config_file'"
say
command -v kopi-docka >/dev/null 2>&1 || say "Install kopi-docka $version or newer, and Docker."
say 'See what would be restored, then do it:'
say
say "    \$ kopi-docka$named restore --all --host '$host' --up --dry-run"
say "    \$ kopi-docka$named restore --all --host '$host' --up"
say
[ "$is_timed" = no ] || say "The timer was enabled on the lost host. When all is back: systemctl enable --now kopi-docka.timer"
[ -z "$at" ] || warn 'what else names the old address is not changed: look at the configuration'
say "When this host saves by itself, make a bundle of its own: kopi-docka disaster-recovery"
say "Remove $here when you are done, and the archive that it came from: they hold every password."
