//! Requests to a daemon: its own pages, and clients that send exact bytes.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use serde_json::Value;

use super::{Ferry, SOON};
use crate::support::{
    process::LOOK,
    script::{Client, soon},
};

impl Ferry {
    /// A client that sends exactly what the test writes.
    pub(crate) async fn client(&self) -> Client {
        Client::to(self.address).await
    }

    /// A client that has sent `text`.
    pub(crate) async fn sends(&self, text: impl AsRef<[u8]>) -> Client {
        let mut client = self.client().await;
        client.send(text).await;
        client
    }

    /// The answer to a request that closes the connection.
    pub(crate) async fn answer(&self, request: &str) -> String {
        let mut client = self.sends(request).await;
        String::from_utf8_lossy(&client.rest().await).into_owned()
    }

    /// The answer to `GET path` of its own pages.
    pub(crate) async fn page(&self, path: &str) -> String {
        let address = self.address;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        self.answer(&head).await
    }

    /// Waits until this many origin connections are idle.
    pub(crate) async fn keeps_idle(&self, count: usize) {
        let kept = format!("\"idle_connections\": {count},");
        soon("an idle connection", async {
            while !self.page("/-/status").await.contains(&kept) {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    /// Waits until no transfer is left.
    pub(crate) async fn is_quiet(&self) {
        soon("the last transfer's end", async {
            while !self.shared().tracker.list().is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    /// The answer to `GET path` of its own pages, for tests that are not async.
    pub(crate) fn get(&self, path: &str) -> String {
        let address = self.address;
        self.say(&format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ))
    }

    /// A client with a tunnel to `target`.
    pub(crate) async fn tunnel(&self, target: &str) -> Client {
        let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let mut client = self.sends(connect).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        client
    }

    /// The answer to a request that closes the connection.
    pub(crate) fn say(&self, request: &str) -> String {
        self.try_say(request).unwrap()
    }

    /// The same for a daemon that may have ended.
    pub(super) fn try_say(&self, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The running transfers, from the status.
    pub(crate) fn transfers(&self) -> Vec<Value> {
        let answer = self.get("/-/status");
        let json = answer.split_once('{').map(|(_, rest)| format!("{{{rest}"));
        let json = json.unwrap_or_default();
        let json = json.rsplit_once('}').map(|(text, _)| format!("{text}}}"));
        let status: Value = serde_json::from_str(&json.unwrap_or_default())
            .unwrap_or_else(|error| panic!("no JSON in the status: {error}\n{answer}"));
        let transfers = status["transfers"].as_array().cloned();
        transfers.unwrap_or_else(|| panic!("no transfers in the status:\n{answer}"))
    }
}
