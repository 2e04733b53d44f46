
# ---- from here on every script is the same ----

set -eu
umask 077
export LC_ALL=C KOPIA_CHECK_FOR_UPDATES=false

is_sure=no
case ${1:-} in
-y | --yes) is_sure=yes ;;
-h | --help)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
'') ;;
*)
    echo "usage: sh $0 [-y]" >&2
    exit 2
    ;;
esac

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "error: $*"
    exit 1
}

work=
staging=
kept=
safety=
is_swapped=no
is_stopped=no
is_stopping=no
is_created=no
is_place_made=no
counter=
here=$(dirname -- "$0")
stamp=$(date -u +%Y-%m-%dT%H-%M-%SZ)

# Whatever ends the script: the data is wholly old or wholly new, and what ran runs again.
finish() {
    status=$?
    trap '' HUP INT TERM
    set +e
    # Whoever has not written down its id yet ends by itself when it sees this.
    [ -z "$work" ] || : >"$work/ended"
    # Its pipe has no other end when tee was ended before it opened it.
    [ -z "$counter" ] || kill -KILL "$counter" 2>/dev/null
    for child in kopia tee tar; do
        if [ -s "$work/$child.pid" ] && ! [ -e "$work/$child.status" ]; then
            kill -KILL "$(cat "$work/$child.pid")" 2>/dev/null
        fi
    done
    wait
    if [ "$is_swapped" = half ]; then
        if [ -e "$target" ]; then
            [ -d "$staging/data" ] || [ -f "$staging/data" ] || is_swapped=yes
        else
            mv -- "$kept" "$target" || say "error: what was in $target is in $kept: move it back"
        fi
    fi
    if [ "$is_stopped" = yes ]; then
        start || status=1
    fi
    # Of a disk that is mounted below nothing is removed.
    [ -z "$staging" ] || rm -rf --one-file-system -- "$staging"
    if [ "$is_swapped" != yes ]; then
        [ "$is_created" = no ] || docker volume rm "$VOLUME" >/dev/null
        [ "$is_place_made" = no ] || rmdir -- "$PLACE"
    fi
    if [ "$is_swapped" = yes ]; then
        if [ -n "$kept" ]; then
            [ -z "$safety" ] || rm -f -- "$safety"
            say "What was there before is in $kept"
        fi
        [ "$status" = 0 ] || say "The data is restored, but not everything went well; see above."
    elif [ "$status" != 0 ]; then
        say "Nothing was replaced: $WHAT is as it was. Fix the error above, then run this script again."
    fi
    [ -z "$work" ] || rm -rf -- "$work"
    exit "$status"
}

# What was stopped last is started first.
start() {
    is_well=yes
    while read -r id name; do
        # A stop that Docker has accepted goes on when we are interrupted: started before it bites, the container would go down.
        [ "$is_stopping" = no ] || docker stop "$id" >/dev/null </dev/null
        if docker start "$id" >/dev/null </dev/null; then
            say "started $name"
        else
            say "error: $name does not start: see \`docker logs $name\`, then \`docker start $name\`"
            is_well=no
        fi
    done <"$work/restart"
    # Only now: a signal in the middle of it has the rest started by whoever tidies up.
    is_stopped=no
    [ "$is_well" = yes ]
}

kopia_() {
    kopia ${KOPIA_CONFIG:+"--config-file=$KOPIA_CONFIG"} --no-auto-maintenance --no-progress "$@"
}

# The path that $1 means, links followed; a name may end with a newline, which $() would take away.
real() {
    real=$(readlink -f -- "$1" && echo x) || fail "cannot resolve $1"
    real=${real%?x}
}

