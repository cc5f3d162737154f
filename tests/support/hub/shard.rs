//! The two formats of the Xet store, read as far as a store needs: which chunks make up a file, and where chunks lie in a xorb.
//!
//! xet-core: `xet_core_structures/src/metadata_shard/{shard_format,file_structs}.rs`, `xorb_object/xorb_chunk_format.rs`.

use std::ops::Range;

/// A shard begins with a tag of 32 bytes and two numbers.
const SHARD_HEAD: usize = 48;
/// Everything in a shard's list of files has this size.
const ENTRY: usize = 48;
const WITH_VERIFICATION: u32 = 1 << 31;
const WITH_METADATA: u32 = 1 << 30;
/// Version, three bytes of compressed length, scheme, three bytes of length.
const CHUNK_HEAD: usize = 8;
/// What stands after the last chunk of a xorb.
const XORB_FOOTER: &[u8] = b"XETBLOB";

/// How a file is put together.
#[derive(Clone, Debug)]
pub(super) struct XetFile {
    pub(super) sha256: Option<String>,
    pub(super) terms: Vec<Term>,
}

/// Some chunks of a xorb.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) xorb: String,
    pub(super) length: u64,
    pub(super) chunks: Range<u32>,
}

impl XetFile {
    pub(super) fn size(&self) -> u64 {
        self.terms.iter().map(|term| term.length).sum()
    }
}

/// The files of a shard, by hash; `None` where it is cut off or none.
pub(super) fn files(shard: &[u8]) -> Option<Vec<(String, XetFile)>> {
    if !shard.starts_with(b"HFRepoMetaData\0") {
        return None;
    }
    let mut entries = shard.get(SHARD_HEAD..)?.chunks_exact(ENTRY);
    let mut files = Vec::new();
    loop {
        let head = entries.next()?;
        if head[..32] == [0xff; 32] {
            return Some(files);
        }
        let (flags, count) = (number(&head[32..36]), number(&head[36..40]));
        let mut terms = Vec::new();
        for _ in 0..count {
            let entry = entries.next()?;
            terms.push(Term {
                xorb: hash(&entry[..32]),
                length: number(&entry[36..40]).into(),
                chunks: number(&entry[40..44])..number(&entry[44..48]),
            });
        }
        if flags & WITH_VERIFICATION != 0 {
            entries.nth(usize::try_from(count).ok()?.checked_sub(1)?)?;
        }
        let sha256 = match flags & WITH_METADATA {
            0 => None,
            _ => Some(hash(&entries.next()?[..32])),
        };
        files.push((hash(&head[..32]), XetFile { sha256, terms }));
    }
}

/// The bytes of some chunks of a xorb; `None` where one of them is compressed, or not there.
pub(super) fn unpacked(xorb: &[u8], chunks: &Range<u32>) -> Option<Vec<u8>> {
    let places = chunk_places(xorb)?;
    let mut bytes = Vec::new();
    for chunk in chunks.clone() {
        let chunk = usize::try_from(chunk).ok()?;
        let place = |index: usize| usize::try_from(*places.get(index)?).ok();
        let packed = xorb.get(place(chunk)?..place(chunk + 1)?)?;
        let (head, content) = packed.split_at_checked(CHUNK_HEAD)?;
        bytes.extend_from_slice((head[4] == 0).then_some(content)?);
    }
    Some(bytes)
}

/// Where each chunk of a xorb begins, and where the last one ends; `None` where it is cut off.
pub(super) fn chunk_places(xorb: &[u8]) -> Option<Vec<u64>> {
    let mut at = 0;
    let mut places = vec![0];
    while at < xorb.len() && !xorb[at..].starts_with(XORB_FOOTER) {
        let head = xorb.get(at..at + CHUNK_HEAD)?;
        let length = number(&[head[1], head[2], head[3], 0]);
        at += CHUNK_HEAD + usize::try_from(length).ok()?;
        if at > xorb.len() {
            return None;
        }
        places.push(at as u64);
    }
    Some(places)
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// As Xet writes hashes: four numbers of 64 bits, each from its little-endian bytes (`merklehash/data_hash.rs`, `hex`).
fn hash(bytes: &[u8]) -> String {
    let numbers = bytes.chunks_exact(8);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    numbers
        .map(|bytes| format!("{:016x}", number(bytes)))
        .collect()
}
