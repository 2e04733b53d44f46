//! Whom a server's certificate may be signed by.

use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::Refused;
use crate::base::blocking::aside;

/// The certificates of `file`; none without one.
pub async fn read(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Refused> {
    let Some(file) = file.map(Path::to_owned) else {
        return Ok(Vec::new());
    };
    let name = file.display().to_string();
    let cannot = |why: String| {
        Refused::lasting(format!(
            "the certificates in `{name}` (`ca_file`) cannot be read: {why}"
        ))
    };
    let text = aside(move || Ok(std::fs::read(file)?)).await;
    let text = text.map_err(|error| cannot(format!("{error:#}")))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(found) if found.is_empty() => Err(cannot("there is none in PEM form".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(cannot(error.to_string())),
    }
}
