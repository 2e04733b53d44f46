//! Which variables reach Kopia: those of the storage and of the way there. Never one that decides what is run (`PATH`,
//! `LD_PRELOAD`) or which repository is opened with what (`KOPIA_PASSWORD`, `KOPIA_CONFIG_PATH`).

pub fn is_passed_on(name: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "AWS_",
        "AZURE_",
        "B2_",
        "GOOGLE_",
        "KOPIA_WEBDAV_",
        "RCLONE_",
    ];
    const NAMES: [&str; 10] = [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "ROOT_CA_PEM_BASE64",
        "STORAGE_EMULATOR_HOST",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// What Kopia calls it, where Backblaze's own tools and older versions of this one have another name.
pub fn translated(name: &str) -> Option<&'static str> {
    match name {
        "B2_APPLICATION_KEY_ID" => Some("B2_KEY_ID"),
        "B2_APPLICATION_KEY" => Some("B2_KEY"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_backend_reads_is_passed_on() {
        for name in [
            "AWS_ACCESS_KEY_ID",
            "B2_KEY",
            "KOPIA_WEBDAV_PASSWORD",
            "SSL_CERT_FILE",
        ] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in [
            "KOPIA_PASSWORD",
            "KOPIA_CONFIG_PATH",
            "PATH",
            "LD_PRELOAD",
            "HOME",
            "",
        ] {
            assert!(!is_passed_on(name), "{name}");
        }
    }
}
