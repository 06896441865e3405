//! TLS to the database: `rustls`, certificates always verified.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What is to be done about a connection that was not made because of TLS; `None` when that was not the reason.
pub(super) fn fix(error: &tokio_postgres::Error) -> Option<&'static str> {
    use std::error::Error;
    let cause = error.source()?;
    // The client's words; it tells this in no other way.
    if cause.to_string() == "server does not support TLS" {
        return Some("turn TLS on at the server, or say sslmode=disable in the URL");
    }
    let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    let rustls::Error::InvalidCertificate(reason) = inner.downcast_ref::<rustls::Error>()? else {
        return Some("check that the server speaks TLS 1.2 or newer");
    };
    Some(match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "name the file with the certificate of the authority that signed it: sslrootcert=FILE in the URL"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use a name of the certificate as the host of the URL (a subjectAltName; CN alone is not read)"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the certificate of the server"
        }
        _ => {
            "give the server a certificate for its name, signed by an authority that this machine trusts"
        }
    })
}

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
            let mut any = false;
            for certificate in certificates {
                let certificate = certificate
                    .map_err(|error| format!("sslrootcert '{file}' is no certificate: {error}"))?;
                trusted
                    .add(certificate)
                    .map_err(|error| format!("sslrootcert '{file}' cannot be used: {error}"))?;
                any = true;
            }
            if !any {
                return Err(format!("sslrootcert '{file}' holds no certificate in PEM"));
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
