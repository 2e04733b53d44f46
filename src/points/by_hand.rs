//! What a person types to bring a source back with Kopia and tar alone.

/// For each part of a source in order, in a directory that was empty before the first: R is the root object of the recipe, S the
/// place of the source in its record and N that of the part, both from 0, K the root of the part.
///
/// Names of attributes that are no text may stay; the program and its scripts are exact.
pub const COMMANDS: [&str; 3] = [
    "kopia show R/parts/S/N.delete | xargs -0 -r rm -rf --",
    r#"kopia show R/parts/S/N.strip | xargs -0 -r -I{} sh -c 'getfattr -h -m- --absolute-names -- "$1" | sed "/^#/d;/^$/d" | while IFS= read -r name; do setfattr -h -x "$name" -- "$1"; done' _ {}"#,
    "kopia show K/data | tar --extract --file=- --preserve-permissions --same-owner --numeric-owner --xattrs '--xattrs-include=*' --no-acls --warning=no-timestamp",
];

/// What they are, before them.
pub const EXPLAINED: &str = "`recipe.json` has the `sources`; the data of each is in its `parts`, which are streams of tar. In an empty \
directory, run this for each part in order: R is the root object of the recipe, S the place of the source in `sources` and N that of \
the part in `parts`, both from 0, K the `root` of the part. Only a part with `deleted` needs the first line, only one with `stripped` the second. A part of kind \
`folders` gets the last line twice: with ` --no-xattrs` at its end, and after the last part of its `group` once more as it stands.";
