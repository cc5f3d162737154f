//! The bytes of ranges that wait for delivery. They are copies: a slice would keep a connection's whole buffer in memory.

use std::collections::{BTreeMap, VecDeque};

use tokio_util::bytes::{Bytes, BytesMut};

/// The size of one allocation.
const CHUNK: usize = 64 << 10;

/// Bytes by the range that they belong to.
#[derive(Debug, Default)]
pub(super) struct RangeBuffers(BTreeMap<u64, VecDeque<BytesMut>>);

impl RangeBuffers {
    /// Appends to the bytes of the range at `start`.
    pub(super) fn append(&mut self, start: u64, mut bytes: &[u8]) {
        let chunks = self.0.entry(start).or_default();
        while !bytes.is_empty() {
            let room = chunks.back().map_or(0, |last| last.capacity() - last.len());
            if room == 0 {
                chunks.push_back(BytesMut::with_capacity(CHUNK));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = chunks.back_mut() {
                last.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// The next bytes of the range at `start`, at most `ready`; drops the bytes of earlier ranges.
    pub(super) fn take(&mut self, start: u64, ready: u64) -> Option<Bytes> {
        self.0 = self.0.split_off(&start);
        let chunks = self.0.get_mut(&start)?;
        while let Some(chunk) = chunks.front_mut() {
            if chunk.is_empty() {
                chunks.pop_front();
                continue;
            }
            let count = chunk
                .len()
                .min(usize::try_from(ready).unwrap_or(usize::MAX));
            return Some(chunk.split_to(count).freeze());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_returned_in_order_and_earlier_ranges_are_dropped() {
        let mut kept = RangeBuffers::default();
        let long: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        kept.append(0, b"before");
        kept.append(7, &long[..100_000]);
        let mut back = kept.take(7, 10).unwrap().to_vec();
        assert_eq!(back, long[..10]);
        kept.append(7, &long[100_000..]);
        while let Some(bytes) = kept.take(7, u64::MAX) {
            back.extend_from_slice(&bytes);
        }
        assert!(back == long);
        assert_eq!(kept.take(0, 1), None);
    }
}