# Is the path $1 the same as $2, or inside it?
is_within() {
    case $1 in
    "$2" | "$2"/*) return 0 ;;
    esac
    return 1
}

# Ids and names of the running containers that have the target mounted, the newest first.
find_users() {
    docker ps --no-trunc --format '{{.ID}} {{.Names}}' >"$work/running"
    : >"$work/with_volume"
    if [ "$KIND" = volume ]; then
        docker ps --no-trunc --quiet --filter "volume=$VOLUME" >"$work/with_volume"
    fi
    : >"$work/users"
    while read -r id name; do
        if ! docker inspect --format '{{range .Mounts}}{{println .Source}}{{end}}' "$id" >"$work/mounts" 2>"$work/said"; then
            # One that went away meanwhile uses nothing.
            running=$(docker ps --no-trunc --quiet --filter "id=$id" </dev/null)
            [ -n "$running" ] || continue
            cat "$work/said" >&2
            fail "cannot inspect container $name"
        fi
        is_user=no
        if grep -qxF -- "$id" "$work/with_volume"; then
            is_user=yes
        fi
        while IFS= read -r source; do
            if [ -z "$source" ]; then
                continue
            fi
            if is_within "$source" "$target" || is_within "$target" "$source"; then
                is_user=yes
            fi
        done <"$work/mounts"
        if named "$name" && [ "$KIND" = bind ]; then
            is_user=yes
        fi
        if [ "$is_user" = yes ]; then
            echo "$id $name" >>"$work/users"
        fi
    done <"$work/running"
}

# Runs a program and leaves its process id, its words and its exit status in files: a pipe tells of its last one only.
run() {
    name=$1
    shift
    code=0
    # shellcheck disable=SC2016
    sh -c 'echo $$ >"$1"; [ ! -e "$2" ] || exit 1; shift 2; exec "$@"' \
        sh "$work/$name.pid" "$work/ended" "$@" 2>"$work/$name.err" || code=$?
    echo "$code" >"$work/$name.status"
}

# Extracts one part of the data over what is in $fresh. $1: the object, $2: its length, $3: another option of tar. Directories that
# others are put into come without attributes first: what is made in one with a default ACL gets one.
part() {
    rm -f -- "$work/count" "$work/kopia.status" "$work/tee.status" "$work/tar.status"
    mkfifo -- "$work/count"
    wc -c <"$work/count" >"$work/bytes" &
    counter=$!
    {
        run kopia kopia ${KOPIA_CONFIG:+"--config-file=$KOPIA_CONFIG"} --no-auto-maintenance --no-progress show "$1" |
            # A tar that is done or has failed must not keep it from counting.
            (trap '' PIPE && run tee tee -- "$work/count") |
            run tar tar --extract --file=- --preserve-permissions --same-owner --numeric-owner \
                --xattrs '--xattrs-include=*' --no-acls --warning=no-timestamp ${3:+"$3"} "--directory=$fresh"
    } &
    # In the background, so that a signal is heard at once.
    wait $!
    wait "$counter"
    counter=
    bytes=$(tr -d ' ' <"$work/bytes")
    [ "$(cat "$work/kopia.status")" = 0 ] || fail "kopia failed: $(cat "$work/kopia.err")"
    [ "$bytes" = "$2" ] || fail "the repository gave $bytes bytes instead of $2: the snapshot is damaged, take another restore point"
    if [ "$ACCEPT_LOST" = yes ] && only_losses; then
        cat "$work/tar.err" >>"$work/lost"
        return 0
    fi
    [ "$(cat "$work/tar.status")" = 0 ] || fail "tar failed: $(cat "$work/tar.err")"
    [ ! -s "$work/tar.err" ] || fail "not everything could be restored as it was: $(cat "$work/tar.err")"
}

# Is all that tar said about what the file system cannot hold? Owners and modes are no such matter.
only_losses() {
    case $(cat "$work/tar.status") in
    0) return 0 ;;
    2) ;;
    *) return 1 ;;
    esac
    grep -qE ': Cannot (mknod|utime|create symlink to|hard link to)' "$work/tar.err" || return 1
    ! grep -vE -e ' extended attribute for file |Cannot set SELinux context' \
        -e ': Cannot (mknod|utime|create symlink to|hard link to).*: (Operation not (supported|permitted)|Function not implemented|Invalid argument|Permission denied)$' \
        -e 'Exiting with failure status due to previous errors$' "$work/tar.err" >/dev/null
}

# Moves what is in places of other sources from the old data into the new.
keep_others() {
    others >"$work/others"
    while IFS= read -r other; do
        [ -e "$kept/$other" ] || continue
        # The data of this source has an empty directory there, or nothing.
        if [ -e "$target/$other" ] || [ -L "$target/$other" ]; then
            rmdir -- "$target/$other" 2>/dev/null || {
                say "warning: $target/$other is of this restore point; what was there is in $kept/$other"
                is_archived=no
                continue
            }
        fi
        mkdir -p -- "$(dirname -- "$target/$other")" && mv -- "$kept/$other" "$target/$other" || {
            say "error: what belongs to $target/$other is in $kept/$other: move it back"
            is_archived=no
        }
    done <"$work/others"
}

# Does $1 (drop or strip) beneath the directory $2 with each path after $3, a file of its own for a list: through no link, and never above.
# shellcheck disable=SC2016
beneath='
do=$1
root=$2
found=$3
shift 3
refuse() {
    printf "the point wants something to be deleted or stripped: %s %s\n" "$path" "$1" >&2
    exit 255
}
for path do
    case $path in
    .) [ "$do" = strip ] || refuse "is all there is" ;;
    ./*)
        case /${path#./}/ in
        *//* | */./* | */../*) refuse "is not a path inside the source" ;;
        esac
        ;;
    *) refuse "is not a path inside the source" ;;
    esac
    at=$root
    rest=${path#./}
    while :; do
        case $rest in
        */*)
            at=$at/${rest%%/*}
            rest=${rest#*/}
            [ ! -L "$at" ] || refuse "is reached through a link"
            [ -e "$at" ] || continue 2
            [ -d "$at" ] || refuse "is below something that is not a directory"
            ;;
        *) break ;;
        esac
    done
    at=$at/$rest
    if [ "$do" = drop ]; then
        rm -rf -- "$at" || exit 255
        continue
    fi
    [ ! -L "$at" ] || refuse "is a link"
    [ -e "$at" ] || continue
    [ -d "$at" ] || refuse "is not a directory"
    getfattr --no-dereference --match=- --absolute-names -- "$at" >"$found" || exit 255
    while IFS= read -r name; do
        case $name in
        "" | "# file: "* | security.selinux) ;;
        *) setfattr --no-dereference "--remove=$name" -- "$at" || exit 255 ;;
        esac
    done <"$found"
