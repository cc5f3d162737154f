//! A daemon, and an origin whose speed depends on the path of the request.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{
    events::wait,
    ferry::{Ferry, Run},
};

/// `stall.after` of the storage.
pub(crate) const STALL: Duration = Duration::from_secs(2);
const MAIN: &str = "huggingface.co";
const STORAGE: &str = "cdn-lfs.huggingface.co";
/// Bytes of a download below `/large/`.
const LARGE: usize = 16 << 20;

pub(crate) struct World {
    /// Every origin reads as fast as it can.
    gone: Arc<AtomicBool>,
    ferry: Ferry,
    _directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let gone = Arc::new(AtomicBool::new(false));
        let origin = serve(Arc::clone(&gone));
        let directory = tempfile::tempdir().unwrap();
        let route = |name: &str, role: &str, host: &str, more: &str| {
            format!(
                "[[route]]\nname = \"{name}\"\nrole = \"{role}\"\nhosts = [\"{host}\"]\ntls = \"tunnel\"\n\
                 upstreams = [{{ via = \"direct\" }}]\nresolve = {{ \"{host}\" = \"{origin}\" }}\n{more}\n"
            )
        };
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[built_in]\nroutes = false\n[state]\ndirectory = \"{}\"\n[trust]\nplatform_roots = false\n{}{}",
            directory.path().join("state").display(),
            route("hf-main", "main-site", MAIN, ""),
            route(
                "hf-lfs",
                "lfs-storage",
                STORAGE,
                &format!(
                    "stall = {{ after = \"{}s\", action = \"report\" }}",
                    STALL.as_secs()
                )
            ),
        );
        Self {
            ferry: Ferry::run(Run::InProcess, directory.path(), &text),
            gone,
            _directory: directory,
        }
    }

    /// Where the page is.
    pub(crate) fn page(&self) -> String {
        format!("http://{}/-/", self.ferry.address)
    }

    /// Fetches `path` of the main site.
    pub(crate) fn fetch(&self, path: &str) {
        let mut client = TcpStream::connect(self.ferry.address).unwrap();
        write!(
            client,
            "GET http://{MAIN}{path} HTTP/1.1\r\nHost: {MAIN}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    /// Requests `path` of the storage, which closes without a response.
    pub(crate) fn fail(&self, path: &str) {
        let mut client = TcpStream::connect(self.ferry.address).unwrap();
        write!(
            client,
            "GET http://{STORAGE}{path} HTTP/1.1\r\nHost: {STORAGE}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }

    /// Downloads `path` of the storage.
    pub(crate) fn download(&self, path: &str) -> JoinHandle<()> {
        let (address, path) = (self.ferry.address, path.to_owned());
        thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            write!(
                client,
                "GET http://{STORAGE}{path} HTTP/1.1\r\nHost: {STORAGE}\r\nUser-Agent: git-lfs/3.3.0\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert!(answer.len() > LARGE, "{} bytes", answer.len());
        })
    }

    /// Sends `size` bytes to `path` of the storage, and waits for the answer.
    pub(crate) fn upload(&self, path: &str, size: usize) -> JoinHandle<()> {
        let (address, path) = (self.ferry.address, path.to_owned());
        thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            write!(
                client,
                "PUT http://{STORAGE}{path} HTTP/1.1\r\nHost: {STORAGE}\r\nUser-Agent: git-lfs/3.3.0\r\nContent-Length: {size}\r\n\
                 Connection: close\r\n\r\n"
            )
            .unwrap();
            client.write_all(&vec![7; size]).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        })
    }

    /// From now on every origin reads as fast as it can.
    pub(crate) fn let_go(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl World {
    /// Stops the daemon.
    pub(crate) fn stop(&mut self) {
        self.let_go();
        wait(self.ferry.stop(Duration::from_millis(100))).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// An origin on a free port.
fn serve(gone: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A small buffer: megabytes would fit into the default one, and no upload would be seen to wait.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(32 * 1024)
        .unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let gone = Arc::clone(&gone);
            thread::spawn(move || {
                // A client that disconnects ends it.
                let _ = answer(stream, &gone);
            });
        }
    });
    address
}

/// Reads a request at the speed that its path names, and answers it.
fn answer(mut stream: TcpStream, gone: &AtomicBool) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if head.contains("/cut/") {
        return Ok(());
    }
    if head.contains("/large/") {
        return send_large(stream, &head, gone);
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut left: usize = length
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0);
    // A steady upload of 6 MiB would take a minute: it ends when the test lets it.
    let pace = if head.contains("/steady/") { 2 } else { 32 } * 1024;
    let mut buffer = vec![0; 32 * 1024];
    let total = left;
    while left > 0 {
        let frozen = head.contains("/freeze/") && total - left > 1 << 20;
        let mut room = left.min(buffer.len());
        if !gone.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
            if frozen {
                continue;
            }
            room = room.min(pace);
        }
        let read = stream.read(&mut buffer[..room])?;
        if read == 0 {
            return Ok(());
        }
        left -= read;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
}

/// Sends a large file, or the range of it in `head`, slowly.
fn send_large(mut stream: TcpStream, head: &str, gone: &AtomicBool) -> std::io::Result<()> {
    let asked = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
    let (status, first, end) = match asked {
        Some((first, last)) => {
            let (first, last): (usize, usize) =
                (first.parse().unwrap(), last.trim().parse().unwrap());
            ("206 Partial Content", first, last + 1)
        }
        None => ("200 OK", 0, LARGE),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: \"v1\"\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{}/{LARGE}\r\nConnection: close\r\n\r\n",
        end - first,
        end - 1
    )?;
    let mut left = end - first;
    while left > 0 {
        if !gone.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        let piece = left.min(2048);
        stream.write_all(&[7; 2048][..piece])?;
        left -= piece;
    }
    Ok(())
}
