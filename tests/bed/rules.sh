#!/bin/sh
# Takes the rules that protect data out, one after the other, and shows that a test fails without each. In a copy of the tree: an hour
# of compiling on a small machine. Not part of `make test`. Needs root: what XFS does not tell is tried on XFS.
set -eu
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
xfs=$copy/xfs
# shellcheck disable=SC2317 # At the end.
finish() {
    umount -- "$xfs" 2>/dev/null || :
    rm -rf -- "$copy"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
git archive HEAD | tar --extract --directory="$copy"
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/rules}
export CARGO_TARGET_DIR
mkdir -- "$xfs"
truncate --size=1G "$copy/image"
mkfs.xfs -q "$copy/image"
mount -o loop "$copy/image" "$xfs"
bad=0

fails() {
    # Only on the second where the first tells nothing.
    for place in /var/tmp "$xfs"; do
        (cd "$copy" && KOPI_DOCKA_TREES="$place" KOPI_DOCKA_ADVERSARY=15 \
            cargo test --quiet --locked --bin kopi-docka -- changed::) >"$copy/log" 2>&1 || return 0
    done
    return 1
}

# $1: what it is. $2: its file. $3: a line of it, exactly but for the blanks in front. $4: what stands there instead.
without() {
    cp -- "$copy/$2" "$copy/original"
    count=$(sed 's/^ *//' "$copy/$2" | grep --count --line-regexp --fixed-strings -e "$3") || :
    if [ "$count" != 1 ]; then
        printf '%s: %s has %s lines like this: %s\n' "$1" "$2" "$count" "$3"
        bad=1
        return 0
    fi
    OLD=$3 NEW=$4 awk '{ line = $0; sub(/^ */, "", line); print (line == ENVIRON["OLD"] ? ENVIRON["NEW"] : $0) }' \
        "$copy/original" >"$copy/$2"
    if ! (cd "$copy" && cargo test --quiet --locked --bin kopi-docka --no-run) >"$copy/log" 2>&1; then
        printf '%s: does not compile\n' "$1"
        tail -n 20 "$copy/log"
        bad=1
    elif ! fails; then
        printf '%s: NO TEST FAILS WITHOUT IT\n' "$1"
        bad=1
    else
        printf '%s: shown by %s\n' "$1" \
            "$(sed -n 's/^    \(.*::.*\)$/\1/p' "$copy/log" | sort -u | paste -sd ' ')"
    fi
    cp -- "$copy/original" "$copy/$2"
}

# Not here, since others hold where they do: that a directory is the one it was, that tar stored what the walk saw of a file, and that a
# file with several names is proven as a whole.
without 'R2: the device and inode are part of the record' src/changed/stat.rs \
    'self.put_proof(&mut bytes);' 'Self { device: 0, inode: 0, ..*self }.put_proof(&mut bytes);'
without 'R2: the time of the last change is part of the record' src/changed/stat.rs \
    'self.put_proof(&mut bytes);' 'Self { changed: 0, ..*self }.put_proof(&mut bytes);'
without 'R4: a margin, or nobody has it open' src/changed/proof.rs \
    'changed < LATEST && (changed < limit || seen.is_free)' 'let _ = limit; changed < LATEST'
without 'R4: who has it open is asked' src/changed/pass.rs \
    'if seen.changed_until() >= before || lease::writers(root.as_fd(), below) != Writers::None {' \
    'if seen.changed_until() >= before || lease::writers(root.as_fd(), below) == Writers::Unknown {'
without 'R5: directories that were exchanged and put back' src/changed/proof.rs \
    'is_bound: is_above_bound && is_same && !is_exchanged,' 'is_bound: is_above_bound && is_same && (is_exchanged || true),'
without 'R5: the strict form' src/changed/proof.rs \
    'let is_exchanged = is_restless && (is_above_restless || times.is_strict);' \
    'let is_exchanged = is_restless && is_above_restless;'
without 'R6: a member lies in a directory' src/changed/stored.rs \
    'return Err(torn(name, "is in no directory"));' ''
without 'R7: attributes of directories go' src/changed/merge.rs \
    'self.stripped.push(path);' ''
without 'R8: what was deleted stays deleted when parts become one' src/changed/merge.rs \
    '.flat_map(|lists| lists.deleted.iter())' '.flat_map(|lists| lists.deleted.iter()).take(0)'
without 'all names of a file are read' src/changed/look.rs \
    '|| (seen.stat.is_linked() && linked.contains(&seen.stat.inode))' ''
without 'the directories of what is read' src/changed/look.rs \
    'above.enter(path, found.stat);' 'let _ = &mut above;'
exit "$bad"
