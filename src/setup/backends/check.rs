//! What may be typed as an answer, and what to say about it when it may not.

use std::net::ToSocketAddrs as _;
use std::path::Path;

use crate::base::shutdown::Shutdown;
use crate::error::Result;
use crate::ui::prompt;

/// One line of something, without what a terminal or a protocol would take for a command.
pub fn word(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a value is required".to_owned());
    }
    optional(text)
}

/// [`word`], or nothing.
pub fn optional(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("control characters are not allowed".to_owned());
    }
    Ok(())
}

/// [`word`] that begins at the root.
pub fn absolute(text: &str) -> Result<(), String> {
    word(text)?;
    if Path::new(text).is_absolute() {
        return Ok(());
    }
    Err("an absolute path is needed, such as /srv/backup".to_owned())
}

/// A bucket or a container.
pub fn bucket(text: &str) -> Result<(), String> {
    word(text)?;
    if text.contains('/') || text.contains(char::is_whitespace) {
        return Err("only the name is needed; the directory in it is asked for next".to_owned());
    }
    Ok(())
}

/// A word of letters, digits, dots and dashes, or nothing.
pub fn name(text: &str) -> Result<(), String> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.starts_with('-') || !text.bytes().all(is_allowed) {
        return Err("letters, digits, `-`, `_` and `.` are allowed".to_owned());
    }
    Ok(())
}

/// A host's name or address. It becomes a word on the command line of other programs.
pub fn host(text: &str) -> Result<(), String> {
    word(text)?;
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if !is_address && (text.starts_with('-') || !text.bytes().all(is_allowed)) {
        return Err("a host's name or address is needed, nothing before or after it".to_owned());
    }
    resolves(text, 22)
}

/// `host` or `host:port`.
pub fn endpoint(text: &str) -> Result<(), String> {
    word(text)?;
    if text.contains('/') {
        return Err("only host and port are needed, without https:// and path".to_owned());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
            return Err("an IPv6 address needs brackets".to_owned());
        }
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, port.ok_or("the port must be 1 to 65535")?)
        }
        _ => (text, 443),
    };
    resolves(host.trim_matches(['[', ']']), port)
}

/// Not behind a proxy, which knows hosts that this one does not.
fn resolves(host: &str, port: u16) -> Result<(), String> {
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
    if port != 22 && proxies.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let found = (host, port).to_socket_addrs();
    if found.is_ok_and(|mut addresses| addresses.next().is_some()) {
        return Ok(());
    }
    Err("this host is not known here (no address was found for its name)".to_owned())
}

pub fn port(text: &str) -> Result<(), String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err("a number from 1 to 65535 is needed".to_owned()),
    }
}

/// Several hosts may share a bucket. Kopia puts the prefix before its names as it is, so it ends with a slash.
pub async fn ask_prefix(default: &str, shutdown: &Shutdown) -> Result<String> {
    let question = "Directory in it (empty for none)";
    let prefix = prompt::text_or(question, default, optional, shutdown).await?;
    let prefix = prefix.trim_matches('/');
    Ok(if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_perhaps_a_port() {
        for good in [
            "localhost",
            "localhost:9000",
            "127.0.0.1:1",
            "[::1]:9000",
            "[::1]",
        ] {
            assert_eq!(endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "https://localhost",
            "localhost:0",
            "localhost:http",
            "localhost:99999",
            "::1",
            "nowhere.invalid",
            "local\x1bhost",
        ] {
            assert!(endpoint(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_host_is_never_an_option() {
        for good in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-oProxyCommand=x",
            "me@localhost",
            "localhost:22",
            "a b",
            "$(x)",
        ] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
        assert!(name("-x").is_err());
        assert!(port("0").is_err());
        assert!(bucket("a/b").is_err());
    }
}
