#!/bin/sh
# build.sh BINARY FOLDER    Makes a Debian package of BINARY in FOLDER and prints its path. Needs nothing but dpkg-deb and, for a binary
#                           that is not static, binutils.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
[ $# = 2 ] || {
  echo "usage: build.sh BINARY FOLDER" >&2
  exit 2
}
binary=$1 folder=$2
[ -x "$binary" ] || {
  echo "error: there is no program $binary" >&2
  exit 1
}

field() { sed -n "s/^$1 = \"\(.*\)\"$/\1/p" "$project/Cargo.toml" | head -n 1; }
# A release candidate sorts before its release.
version=$(field version | sed 's/-/~/')-1
architecture=$(dpkg --print-architecture)
maintainer='the kopi-docka authors <kopi-docka@localhost>'
# The same source gives the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$project" log -1 --format=%ct 2>/dev/null || stat --format=%Y "$project/Cargo.toml")}
export SOURCE_DATE_EPOCH

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
umask 022
root=$stage/root
DESTDIR=$root PREFIX=/usr "$project/templates/install.sh" "$binary"
gzip --best --no-name "$root"/usr/share/man/man1/*.1 "$root"/usr/share/man/man5/*.5

doc=$root/usr/share/doc/kopi-docka
install -d "$doc"
{
  echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
  echo 'Upstream-Name: kopi-docka'
  echo
  echo 'Files: *'
  sed -n 's/^Copyright (c)/Copyright:/p' "$project/LICENSE"
  echo 'License: Expat'
  sed -e '1,/^Copyright/d' -e '/./!s/^/./' -e 's/^/ /' "$project/LICENSE" | sed 1d
} >"$doc/copyright"
gzip --best --no-name --stdout "$project/CHANGELOG.md" >"$doc/changelog.gz"
printf 'kopi-docka (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$version" "$maintainer" \
  "$(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")" | gzip --best --no-name >"$doc/changelog.Debian.gz"
install -m 644 "$project/README.md" "$doc/README.md"

# The newest symbols of the C library that it asks for say how old that may be; a static program asks for none.
c_library() {
  objdump -T "$binary" 2>/dev/null | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\).*/\1/p' | sort -uV | tail -n 1
}
needs=$(c_library)
control=$root/DEBIAN
install -d "$control"
cat >"$control/control" <<X
Package: kopi-docka
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: admin
Priority: optional
Depends: ${needs:+libc6 (>= $needs), libgcc-s1, }tar
Recommends: docker.io (>= 20.10) | docker-ce (>= 5:20.10), kopia (>= 0.23)
Installed-Size: $(du --summarize --block-size=1024 --apparent-size "$root/usr" | cut -f 1)
Description: $(field description)
 Stops a stack, reads its volumes and bind mounts, starts it again at once, and stores what it read. What
 was stopped comes up again whatever happens. Restores single files, volumes, or the whole unit on a new
 host, and proves that restore points can be read back.
X
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$control/md5sums"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$control/$script"; done

install -d "$folder"
package=$folder/kopi-docka_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