done
'

# Takes away what the next part does not have any more. $1: the list of it, $2: the SHA-256 of that.
drop() {
    list "$1" "$2"
    xargs -0 -r sh -c "$beneath" sh drop "$fresh" "$staging/found" <"$staging/list" || fail "the data was not cleared for its next part"
}

# Takes all attributes from directories that the next part has with those that they have now. $1: the list, $2: the SHA-256 of that.
strip() {
    list "$1" "$2"
    xargs -0 -r sh -c "$beneath" sh strip "$fresh" "$staging/found" <"$staging/list" || fail "the data was not cleared for its next part"
}

list() {
    kopia_ show "$1" </dev/null >"$staging/list" 2>"$work/kopia.err" || fail "kopia failed: $(cat "$work/kopia.err")"
    sum=$(sha256sum <"$staging/list")
    [ "${sum%% *}" = "$2" ] || fail "$1 is damaged: take another restore point"
}

# Would all of a later part be written inside? Its members must lie in directories that come before them, which tar puts in the place of
# links. $1: later, folders (the directories of those that follow) or shard (one of those). $2: the object.
inspect() {
    rm -f -- "$work/kopia.status" "$work/tee.status" "$work/tar.status"
    [ "$1" = shard ] || printf '.\n' >"$staging/known"
    {
        run kopia kopia ${KOPIA_CONFIG:+"--config-file=$KOPIA_CONFIG"} --no-auto-maintenance --no-progress show "$2" |
            # A tar that is done must not fail it.
            (trap '' PIPE && run tee tee -- /dev/null) |
            run tar tar --list --file=- --verbose --numeric-owner --quoting-style=escape '--quote-chars= ' \
                --warning=no-timestamp >"$staging/members"
    } &
    wait $!
    [ "$(cat "$work/kopia.status")" = 0 ] || fail "kopia failed: $(cat "$work/kopia.err")"
    [ "$(cat "$work/tar.status")" = 0 ] && [ ! -s "$work/tar.err" ] || fail "tar failed: $(cat "$work/tar.err")"
    awk -v rule="$1" '
    function refuse(why) { print $6 ": " why; is_bad = 1; exit 1 }
    FILENAME == ARGV[1] { folder[$0] = 1; next }
    {
        # A blank that is part of a name has a backslash before it.
        gsub(/\\\\/, "\\134")
        gsub(/\\ /, "\\040")
        kind = substr($1, 1, 1)
        name = $6
        if (kind !~ /^[-dlhcbp]$/) refuse("of an unknown kind")
        if (kind == "h" ? NF != 9 : kind == "l" ? NF < 7 : NF != 6) refuse("a line that makes no sense")
        if (kind == "d") sub(/\/$/, "", name)
        count = split(name, part, "/")
        if (part[1] != ".") refuse("not a path inside the source")
        for (i = 2; i <= count; i++)
            if (part[i] == "" || part[i] == "." || part[i] == "..") refuse("not a path inside the source")
        above = count > 1 ? substr(name, 1, length(name) - length(part[count]) - 1) : "."
        if (!(above in folder)) refuse("its directory does not come before it")
        if (kind == "h" && !($9 in other)) refuse("a link to a file that does not come before it")
        if (kind != "d" && rule == "folders") refuse("not a directory")
        if (kind == "d" && rule == "shard" && !(name in folder)) refuse("a directory that its neighbours do not have")
        if (kind == "d" ? name in other : name in folder) refuse("it comes before as something else")
        if (kind == "d") folder[name] = 1
        else other[name] = 1
    }
    END {
        if (!is_bad && rule == "folders") for (name in folder) print name
    }' "$staging/known" "$staging/members" >"$staging/looked" ||
        fail "a later part could be written elsewhere: $(cat "$staging/looked")"
    [ "$1" != folders ] || mv -- "$staging/looked" "$staging/known"
}

