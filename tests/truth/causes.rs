//! The rows.

use crate::{
    clients::Client,
    faults::{self, Inject},
    scene::Exposure,
};

use After::{AtOnce, Dial, Drain, Stall};
use Exposure::{Batch, Download, Killed, Name, Site, Upload};

/// One row: a cause, and the first line that the log must have about it.
pub(crate) struct Cause {
    /// Its name.
    pub(crate) name: &'static str,
    /// The part of the conversation that it affects.
    pub(crate) what: Exposure,
    /// Injects it.
    pub(crate) inject: Inject,
    /// The code of the first line, for git, git-lfs and hf; `None` where the cause does not affect the client.
    pub(crate) expected: [Option<&'static str>; 3],
    /// When: which limit has to pass first.
    pub(crate) after: After,
}

/// The limit that must pass before the log can name the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// None: the cause is known at once.
    AtOnce,
    /// What the client sent is passed on first.
    Drain,
    /// One attempt of `dial` (10 to 15 s on defaults).
    Dial,
    /// `stall.after`, and a quarter for what awaits its answer.
    Stall,
}

impl Cause {
    /// The expected code for this client.
    pub(crate) fn expected(&self, client: Client) -> Option<&'static str> {
        self.expected[client as usize]
    }
}

/// A row: the cause, what it affects, how it is injected, which limit passes first, and the expected code: one, or one for each client.
macro_rules! causes {
    ($($name:literal: $what:ident, $inject:ident, $after:ident => [$($code:expr),+];)*) => {
        &[$( Cause { name: $name, what: $what, inject: faults::$inject, after: $after, expected: codes(&[$($code),+]) }, )*]
    };
}

/// One code for all, or one for each client: `""` where the cause does not affect the client.
const fn codes(codes: &[&'static str]) -> [Option<&'static str>; 3] {
    let [git, lfs, hf] = match codes {
        [all] => [*all; 3],
        [git, lfs, hf] => [*git, *lfs, *hf],
        _ => panic!("one code, or three"),
    };
    [some(git), some(lfs), some(hf)]
}

const fn some(code: &'static str) -> Option<&'static str> {
    if code.is_empty() { None } else { Some(code) }
}

/// The line for a site that may only be slow; it is not a stall yet.
pub(crate) const WAITS: &str = "waiting for the answer";
const NO_ANSWER: &str = "origin/awaiting-head/stalled-no-answer";
const NOT_READING: &str = "origin/sending-body/stalled-peer-not-reading";

/// The table.
pub(crate) const CAUSES: &[Cause] = causes! {
    "the name does not resolve": Name, no_name, AtOnce => ["origin/resolving/name-unknown"];
    "the connection is refused": Site, refused, AtOnce => ["origin/connecting/refused"];
    "no route to the host": Site, unreachable, AtOnce => ["origin/connecting/unreachable"];
    "TCP is silent": Site, black_hole, Dial => ["origin/connecting/timed-out"];
    "the handshake is reset": Site, handshake_reset, AtOnce => ["origin/handshaking/reset"];
    "the handshake is closed": Site, handshake_closed, AtOnce => ["origin/handshaking/closed-early"];
    "the handshake is silent": Site, handshake_silent, Dial => ["origin/handshaking/timed-out"];
    "a filter of names resets": Site, name_filter, AtOnce => ["origin/handshaking/reset"];
    "the certificate has expired": Site, expired, AtOnce => ["origin/handshaking/expired"];
    "not yet valid, or a wrong clock": Site, not_yet_valid, AtOnce => ["origin/handshaking/not-yet-valid"];
    "the certificate is for another name": Site, wrong_name, AtOnce => ["origin/handshaking/name-mismatch"];
    "a self-signed certificate": Site, self_signed, AtOnce => ["origin/handshaking/unknown-issuer"];
    "a middlebox with its own CA": Site, middlebox, AtOnce => ["origin/handshaking/unknown-issuer"];
    "TLS 1.1 only": Site, legacy, AtOnce => ["origin/handshaking/alert-protocol-version"];
    "a client certificate is wanted": Site, client_certificate, AtOnce => ["origin/handshaking/alert-certificate-required"];
    "garbage in place of TLS": Site, garbage, AtOnce => ["origin/handshaking/bad-answer"];
    "a captive portal": Site, portal, AtOnce => ["origin/handshaking/bad-answer"];
    "the hop is dead": Site, hop_dead, AtOnce => ["hop/connecting/refused"];
    "the hop's name does not resolve": Site, hop_unknown, AtOnce => ["hop/resolving/name-unknown"];
    "the hop is silent": Site, hop_silent, Dial => ["hop/greeting/timed-out"];
    "the hop wants a password": Site, hop_407, AtOnce => ["hop/greeting/hop-authentication"];
    "the hop forbids the host": Site, hop_403, AtOnce => ["hop/greeting/hop-refused-403"];
    "the hop cannot reach the host": Site, hop_502, AtOnce => ["hop/greeting/hop-refused-502"];
    "an upload frozen at byte 0": Upload, frozen_at_zero, Stall => [NOT_READING];
    "an upload frozen midway": Upload, frozen_midway, Stall => [NOT_READING];
    "an upload reset midway": Upload, reset_midway, AtOnce => ["origin/sending-body/reset"];
    "an upload without an answer": Upload, answer_held, Stall => [WAITS, NO_ANSWER, NO_ANSWER];
    "no request is answered": Site, never_answers, Stall => [WAITS, NO_ANSWER, WAITS];
    "the LFS batch is not answered": Batch, never_answers, Stall => ["", NO_ANSWER, ""];
    "an answer that stops": Download, answer_stops, Stall => ["origin/receiving-body/stalled-answer-stopped"];
    "an answer that is cut": Download, answer_cut, AtOnce => ["origin/receiving-body/closed-early"];
    "an answer that is reset": Download, answer_reset, AtOnce => ["origin/receiving-body/reset"];
    "the site says 401": Site, says_401, AtOnce => ["status 401"];
    "the site says 403": Site, says_403, AtOnce => ["status 403"];
    "the site says 404": Site, says_404, AtOnce => ["status 404"];
    "the site says 413": Upload, says_413, AtOnce => ["status 413"];
    // With `Retry-After`, what may be asked again is asked again.
    "the site says 429": Site, says_429, AtOnce => ["origin/awaiting-head/answered-429", "status 429", "status 429"];
    "the site says 500": Site, says_500, AtOnce => ["status 500"];
    "the site says 503": Site, says_503, AtOnce => ["origin/awaiting-head/answered-503"];
    // hf has given all of its small file to the kernel by then.
    "the client is killed": Killed, slow, Drain => ["client/sending-body/gone", "client/sending-body/gone", ""];
    "the spool's disk is full": Upload, full_disk, AtOnce => ["", "upload no longer kept for replay", ""];
    "nothing is wrong": Upload, nothing, AtOnce => ["", "", ""];
};
