//! Trust: which certificate authorities are believed.
//!
//! `SSL_CERT_FILE`/`SSL_CERT_DIR`, pip's `cert` or the configuration replace the system's store,
//! as they do in OpenSSL; otherwise the platform verifies by its own rules (on Linux: the
//! distribution's bundle). Companies that inspect TLS rely on one or the other.

use std::sync::Once;

use super::NetError;
use crate::settings::{Certificates, Setting};

/// Makes ring the cryptography of rustls in this process. Cheap after the first call.
pub(super) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only when another part of the process chose one already, and that one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The certificates of the setting; `None` leaves it to the platform.
pub(super) fn certificates(
    setting: Option<&Setting<Certificates>>,
) -> Result<Option<Vec<reqwest::Certificate>>, NetError> {
    let Some(Setting { value, origin }) = setting else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let mut problem = None;
    let file = value.file.as_deref().map(|file| (Some(file), None));
    let folders = value
        .folders
        .iter()
        .map(|folder| (None, Some(folder.as_path())));
    for (file, folder) in file.into_iter().chain(folders) {
        let result = rustls_native_certs::load_certs_from_paths(file, folder);
        found.extend(result.certs);
        // Folders hold other things too; one bad file does not count while others serve.
        problem = problem.or(result.errors.into_iter().next());
    }
    let certificates: Vec<_> = found
        .iter()
        .filter_map(|der| reqwest::Certificate::from_der(der).ok())
        .collect();
    if certificates.is_empty() {
        return Err(NetError::Setup {
            what: format!("no certificate could be read as {origin} asks"),
            source: super::Cause::new(
                problem.map_or_else(|| "there is none".to_owned(), |error| error.to_string()),
            ),
        });
    }
    Ok(Some(certificates))
}
