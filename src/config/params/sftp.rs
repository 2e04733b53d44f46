//! The short forms of an SFTP address, which Kopia itself does not know. It would take `--path user@host:/path`
//! for a path, connect, and hang at the first snapshot: it wants host, user and path as flags of their own.

use super::flag::Flag;

const FORMS: &str = "`sftp --path user@host:/path`, `sftp --path sftp://user@host:port/path`, or \
                     `sftp --path /path --host host --username user`";

/// What an address says.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

/// `flags` with an address in `--path` taken apart. Host and user must be there afterwards: Kopia has no default for them.
pub fn normalise(mut flags: Vec<Flag>) -> Result<Vec<Flag>, String> {
    let Some(at) = flags.iter().position(|flag| flag.name == "path") else {
        return Err(format!("names no path; write {FORMS}"));
    };
    let value = flags.get(at).and_then(|flag| flag.value.clone());
    let value = value.unwrap_or_default();
    if let Some(address) = parse(&value)? {
        let mut apart = vec![Flag::new("path", address.path)];
        let parts = [
            ("host", Some(address.host)),
            ("username", address.user),
            ("port", address.port),
        ];
        for (name, part) in parts {
            let Some(part) = part else { continue };
            match flags.iter().find(|flag| flag.name == name) {
                None => apart.push(Flag::new(name, part)),
                Some(flag) if flag.value.as_deref() == Some(part) => {}
                Some(_) => {
                    return Err(format!(
                        "says one thing in --path and another one in --{name}"
                    ));
                }
            }
        }
        flags.splice(at..=at, apart);
    }
    for name in ["path", "host", "username"] {
        let given = flags
            .iter()
            .any(|flag| flag.name == name && flag.value.as_ref().is_some_and(|v| !v.is_empty()));
        if !given {
            return Err(format!("names no {name}; write {FORMS}"));
        }
    }
    Ok(flags)
}

/// `None` for a plain path.
fn parse(text: &str) -> Result<Option<Address<'_>>, String> {
    let invalid = || format!("holds an address that cannot be read; write {FORMS}");
    let (authority, port, path) = if let Some(rest) = text.strip_prefix("sftp://") {
        let (authority, path) = rest.split_at(rest.find('/').ok_or_else(invalid)?);
        let (authority, port) = split_port(authority);
        (authority, port, path)
    } else {
        match split_host(text) {
            Some((authority, path)) => (authority, None, path),
            None => return Ok(None),
        }
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let port = port.filter(|port| !port.is_empty());
    let is_clean = |part: &str| {
        !part.is_empty() && !part.starts_with('-') && !part.contains(char::is_whitespace)
    };
    let has_number = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    // A bare IPv6 address has colons of its own: it has to be in brackets, and Kopia wants it that way too.
    let is_host = is_clean(host) && (host.starts_with('[') || !host.contains(':'));
    if !is_host || !user.is_none_or(is_clean) || !has_number || path.is_empty() {
        return Err(invalid());
    }
    Ok(Some(Address {
        user,
        host,
        port,
        path,
    }))
}

/// `[user@]host:path`, with the colon before the first slash, as scp tells an address from a path.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let end = text.find(']').unwrap_or(0);
    let colon = end + text.get(end..)?.find(':')?;
    let (authority, path) = text.split_at(colon);
    (!authority.contains('/')).then(|| (authority, path.strip_prefix(':').unwrap_or(path)))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    let end = authority.rfind(']').or_else(|| authority.rfind('@'));
    match authority.rfind(':') {
        Some(colon) if end.is_none_or(|end| colon > end) => {
            let (host, port) = authority.split_at(colon);
            (host, port.strip_prefix(':'))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<(Option<&str>, &str, Option<&str>, &str)> {
        let address = parse(text).unwrap()?;
        Some((address.user, address.host, address.port, address.path))
    }

    #[test]
    fn addresses_are_told_from_paths() {
        let (root, me) = (Some("root"), Some("me"));
        for (text, expected) in [
            ("me@nas:/srv/x", Some((me, "nas", None, "/srv/x"))),
            ("me@nas:backup", Some((me, "nas", None, "backup"))),
            ("nas:/srv", Some((None, "nas", None, "/srv"))),
            ("me@[fe80::1]:/srv", Some((me, "[fe80::1]", None, "/srv"))),
            ("sftp://root@h:/b/k", Some((root, "h", None, "/b/k"))),
            ("sftp://root@h/b", Some((root, "h", None, "/b"))),
            (
                "sftp://root@h:2222/b",
                Some((root, "h", Some("2222"), "/b")),
            ),
            (
                "sftp://root@[::1]:22/b",
                Some((root, "[::1]", Some("22"), "/b")),
            ),
            ("sftp://root@[::1]/b", Some((root, "[::1]", None, "/b"))),
            ("sftp://h/b", Some((None, "h", None, "/b"))),
            ("/srv/a:b", None),
            ("relative/a:b", None),
            ("relative", None),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }

    #[test]
    fn a_broken_address_is_refused() {
        for text in [
            "sftp://root@host",
            "sftp:///path",
            "sftp://root@host:99999/path",
            "sftp://root@host:ssh/path",
            "@host:/path",
            "root@:/path",
            "root@host:",
            "root@-oProxyCommand=x:/path",
            "sftp://root@::1/path",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
