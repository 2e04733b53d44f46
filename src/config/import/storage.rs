//! An old address of a repository as parameters of the storage: a directory, or `s3://bucket/prefix` and its like.

use super::entry::is_params;

/// `text` may already be parameters, as later versions write them.
pub fn params(text: &str) -> Result<String, String> {
    if text.starts_with('/') || text.starts_with("~/") {
        return Ok(format!("filesystem --path {}", shell_words::quote(text)));
    }
    if let Some(path) = text
        .strip_prefix("file://")
        .filter(|path| path.starts_with('/'))
    {
        return params(path);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return if is_params(text) {
            Ok(text.to_owned())
        } else {
            Err(
                "expected the directory of a repository, an address such as s3://bucket/prefix, or a backend with its flags"
                    .to_owned(),
            )
        };
    };
    let (place, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if place.is_empty() || place.contains(char::is_whitespace) {
        return if is_params(text) {
            Ok(text.to_owned())
        } else {
            Err("expected an address such as s3://bucket/prefix".to_owned())
        };
    }
    let (backend, flag) = match scheme {
        "s3" => ("s3", "bucket"),
        "b2" => ("b2", "bucket"),
        "gs" | "gcs" => ("gcs", "bucket"),
        "azure" => ("azure", "container"),
        "sftp" => return Ok(format!("sftp --path {}", shell_words::quote(text))),
        _ if is_params(text) => return Ok(text.to_owned()),
        _ => return Err("its kind of address is not known".to_owned()),
    };
    let mut params = format!("{backend} --{flag} {}", shell_words::quote(place));
    if !prefix.is_empty() {
        // Kopia puts it before its names as it is.
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        params.push_str(&format!(" --prefix {}", shell_words::quote(&prefix)));
    }
    Ok(params)
}
