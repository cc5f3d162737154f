//! nginx's access log, complete up to what its clients have seen.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// The access log of one nginx.
///
/// nginx sends the end of a response before it writes the line of the request. Its one process handles one event after the other, so that
/// it has written the lines of all responses that clients have when it answers a request that comes later: [`AccessLog::read`] sends one,
/// to a socket of its own, which is not logged.
pub(crate) struct AccessLog {
    file: PathBuf,
    socket: PathBuf,
}

impl AccessLog {
    /// The log at `file`, which the `access_log` of the config must name.
    pub(crate) fn at(file: PathBuf) -> Self {
        let socket = file.with_extension("sock");
        Self { file, socket }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The `server` block that the config needs.
    pub(crate) fn server_block(&self) -> String {
        // A killed nginx leaves it.
        let _ = fs::remove_file(&self.socket);
        format!(
            "server {{ listen unix:{}; access_log off; return 204; }}",
            self.socket.display()
        )
    }

    /// All lines of the requests whose responses clients have.
    pub(crate) fn read(&self) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
        fs::read_to_string(&self.file).unwrap_or_default()
    }
}
