#!/usr/bin/env bash
# demo.sh    kopi-docka at work on a real stack: back it up, destroy its data, bring it back, and prove that it is the same.
#            Everything happens in a temporary folder; this machine's Docker data, Kopia profile and configuration stay as they are.
#            Exits non-zero if a proof fails.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

stack=kd-demo-$$
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' green='' red='' plain=''; fi

heading() { printf '\n%s== %s%s\n\n' "$bold" "$*" "$plain"; }
tell() { printf '%s\n' "$@"; }
shown() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; }

failed=0
# prove WHAT COMMAND…
prove() {
  local what=$1
  shift
  if "$@"; then
    printf '  %sproved%s  %s\n' "$green" "$plain" "$what"
  else
    printf '  %sFAILED%s  %s\n' "$red" "$plain" "$what"
    failed=$((failed + 1))
  fi
}

prepare() {
  "$bed/setup.sh" demo
  load_env
  # What it shows is shown with a Kopia as everybody has it.
  PATH=${PATH//"$quick:"/}
  need_root "the demo"
  unset DOCKER_HOST DOCKER_CONTEXT
  heading "Building kopi-docka (the first time takes some minutes)"
  (cd "$project" && cargo build --release --locked)
  binary=$(cd "$project" && cargo metadata --format-version 1 --no-deps --locked | jq -r .target_directory)/release/kopi-docka

  work=$(mktemp -d "${TMPDIR:-/var/tmp}/kd-demo.XXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  choose_engine "$work/engine"
}

clean_up() {
  local status=$?
  trap '' INT TERM HUP
  if [ "$status" != 0 ] && [ -s "$work/kopi-docka.log" ]; then
    tell "" "The end of the program's log:"
    tail -n 20 "$work/kopi-docka.log"
  fi
  heading "Cleaning up"
  [ -z "${socket:-}" ] || [ ! -d "$work/stack" ] || compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  leave_engine "$work"
  rm -rf --one-file-system "$work"
  tell "The stack, its volumes, the repository and $work are gone."
}

compose() { docker -H "unix://$socket" compose --project-name "$stack" --project-directory "$work/stack" --file "$work/stack/compose.yml" "$@"; }
volume_path() { docker -H "unix://$socket" volume inspect --format '{{.Mountpoint}}' "${stack}_$1"; }

# The program with a home, a state and a configuration of its own, and without what this shell may say about a Kopia or its folders.
kopi_docka() {
  shown "kopi-docka $*"
  env -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_STATE_HOME -u XDG_DATA_HOME -u KOPIA_PASSWORD -u KOPIA_CONFIG_PATH \
    HOME="$work/home" KOPI_DOCKA_STATE_DIRECTORY="$work/state" KOPI_DOCKA_RUNTIME_DIRECTORY="$work/run" \
    "$binary" --config "$work/kopi-docka.json" "$@"
}

start_stack() {
  mkdir -p "$work"/{home,stack/settings}
  cp "$bed/demo/compose.yml" "$work/stack/"
  # The volumes get their data first, as if the stack had been running for a year.
  compose create --pull never >/dev/null 2>&1
  db=$(volume_path db) uploads=$(volume_path uploads) settings=$work/stack/settings
  fill
  compose up --detach --wait >"$work/up.log" 2>&1 || {
    cat "$work/up.log" >&2
    die "the demo stack did not start"
  }
  compose ps --format 'table {{.Service}}\t{{.Status}}'
  tell "" "Its data: $(files_of "$db") files in volume db, $(files_of "$uploads") in volume uploads, $(files_of "$settings") in the folder ./settings."
}

files_of() { find "$1" -type f -printf x | wc -c; }

# Some hundred ordinary files, and one of everything that a careless backup loses.
fill() {
  local i
  seq 1 200000 | sed 's/$/,demo,1.00/' >"$db/ledger.csv"
  truncate --size 64M "$db/tablespace"
  printf 'first page' | dd of="$db/tablespace" conv=notrunc status=none
  printf 'last page' | dd of="$db/tablespace" bs=1M seek=48 conv=notrunc status=none
  chown -R 999:999 "$db"
  chmod 0700 "$db"
  chmod 0640 "$db/tablespace"

  for i in {1..300}; do
    mkdir -p "$uploads/$((i % 10))/$((i % 3))"
    head -c $((i * 37)) /dev/urandom >"$uploads/$((i % 10))/$((i % 3))/photo-$i.jpg"
  done
  tell "a name with blanks" >"$uploads/ two  blanks "
  tell "a name with a line break" >"$uploads/two"$'\n'"lines"
  tell "a name that looks like an option" >"$uploads/--rm=-rf"
  tell "a name that is not UTF-8" >"$uploads/"$'caf\xe9'
  tell "quotes" >"$uploads/it's \"quoted\" \$HOME \\n *"
  ln "$uploads/two"$'\n'"lines" "$uploads/hard link"
  ln -s /nowhere/at/all "$uploads/dangling link"
  ln -s "1/1" "$uploads/link to a folder"
  mkfifo "$uploads/pipe"
  mkdir -m 1777 "$uploads/empty"
  : >"$uploads/empty file"
  chown 33:33 "$uploads/1" "$uploads/empty file"
  chown -h 1000:1000 "$uploads/dangling link"
  chmod 4711 "$uploads/1/1/photo-1.jpg"
  touch --date '1999-12-31 23:59:59.123456789 UTC' "$uploads/empty file" "$uploads/1"
  touch -h --date '2001-02-03 04:05:06.789012345 UTC' "$uploads/dangling link"
  setfattr -n user.origin -v "scanner 7" "$uploads/2/2/photo-2.jpg"
  setfacl -m u:1234:rw "$uploads/3/0/photo-3.jpg"
  setcap cap_net_bind_service+ep "$uploads/4/1/photo-4.jpg"

  tell "theme = dark" >"$settings/app.ini"
  tell "secret" >"$settings/key"
  chmod 0400 "$settings/key"
  touch --date '2024-02-29 12:00:00.000000001 UTC' "$settings/key" "$settings"
}

# manifest DIR: type, mode, owner, links, time to the nanosecond, size and target of everything in it (the size of a folder is the file
# system's own affair), then every xattr, ACL and capability, then the SHA-256 of every file.
manifest() {
  (
    cd "$1"
    export LC_ALL=C
    find . \( -type d -printf '%y %m %U:%G %n %T+ %p\0' \) -o -printf '%y %m %U:%G %n %T+ %s %p -> %l\0' | sort -z | tr '\0' '\n'
    find . -print0 | sort -z | xargs -0 getfattr --dump --match=- --no-dereference --encoding=hex --
    find . -type f -print0 | sort -z | xargs -0 sha256sum --
  )
}

take_manifests() {
  mkdir -p "$work/$1"
  manifest "$db" >"$work/$1/db"
  manifest "$uploads" >"$work/$1/uploads"
  manifest "$settings" >"$work/$1/settings"
}

is_same() { diff -u --text "$work/before/$1" "$work/after/$1" >"$work/diff" || { head -n 20 "$work/diff"; return 1; }; }

write_configuration() {
  (
    umask 077
    jq -n --arg w "$work" --arg socket "$socket" --arg password "$(head -c 24 /dev/urandom | base64)" '{
      version: "3.0",
      kopia: {
        kopia_params: "filesystem --path \($w)/repository", password: $password, profile: "kopi-docka-demo",
        cache_directory: "\($w)/cache"
      },
      backup: {
        base_path: "\($w)/backup", recovery_bundle_path: "\($w)/recovery",
        spool: { size: "auto", directory: "\($w)/spool" }
      },
      docker: { socket: $socket },
      logging: { file: "\($w)/kopi-docka.log" }
    }' >"$work/kopi-docka.json"
  )
}

downtime() { jq -er ".units[0].downtime_seconds | numbers * 100 | round / 100" "$work"/backup/metadata/*.json; }

destroy() {
  local folder
  for folder in "$db" "$uploads" "$settings"; do
    find "$folder" -mindepth 1 -delete
  done
  tell "db, uploads and ./settings now hold $(files_of "$db"), $(files_of "$uploads") and $(files_of "$settings") files."
}

holes_are_back() { [ $(($(stat -c '%b * %B' "$db/tablespace"))) -lt $((8 * 1024 * 1024)) ]; }
db_is_healthy() { compose ps --format json db | jq -e '.Health == "healthy"' >/dev/null; }
all_run() { [ "$(compose ps --status running --quiet | wc -l)" = 2 ]; }
app_reads_it() {
  [ "$(compose exec -T app wget -qO- http://127.0.0.1/settings/app.ini)" = "theme = dark" ] &&
    compose exec -T app wget -qO- http://127.0.0.1/uploads/7/1/photo-7.jpg | cmp -s - "$uploads/7/1/photo-7.jpg"
}
within_a_minute() {
  local deadline=$((SECONDS + 60))
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

prepare

heading "A small stack, $stack: two services, two volumes and a folder of the host"
start_stack
take_manifests before

heading "An encrypted repository in a temporary folder"
write_configuration
kopi_docka init

heading "What kopi-docka sees"
kopi_docka list --units

heading "A cold backup: stop, read everything, start"
kopi_docka backup --unit "$stack"
down=$(downtime) || die "the run report says nothing about the downtime"
tell "" "The stack was down for ${bold}${down} s${plain}, by the run report. The restore points now:"
kopi_docka list --snapshots
prove "both services run again" within_a_minute all_run

heading "The disaster: all data is deleted, while the services run"
destroy

heading "The restore"
kopi_docka restore --unit "$stack" --backup-id latest --yes

heading "Is it the same?"
# The folders themselves may be new ones.
db=$(volume_path db) uploads=$(volume_path uploads)
within_a_minute all_run || true
take_manifests after
same="content, names, owners, modes, times to the nanosecond, links, xattrs and ACLs"
prove "volume db: $same ($(wc -l <"$work/before/db") facts)" is_same db
prove "volume uploads: $same ($(wc -l <"$work/before/uploads") facts)" is_same uploads
prove "folder ./settings: $same ($(wc -l <"$work/before/settings") facts)" is_same settings
prove "a sparse file of 64 MiB is sparse again" holes_are_back
prove "both services run" within_a_minute all_run
prove "the database is healthy" within_a_minute db_is_healthy
prove "the app reads its restored files" within_a_minute app_reads_it

tell ""
[ "$failed" = 0 ] || die "$failed of the proofs failed"
tell "${bold}Everything is back as it was. The backup cost the stack ${down} s.${plain}"
