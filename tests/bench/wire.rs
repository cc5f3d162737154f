//! What the origin and the load generator have in common: TLS with one suite, request heads, and the bytes of a body.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider},
    },
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{client, server};

use crate::{Result, pki};

/// The one suite of the run, on every leg of every peer.
pub(crate) const SUITE: &str = "TLS_AES_128_GCM_SHA256";
/// One write's worth of a body.
pub(crate) const CHUNK: usize = 256 * 1024;
const HEAD_LIMIT: usize = 16 * 1024;

/// A body's bytes: this period over and over, which a lost, doubled or swapped piece breaks.
static PERIOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let once: Vec<u8> = (0..CHUNK / 8)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    [once.as_slice(), once.as_slice()].concat()
});

/// The `length` bytes (at most [`CHUNK`]) of a body that stand at `offset`.
pub(crate) fn expected(offset: u64, length: usize) -> &'static [u8] {
    let start = usize::try_from(offset % CHUNK as u64).unwrap_or_default();
    PERIOD.get(start..start + length).unwrap_or_default()
}

/// TLS 1.3 with [`SUITE`] and no other.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        ..default_provider()
    })
}

/// The origin's side.
pub(crate) fn server_config(directory: &Path) -> Result<Arc<ServerConfig>> {
    let leaf = pki::leaf(directory);
    let chain = CertificateDer::pem_file_iter(&leaf)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&leaf)?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// The client's side; it trusts what is in `roots` and nothing else.
pub(crate) fn client_config(roots: &[PathBuf]) -> Result<Arc<ClientConfig>> {
    let mut store = RootCertStore::empty();
    for file in roots {
        for certificate in CertificateDer::pem_file_iter(file)? {
            store.add(certificate?)?;
        }
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection, with TLS or without.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl Io for TcpStream {}
impl Io for client::TlsStream<TcpStream> {}
impl Io for server::TlsStream<TcpStream> {}

/// A message's first line and headers, and how many of the buffer's bytes are theirs.
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) length: u64,
    pub(crate) size: usize,
}

/// Reads one head into `buffer`, which may hold the beginning already; `None` at a clean end of the stream.
pub(crate) async fn read_head(io: &mut impl Io, buffer: &mut Vec<u8>) -> io::Result<Option<Head>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let size = end + 4;
            let text = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
            return Ok(Some(parse(&text, size)));
        }
        if buffer.len() > HEAD_LIMIT {
            return Err(io::Error::other("a head without end"));
        }
        if io.read_buf(buffer).await? == 0 {
            return match buffer.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

fn parse(text: &str, size: usize) -> Head {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    Head {
        first,
        length: length.unwrap_or_default(),
        size,
    }
}

/// Reads a body of `length` bytes, of which `already` came with the head, and compares every byte; `true` where all are right.
pub(crate) async fn read_body(
    io: &mut impl Io,
    already: &[u8],
    length: u64,
    mut pace: Pace,
) -> io::Result<bool> {
    let mut right = already == expected(0, already.len());
    let mut offset = already.len() as u64;
    let mut buffer = vec![0; CHUNK.min(pace.chunk())];
    while offset < length {
        let read = io.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        right &= buffer.get(..read) == Some(expected(offset, read));
        offset += read as u64;
        pace.wait(offset).await;
    }
    Ok(right && offset == length)
}

/// How fast a body is read.
pub(crate) struct Pace {
    since: tokio::time::Instant,
    bytes_per_second: Option<f64>,
}

impl Pace {
    /// At most so many bytes a second, or as fast as they come.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            since: tokio::time::Instant::now(),
            bytes_per_second: bytes_per_second.map(|rate| rate as f64),
        }
    }

    fn chunk(&self) -> usize {
        self.bytes_per_second.map_or(CHUNK, |_| 64 * 1024)
    }

    async fn wait(&mut self, offset: u64) {
        if let Some(rate) = self.bytes_per_second {
            let due = std::time::Duration::from_secs_f64(offset as f64 / rate);
            tokio::time::sleep_until(self.since + due).await;
        }
    }
}
