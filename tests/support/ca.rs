//! The test CA, and certificates that are valid, expired, self-signed or for other names.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    Expired,
    NotYetValid,
    SelfSigned,
    WrongName,
}

/// A CA that only the test trusts.
pub(crate) struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl TestCa {
    /// Creates one; its certificate is `ca.pem` in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self::named(dir, "gitferry test CA")
    }

    /// Creates one with this name.
    pub(crate) fn named(dir: PathBuf, name: &str) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// The file with the CA's certificate.
    pub(crate) fn pem_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate for `names` with `flaw`.
    pub(crate) fn leaf(&self, names: &[&str], flaw: Flaw) -> Leaf {
        let names = match flaw {
            Flaw::WrongName => vec!["elsewhere.test".to_owned()],
            _ => names.iter().map(ToString::to_string).collect(),
        };
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "a test origin");
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        if flaw == Flaw::NotYetValid {
            params.not_before = date_time_ymd(2090, 1, 1);
            params.not_after = date_time_ymd(2091, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        Leaf {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// This CA alone.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(self.pem_file()).unwrap();
        roots.add(root).unwrap();
        Arc::new(roots)
    }

    /// For servers inside the test that require a client certificate of this CA.
    pub(crate) fn verifies_clients(&self, leaf: &Leaf) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder(self.roots()).build();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(leaf.chain(), leaf.private_key())
            .unwrap();
        Arc::new(config)
    }

    /// Writes a leaf's certificate and key (in one file too, as HAProxy wants them) into the CA's directory.
    pub(crate) fn files(&self, stem: &str, leaf: &Leaf) -> LeafFiles {
        let write = |end: &str, text: &str| {
            let path = self.dir.join(format!("{stem}.{end}"));
            fs::write(&path, text).unwrap();
            path
        };
        LeafFiles {
            certificate: write("crt", &leaf.certificate),
            key: write("key", &leaf.key),
            both: write("pem", &format!("{}{}", leaf.certificate, leaf.key)),
        }
    }
}

/// The files of a leaf.
pub(crate) struct LeafFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) both: PathBuf,
}

impl Leaf {
    /// For servers inside the test.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.private_key())
            .unwrap();
        Arc::new(config)
    }

    /// TLS with these protocols in ALPN, in the order of preference.
    pub(crate) fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let mut config = self.server_config();
        let names = protocols.iter().map(|name| name.as_bytes().to_vec());
        Arc::make_mut(&mut config).alpn_protocols = names.collect();
        TlsAcceptor::from(config)
    }

    /// The same with a certificate whose signature is wrong.
    pub(crate) fn with_bad_signature(&self) -> Arc<ServerConfig> {
        let mut der = self.chain()[0].to_vec();
        *der.last_mut().unwrap() ^= 1;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(der)], self.private_key())
            .unwrap();
        Arc::new(config)
    }

    /// The certificate alone.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]
    }

    /// Its key.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}
