//! What one side of a tunnel sent since the other side last sent: whether it may be just the end of TLS. Pure, without a socket.

/// The most bytes that a TLS peer sends to close: a GOAWAY and a close_notify record. More bytes are content.
const MAX_CLOSE: usize = 128;

/// What a side sent since the other side last sent.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) bytes: usize,
    tls: bool,
}

impl Turn {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.bytes == 0 {
            // A record of alerts or of encrypted data.
            self.tls = matches!(bytes, [0x15 | 0x17, 3, ..]);
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
    }

    pub(super) fn is_tls_close(&self) -> bool {
        self.tls && self.bytes <= MAX_CLOSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_close_is_a_few_bytes_of_alert_or_data_records() {
        let is_close = |parts: &[&[u8]]| {
            let mut turn = Turn::default();
            parts.iter().for_each(|part| turn.add(part));
            turn.is_tls_close()
        };
        let record = |bytes: usize| [&[0x17, 3, 3, 0, 19][..], &vec![7; bytes - 5]].concat();
        assert!(is_close(&[&record(39), &record(24)]));
        assert!(is_close(&[&[0x15, 3, 3, 0, 2, 1, 0]]));
        assert!(!is_close(&[]));
        assert!(!is_close(&[&record(100), &record(100)]));
        assert!(!is_close(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]));
    }
}