# ---- checks: nothing is touched ----

[ "$(id -u)" = 0 ] || fail "this needs root: sudo sh $0"
for program in kopia docker tar tee wc awk find stat readlink mktemp mkfifo xargs sha256sum; do
    command -v "$program" >/dev/null || fail "the program $program was not found"
done
if [ "$STRIPS" = yes ]; then
    for program in getfattr setfattr; do
        command -v "$program" >/dev/null || fail "the program $program was not found (package attr)"
    done
fi
case $(tar --version) in
*'GNU tar'*) ;;
*) fail "this tar is not GNU tar: it would lose attributes" ;;
esac
docker version >/dev/null || fail "Docker does not answer"

trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)
: >"$work/restart"
: >"$work/lost"

if [ -n "${KOPIA_CONFIG_PATH:-}" ]; then
    KOPIA_CONFIG=$KOPIA_CONFIG_PATH
elif ! [ -e "$KOPIA_CONFIG" ]; then
    KOPIA_CONFIG=
fi
if ! kopia_ repository status </dev/null >"$work/said" 2>&1; then
    if [ -n "${KOPIA_PASSWORD:-}" ] || ! [ -t 0 ]; then
        cat "$work/said" >&2
        fail "kopia cannot open the repository: README.md says how to connect; KOPIA_PASSWORD is the password"
    fi
    printf 'Password of the repository: ' >&2
    settings=$(stty -g)
    stty -echo
    IFS= read -r KOPIA_PASSWORD || :
    stty "$settings"
    say ''
    export KOPIA_PASSWORD
    kopia_ repository status </dev/null >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        fail "kopia cannot open the repository: README.md says how to connect"
    }
