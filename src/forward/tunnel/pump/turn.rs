//! What one side of a tunnel sent since the other side last sent: whether it may be just the end of TLS. Pure, without a socket.

/// The most bytes that a TLS peer sends to close: a GOAWAY and a close_notify record. More bytes are content.
const MAX_CLOSE: usize = 128;
/// The largest response of which a client that ended TLS may not have read everything: git-lfs reads only the head of `verify`. With a larger
/// one, the client broke off (git ends TLS after Ctrl-C, too).
const MAX_SMALL: usize = 16 * 1024;

/// What a side sent since the other side last sent.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) bytes: usize,
    /// The bytes since the other side last sent more than a few control bytes, without those of this turn.
    before: usize,
    tls: bool,
    /// The last bytes, of any turn, are a close_notify.
    pub(super) ends_tls: bool,
}

impl Turn {
    /// Of a side of which `bytes` were delivered before.
    pub(super) fn after(bytes: u64) -> Self {
        Self {
            before: usize::try_from(bytes).unwrap_or(usize::MAX),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.bytes == 0 {
            // A record of alerts or of encrypted data.
            self.tls = matches!(bytes, [0x15 | 0x17, 3, ..]);
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.ends_tls = CLOSE_NOTIFY.iter().any(|length| {
            let last = bytes
                .len()
                .checked_sub(*length)
                .and_then(|at| bytes.get(at..));
            last.is_some_and(is_close_notify)
        });
    }

    /// The other side sends; so far only `others` bytes. The end of TLS, or what HTTP/2 sends while it receives, does not end a response.
    pub(super) fn end(&mut self, others: usize) {
        self.before = match others {
            0..=MAX_CLOSE => self.before.saturating_add(self.bytes),
            _ => 0,
        };
        (self.bytes, self.tls) = (0, false);
    }

    pub(super) fn is_tls_close(&self) -> bool {
        self.tls && self.bytes <= MAX_CLOSE
    }

    /// True where the other side does not miss these bytes although it closed its socket. `left` is true for a client that ended TLS, which
    /// ended the turn before.
    pub(super) fn is_dispensable(&self, left: bool) -> bool {
        let response = self.before.saturating_add(self.bytes);
        self.is_tls_close() || left && (1..=MAX_SMALL).contains(&response)
    }
}

/// The lengths of a close_notify record: in plaintext, of TLS 1.2 with ChaCha20, of TLS 1.3, of TLS 1.2 with GCM and with CBC.
const CLOSE_NOTIFY: [usize; 6] = [7, 23, 24, 31, 53, 69];

/// True for one record that can be a close_notify: an alert that is not a fatal one in plaintext, or two encrypted bytes of TLS 1.3.
fn is_close_notify(record: &[u8]) -> bool {
    let [kind, 3, _, 0, length, rest @ ..] = record else {
        return false;
    };
    usize::from(*length) == rest.len()
        && match kind {
            0x15 => rest.len() > 2 || rest.first() == Some(&1),
            0x17 => rest.len() == 19,
            _ => false,
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

    #[test]
    fn only_a_small_response_is_dispensable_to_a_client_that_left() {
        let is_dispensable = |turns: &[(usize, usize)]| {
            let mut turn = Turn::default();
            for (bytes, others) in turns {
                turn.add(&vec![0x17; *bytes]);
                turn.end(*others);
            }
            turn.is_dispensable(true)
        };
        assert!(is_dispensable(&[(300, 24)]));
        assert!(
            is_dispensable(&[(900_000, 700), (300, 24)]),
            "its second request"
        );
        assert!(!is_dispensable(&[(900_000, 24)]));
        // WINDOW_UPDATE, and GOAWAY before close_notify.
        assert!(!is_dispensable(&[(900_000, 35), (300, 39), (0, 24)]));
        assert!(!is_dispensable(&[]), "no response");
        assert!(
            !is_dispensable(&[(4_000, 700), (0, 24)]),
            "no response to its request"
        );
    }

    #[test]
    fn a_close_notify_at_the_end_is_recognised_and_other_records_are_not() {
        let ends = |parts: &[&[u8]]| {
            let mut turn = Turn::default();
            parts.iter().for_each(|part| turn.add(part));
            turn.end(0);
            turn.ends_tls
        };
        let record =
            |kind: u8, length: u8| [&[kind, 3, 3, 0, length][..], &vec![9; length.into()]].concat();
        let data = record(0x17, 200);
        assert!(ends(&[&data, &record(0x17, 19)]));
        assert!(ends(&[&[data.clone(), record(0x15, 26)].concat()]));
        assert!(ends(&[&[0x15, 3, 3, 0, 2, 1, 0]]));
        assert!(!ends(&[&[0x15, 3, 3, 0, 2, 2, 48]]), "a fatal alert");
        assert!(!ends(&[&record(0x17, 19), &data]));
        assert!(!ends(&[&record(0x17, 26)]));
        assert!(!ends(&[b"+OK"]));
    }
}
