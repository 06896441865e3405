//! TLS to the database: `rustls`, certificates always verified.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connector that trusts the certificates in the file `roots`, else those that this machine trusts. Unless it
/// `is_needed`, it trusts nobody, which saves reading the machine's certificates.
///
/// # Errors
/// What is wrong with the certificates, in words.
pub(super) fn connector(is_needed: bool, roots: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let mut trusted = RootCertStore::empty();
    match roots {
        _ if !is_needed => {}
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(file)
                .map_err(|error| format!("sslrootcert '{file}' cannot be read: {error}"))?;
            for certificate in certificates {
                let certificate = certificate
                    .map_err(|error| format!("sslrootcert '{file}' is no certificate: {error}"))?;
                trusted
                    .add(certificate)
                    .map_err(|error| format!("sslrootcert '{file}' cannot be used: {error}"))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            trusted.add_parsable_certificates(found.certs);
            if trusted.is_empty() {
                return Err("this machine has no certificates to trust: name a file with \
                            sslrootcert in the URL"
                    .to_owned());
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