fi
for object in $(objects); do
    kopia_ show "$object" </dev/null >"$work/said" 2>"$work/kopia.err" ||
        fail "cannot read the snapshot: $(cat "$work/kopia.err")"
done

is_missing=no
if [ "$KIND" = volume ]; then
    target=$PLACE
    if docker volume inspect "$VOLUME" >/dev/null 2>&1; then
        [ "$(docker volume inspect --format '{{.Driver}}' "$VOLUME")" = local ] ||
            fail "volume $VOLUME is there, but its driver is not \`local\`"
        if [ -z "$target" ]; then
            docker volume inspect --format '{{.Mountpoint}}' "$VOLUME" >"$work/said"
            target=$(cat "$work/said")
        fi
        device=$(docker volume inspect --format '{{with .Options}}{{with index . "device"}}{{.}}{{end}}{{end}}' "$VOLUME")
        [ "$device" = "$PLACE" ] || fail "volume $VOLUME is there, but its data is at '$device' instead of '$PLACE'"
    else
        is_missing=yes
    fi
else
    target=$PLACE
fi

# What replaces the data around mounts.
say_command() {
    say "Run this, which leaves every mount where it is: kopi-docka restore --unit '$UNIT' --backup-id '$POINT' --volume '${VOLUME:-$PLACE}'"
}

look() {
    if [ -e "$target" ] || [ -L "$target" ]; then
        real "$target"
        target=$real
        if [ "$IS_FILE" = yes ]; then
            [ -f "$target" ] || fail "$target is not a file"
        else
            [ -d "$target" ] || fail "$target is not a directory"
        fi
    fi
    parent=$(dirname -- "$target" && echo x)
    parent=${parent%?x}
    nearest=$parent
    while ! [ -e "$nearest" ]; do
        nearest=$(dirname -- "$nearest" && echo x)
        nearest=${nearest%?x}
    done
    # What is mounted there cannot be swapped, and what is mounted below would be lost with the old data.
    while read -r _ _ _ _ point _; do
        # shellcheck disable=SC2059
        point=$(printf "$(printf '%s' "$point" | sed 's/%/%%/g')" && echo x)
        if [ "${point%x}" = "$target" ]; then
            say "error: another file system is mounted at $target, and a script cannot replace what is in it."
            say_command
            fail "Without kopi-docka: 'umount $target', run this script again (it fills the directory under the mount), mount the file system elsewhere, 'cp -a $target/. ELSEWHERE/', and mount it at $target again."
        fi
        if is_within "${point%x}" "$target"; then
            say "error: another file system is mounted at ${point%x}: it would be lost with the old data."
            say_command
            fail "Without kopi-docka: 'umount ${point%x}', run this script again, and mount it at ${point%x} again."
        fi
    done </proc/self/mountinfo
    free=$(df -Pk -- "$nearest" | awk 'NR == 2 { print $4 }')
    [ "$((BYTES / 1024 + 1))" -le "$free" ] ||
        fail "$nearest has $free KiB free, $((BYTES / 1024 + 1)) KiB are needed: the old data stays until the new is there"
    [ -w "$nearest" ] || fail "nothing can be written in $nearest"
}

: >"$work/users"
if [ -n "$target" ]; then
    look
    find_users
fi
while read -r id name; do
    if [ "$(docker inspect --format '{{.HostConfig.AutoRemove}}' "$id")" = true ]; then
        fail "container $name was started with --rm: stopping it would delete it. Stop it yourself first"
    fi
done <"$work/users"

say "$WHAT of unit $UNIT, restore point $POINT ($BYTES bytes)"
if [ "$is_missing" = yes ]; then
    say "  The volume is missing: it is made."
else
    say "  Replaces what is in $target"
    say "  Safety copy of it:  $here/safety/$NAME-$stamp.tar"
fi
while read -r id name; do
    say "  Stops for a moment: $name"
