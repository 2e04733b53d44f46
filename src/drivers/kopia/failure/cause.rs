//! What Kopia's words mean. Texts as of Kopia 0.23.1 and of the servers named beside them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    WrongPassword,
    /// No connection profile.
    NotConnected,
    /// The storage answers and has no repository.
    NotInitialized,
    /// `create` where there is one already.
    AlreadyThere,
    NoSpace,
    /// An SFTP server that gives no reason.
    RefusedWrite,
    NoBucket,
    /// Unknown user, or wrong key.
    Credentials,
    NoCredentials,
    /// Known, but without the right to do this.
    Denied,
    Region,
    Certificate,
    /// Another one than the known one, or one of another type than the known ones.
    HostKeyChanged,
    HostKeyUnknown,
    KnownHosts,
    KeyFile,
    NoSuchHost,
    /// Connection refused.
    Refused,
    NoAnswer,
    StorageUnreachable,
    Other,
}

impl Cause {
    /// Whether it needs a person: asked again, the storage says the same. A server may count that: `fail2ban` shuts a host out
    /// that shows a wrong key some times.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::Credentials | Self::NoCredentials | Self::HostKeyUnknown
        )
    }
}

/// The first fragment that matches decides: the more telling ones come first.
const FRAGMENTS: &[(&str, Cause)] = &[
    ("invalid repository password", Cause::WrongPassword),
    ("repository is not connected", Cause::NotConnected),
    ("not connected to a repository", Cause::NotConnected),
    (
        "found existing data in storage location",
        Cause::AlreadyThere,
    ),
    ("repository already initialized", Cause::AlreadyThere),
    // S3, Google, Azure, B2.
    ("The specified bucket does not exist", Cause::NoBucket),
    ("NoSuchBucket", Cause::NoBucket),
    ("bucket doesn't exist", Cause::NoBucket),
    ("ContainerNotFound", Cause::NoBucket),
    ("bucket not found", Cause::NoBucket),
    (
        "repository not initialized in the provided storage",
        Cause::NotInitialized,
    ),
    // With a profile that was connected before the storage was emptied.
    (
        "error getting kopia.repository blob: BLOB not found",
        Cause::NotInitialized,
    ),
    ("no space left on device", Cause::NoSpace),
    ("No space left on device", Cause::NoSpace),
    ("disk quota exceeded", Cause::NoSpace),
    ("XMinioStorageFull", Cause::NoSpace),
    ("QuotaExceeded", Cause::NoSpace),
    // SFTP: Kopia's own client, then `ssh` itself (`--external`).
    ("knownhosts: key mismatch", Cause::HostKeyChanged),
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        Cause::HostKeyChanged,
    ),
    ("knownhosts: key is unknown", Cause::HostKeyUnknown),
    ("Host key verification failed", Cause::HostKeyUnknown),
    ("unable to getHostKey", Cause::KnownHosts),
    ("must provide either --known-hosts", Cause::KnownHosts),
    ("unable to getSigner", Cause::KeyFile),
    ("must provide either --sftp-password", Cause::KeyFile),
    ("ssh: unable to authenticate", Cause::Credentials),
    ("Permission denied (publickey", Cause::Credentials),
    ("(SSH_FX_FAILURE)", Cause::RefusedWrite),
    // S3.
    ("request signature we calculated", Cause::Credentials),
    ("SignatureDoesNotMatch", Cause::Credentials),
    ("does not exist in our records", Cause::Credentials),
    ("InvalidAccessKeyId", Cause::Credentials),
    ("authorization header is malformed", Cause::Region),
    ("the region is wrong", Cause::Region),
    // Azure.
    (
        "Server failed to authenticate the request",
        Cause::Credentials,
    ),
    ("AuthenticationFailed", Cause::Credentials),
    ("AuthorizationFailure", Cause::Credentials),
    ("decode account key", Cause::Credentials),
    // Google.
    ("could not find default credentials", Cause::NoCredentials),
    ("invalid_grant", Cause::Credentials),
    ("googleapi: Error 401", Cause::Credentials),
    // B2 and WebDAV.
    ("bad_auth_token", Cause::Credentials),
    ("Authorize .shards: 401", Cause::Credentials),
    ("SSH_FX_PERMISSION_DENIED", Cause::Denied),
    ("permission denied", Cause::Denied),
    ("Access Denied", Cause::Denied),
    ("AccessDenied", Cause::Denied),
    ("AuthorizationPermissionMismatch", Cause::Denied),
    ("googleapi: Error 403", Cause::Denied),
    ("failed to verify certificate", Cause::Certificate),
    ("x509: ", Cause::Certificate),
    ("no such host", Cause::NoSuchHost),
    ("Name or service not known", Cause::NoSuchHost),
    ("connection refused", Cause::Refused),
    ("i/o timeout", Cause::NoAnswer),
    ("connection timed out", Cause::NoAnswer),
    ("TLS handshake timeout", Cause::NoAnswer),
    ("no route to host", Cause::NoAnswer),
    ("network is unreachable", Cause::NoAnswer),
    ("context deadline exceeded", Cause::NoAnswer),
    ("cannot access storage path", Cause::StorageUnreachable),
    ("can't connect to storage", Cause::StorageUnreachable),
    ("cannot open storage", Cause::StorageUnreachable),
    ("unable to open repository", Cause::StorageUnreachable),
    ("error reading format blob", Cause::StorageUnreachable),
    ("unable to read format blob", Cause::StorageUnreachable),
    ("despite 10 retries", Cause::StorageUnreachable),
    ("connection lost", Cause::StorageUnreachable),
];

pub fn cause(stderr: &str) -> Cause {
    FRAGMENTS
        .iter()
        .find(|(fragment, _)| stderr.contains(fragment))
        .map_or(Cause::Other, |(_, cause)| *cause)
}
