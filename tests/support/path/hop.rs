//! A CONNECT hop on the far host, next to the servers, so that its own connections add no delay.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use super::Path;
use crate::support::background::Background;

/// Without credentials and without limits.
pub(crate) struct FarHop {
    /// What stands in `[hops]`, or in `http.proxy`.
    pub(crate) url: String,
    _background: Background,
}

impl FarHop {
    /// Listens at the far end of `path`; `names` are `HOST:PORT` and where they are.
    pub(crate) fn start(path: &Path, names: &[(&str, SocketAddr)]) -> Self {
        let names: BTreeMap<String, SocketAddr> = names
            .iter()
            .map(|(name, at)| ((*name).to_owned(), *at))
            .collect();
        let names = Arc::new(names);
        let background = Background::new();
        let (listener, address) = path.listen();
        background.serve_on(listener, move |client, _| {
            let names = Arc::clone(&names);
            async move {
                // A path that loses packets is what this is for.
                let _ = serve(client, &names).await;
            }
        });
        Self {
            url: format!("http://{address}"),
            _background: background,
        }
    }
}

async fn serve(mut client: TcpStream, names: &BTreeMap<String, SocketAddr>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let asked = head.split(' ').nth(1).unwrap_or_default();
    let to = names.get(asked).copied().or_else(|| asked.parse().ok());
    let Some(to) = to else {
        let answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(answer).await;
    };
    let mut server = TcpStream::connect(to).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