done <"$work/users"
if [ "$is_sure" = no ]; then
    [ -t 0 ] || fail "this needs a confirmation, and cannot prompt: not running on a terminal; use -y"
    printf 'Go ahead? [y/N] ' >&2
    answer=
    read -r answer || :
    case $answer in
    y | Y | yes) ;;
    *) fail "declined" ;;
    esac
fi

# ---- beside the data, while everything runs ----

if [ "$is_missing" = yes ]; then
    if [ -n "$PLACE" ] && ! [ -d "$PLACE" ]; then
        (umask 022 && mkdir -p -- "$PLACE")
        is_place_made=yes
    fi
    create_volume >/dev/null
    is_created=yes
    if [ -z "$target" ]; then
        docker volume inspect --format '{{.Mountpoint}}' "$VOLUME" >"$work/said"
        target=$(cat "$work/said")
    fi
    look
fi
[ -d "$parent" ] || (umask 022 && mkdir -p -- "$parent")
staging=$(mktemp -d -- "$parent/.kopi-docka-new-XXXXXX" && echo x)
staging=${staging%?x}
# Extracted files would inherit them.
if command -v setfacl >/dev/null; then
    setfacl --remove-all --remove-default -- "$staging" 2>/dev/null || :
    chmod 700 -- "$staging"
fi
fresh=$staging/data
[ "$IS_FILE" = no ] || fresh=$staging/unpacked
mkdir -- "$fresh"
say "reading from the repository"
extract
rm -f -- "$staging/known" "$staging/members" "$staging/looked" "$staging/list" "$staging/found"
if [ "$IS_FILE" = yes ]; then
    [ "$(find "$fresh" -mindepth 1 -printf x)" = x ] || fail "the archive of a single file holds something else"
    find "$fresh" -mindepth 1 -type f -exec mv -- '{}' "$staging/data" ';'
    [ -f "$staging/data" ] || fail "the archive of a single file holds something else"
fi
sync -f -- "$staging" 2>/dev/null || sync

# ---- the window: stop, swap, start ----

find_users
is_stopped=yes
is_stopping=yes
while read -r id name; do
    {
        echo "$id $name"
        cat "$work/restart"
    } >"$work/restart.new"
    mv -- "$work/restart.new" "$work/restart"
    docker stop "$id" >/dev/null </dev/null
    say "stopped $name"
    [ "$(docker inspect --format '{{.State.Running}}' "$id")" = false ] || fail "$name does not stop"
done <"$work/users"
is_stopping=no
kept=$target.kopi-docka-before-$stamp
if [ -e "$kept" ] || [ -L "$kept" ]; then
    fail "$kept already exists"
fi
is_swapped=half
if [ -e "$target" ]; then
    mv -- "$target" "$kept"
else
    kept=
fi
mv -- "$staging/data" "$target"
is_swapped=yes
is_archived=yes
[ -z "$kept" ] || keep_others
start || fail "not every container is up again"

# ---- after: what was there becomes an archive ----

say "restored: $target"
if [ -n "$kept" ] && rmdir -- "$kept" 2>/dev/null; then
    kept=
fi
if [ -n "$kept" ] && [ "$is_archived" = yes ]; then
    mkdir -p -- "$here/safety"
    safety=$here/safety/$NAME-$stamp.tar
    folder=$kept
    member=.
    if [ "$IS_FILE" = yes ]; then
        folder=$(dirname -- "$kept" && echo x)
        folder=${folder%?x}
        member=./${kept##*/}
    fi
    if tar --create "--file=$safety" --force-local --format=posix --numeric-owner --xattrs '--xattrs-include=*' --no-acls \
        --sparse --warning=no-file-ignored --no-unquote "--directory=$folder" -- "$member"; then
        say "what was there before: $safety"
        safety=
        rm -rf --one-file-system -- "$kept"
        kept=
    else
        say "warning: no safety archive could be made"
    fi
fi
if [ -s "$work/lost" ]; then
    say "not restored, since the file system cannot hold it:"
    cat "$work/lost" >&2
    exit 3
fi
[ "$is_archived" = yes ]
