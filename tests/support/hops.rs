//! Hops: tinyproxy, tinyproxy behind TLS, microsocks, and scripted hops named after their answer.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    background::Background,
    ca::LeafFiles,
    process::{Server, clean_command},
};

/// The user of the real hops.
pub(crate) const USER: &str = "ferryman";
/// The user's password.
pub(crate) const PASSWORD: &str = "PLANTEDhopPassword7d1e";

/// A real hop that requires [`USER`] and [`PASSWORD`].
pub(crate) struct Hop {
    /// Its URL in `[hops]`.
    pub(crate) url: String,
    log: PathBuf,
    _servers: Vec<Server>,
}

impl Hop {
    /// tinyproxy: CONNECT and absolute form.
    pub(crate) fn http(dir: PathBuf) -> Self {
        Self::tinyproxy(dir, "")
    }

    /// tinyproxy that permits CONNECT to one port and answers 403 for every other.
    pub(crate) fn http_to_the_port_of(dir: PathBuf, origin: SocketAddr) -> Self {
        Self::tinyproxy(dir, &format!("ConnectPort {}\n", origin.port()))
    }

    fn tinyproxy(dir: PathBuf, rules: &str) -> Self {
        let (server, address) = tinyproxy(&dir, rules);
        Self {
            url: format!("http://{address}"),
            log: dir.join("tinyproxy.log"),
            _servers: vec![server],
        }
    }

    /// tinyproxy behind HAProxy, which terminates TLS.
    pub(crate) fn https(dir: PathBuf, leaf: &LeafFiles) -> Self {
        let (inner, to) = tinyproxy(&dir, "");
        let (outer, address) = Server::start_on_a_port("haproxy", &dir, |address| {
            let config = dir.join("haproxy.conf");
            let text = format!(
                "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 300s\n  timeout server 300s\n\
                 frontend tls\n  bind {address} ssl crt {}\n  default_backend plain\n\
                 backend plain\n  server tinyproxy {to}\n",
                leaf.both.display()
            );
            fs::write(&config, text).unwrap();
            let mut command = clean_command("/usr/sbin/haproxy", &dir);
            command.arg("-db").arg("-f").arg(config);
            command
        });
        Self {
            url: format!("https://localhost:{}", address.port()),
            log: dir.join("tinyproxy.log"),
            _servers: vec![outer, inner],
        }
    }

    /// microsocks, which resolves names itself.
    pub(crate) fn socks5h(dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let (server, address) = Server::start_on_a_port("microsocks", &dir, |address| {
            let mut command = clean_command("/usr/bin/microsocks", &dir);
            command
                .args(["-i", "127.0.0.1", "-p", &address.port().to_string()])
                .args(["-u", USER, "-P", PASSWORD]);
            command
        });
        Self {
            url: format!("socks5h://{address}"),
            log: dir.join("microsocks.log"),
            _servers: vec![server],
        }
    }

    /// The hop's own log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn tinyproxy(dir: &PathBuf, rules: &str) -> (Server, SocketAddr) {
    fs::create_dir_all(dir).unwrap();
    Server::start_on_a_port("tinyproxy", dir, |address| {
        let config = dir.join("tinyproxy.conf");
        let text = format!(
            "Port {}\nListen {}\nTimeout 300\nMaxClients 256\nLogLevel Connect\nBasicAuth {USER} {PASSWORD}\n{rules}",
            address.port(),
            address.ip()
        );
        fs::write(&config, text).unwrap();
        let mut command = clean_command("/usr/bin/tinyproxy", dir);
        command.arg("-d").arg("-c").arg(config);
        command
    })
}

/// A scripted hop.
pub(crate) struct ScriptedHop {
    /// Its URL in `[hops]`.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _background: Background,
}

/// The reaction of a scripted hop to a request.
#[derive(Clone, Copy)]
enum Part {
    Says(&'static str),
    Silent,
    ClosesAfter(&'static str),
}

impl ScriptedHop {
    /// Connects only to `to`; for every other target it reads the request and does not answer.
    pub(crate) fn reaches_only(name: &'static str, to: SocketAddr) -> Self {
        let background = Background::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        let address = background.serve(move |mut stream, _| {
            let heads = Arc::clone(&heads);
            async move {
                if !asks_for(name, to, &mut stream, &heads)
                    .await
                    .unwrap_or(false)
                {
                    // Until the other side closes.
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    return;
                }
                let mut origin = TcpStream::connect(to).await.unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut origin).await;
            }
        });
        Self {
            url: format!("http://{address}"),
            asked,
            _background: background,
        }
    }

    /// Refuses the credentials.
    pub(crate) fn answers_407() -> Self {
        Self::plays(Part::Says(
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"hop\"\r\nContent-Length: 0\r\n\r\n",
        ))
    }

    /// Refuses the target.
    pub(crate) fn answers_403() -> Self {
        Self::plays(Part::Says(
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\nnot by this hop",
        ))
    }

    /// Cannot reach the target.
    pub(crate) fn answers_502() -> Self {
        Self::plays(Part::Says(
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        ))
    }

    /// Reads the request and does not answer.
    pub(crate) fn silent() -> Self {
        Self::plays(Part::Silent)
    }

    /// Reads the request and closes the connection.
    pub(crate) fn hangs_up() -> Self {
        Self::plays(Part::ClosesAfter(""))
    }

    /// Answers with what is not HTTP.
    pub(crate) fn garbage() -> Self {
        Self::plays(Part::Says("\x16\x03garbage and more of it\n\n\r\n\r\n"))
    }

    /// Answers 200 and closes: GnuTLS reports a handshake that was not properly terminated.
    pub(crate) fn says_200_and_closes() -> Self {
        Self::plays(Part::ClosesAfter(
            "HTTP/1.1 200 Connection established\r\n\r\n",
        ))
    }

    fn plays(part: Part) -> Self {
        let background = Background::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        let address = background.serve(move |stream, _| {
            let heads = Arc::clone(&heads);
            async move {
                let _ = play(stream, part, &heads).await;
            }
        });
        Self {
            url: format!("http://{address}"),
            asked,
            _background: background,
        }
    }

    /// The heads of the requests that came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn asks_for(
    name: &str,
    to: SocketAddr,
    stream: &mut TcpStream,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let names = [to.to_string(), format!("{name}:443")];
    let asked = head.strip_prefix("CONNECT ");
    let asked = asked.and_then(|asked| asked.split(' ').next());
    let asks = asked.is_some_and(|asked| names.iter().any(|name| name == asked));
    heads.lock().unwrap().push(head);
    Ok(asks)
}

async fn play(
    mut stream: TcpStream,
    part: Part,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    heads
        .lock()
        .unwrap()
        .push(String::from_utf8_lossy(&head).into_owned());
    match part {
        Part::Says(text) => stream.write_all(text.as_bytes()).await?,
        Part::ClosesAfter(text) => return stream.write_all(text.as_bytes()).await,
        Part::Silent => {}
    }
    // Until the other side closes.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
