use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The certificate authorities that may sign the portal's certificate.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoots {
    /// A PEM file of certificate authorities, in addition to those that the operating system trusts.
    pub extra_file: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The PEM file cannot be used.
    #[error("cannot read certificates from {}: {problem}", path.display())]
    ExtraFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system has no certificate authorities, and no file was given.
    #[error(
        "no certificate authorities found ({problem}): install the package ca-certificates, or name a PEM file in SSL_CERT_FILE"
    )]
    NoRoots {
        /// Why, as far as is known.
        problem: String,
    },
    /// The cryptographic library could not be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

impl TrustedRoots {
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        // Some systems ship certificates that cannot be parsed: use the others.
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = &self.extra_file {
            let fail = |problem: String| TlsError::ExtraFile { path: path.clone(), problem };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| fail(error.to_string()))?;
            if certificates.is_empty() {
                return Err(fail("it holds no PEM block BEGIN CERTIFICATE".to_owned()));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| fail(error.to_string()))?;
            }
        }
        if roots.is_empty() {
            let problem =
                native.errors.first().map_or_else(|| "the system's list is empty".to_owned(), ToString::to_string);
            return Err(TlsError::NoRoots { problem });
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::{TlsError, TrustedRoots};

    #[test]
    fn a_file_that_holds_no_certificates_is_named() {
        let mut empty = NamedTempFile::new().unwrap();
        empty.write_all(b"not PEM\n").unwrap();
        let mut broken = NamedTempFile::new().unwrap();
        broken.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        for path in [empty.path(), broken.path(), "/nonexistent/ca.pem".as_ref()] {
            let roots = TrustedRoots { extra_file: Some(path.to_owned()) };
            let error = roots.client_config().unwrap_err();
            assert!(matches!(&error, TlsError::ExtraFile { path: named, .. } if named == path), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()));
        }
    }
}
