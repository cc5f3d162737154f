//! A hop that refuses everything and records the requests: it catches traffic that bypasses the daemon.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::background::Background;

/// Answers 403 to everything.
pub(crate) struct Trap {
    pub(crate) url: String,
    caught: Arc<Mutex<Vec<String>>>,
    _background: Background,
}

impl Trap {
    pub(crate) fn new() -> Self {
        let background = Background::new();
        let caught = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&caught);
        let address = background.serve(move |mut client, _| {
            let list = Arc::clone(&list);
            async move {
                let mut head = vec![0; 1024];
                let length = client.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let line = head.lines().next().unwrap_or("(nothing)");
                list.lock().unwrap().push(line.to_owned());
                let refusal =
                    b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = client.write_all(refusal).await;
            }
        });
        Self {
            url: format!("http://{address}"),
            caught,
            _background: background,
        }
    }

    /// The first line of every request so far.
    pub(crate) fn caught(&self) -> Vec<String> {
        self.caught.lock().unwrap().clone()
    }
}
