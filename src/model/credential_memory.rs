//! Which credential belongs to which host, for clients that cannot tell hosts apart.
//!
//! On the reverse front every host has the daemon's name, so a client that follows a redirect to another host sends the first host's
//! credentials along. This memory decides which credentials may be forwarded. It holds salted hashes and times, no credential.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use super::{Scheme, Target};

use crate::sync::Mutex;

/// Scheme, host and port: what a credential is for (RFC 9110, section 4.3.1).
pub(crate) type CredentialOrigin = (Scheme, Target);

/// A value that may authorize its bearer to act as the user.
#[derive(Clone, Copy, Hash)]
pub(crate) struct Credential<'c> {
    /// The name of its field, in lower case.
    pub(crate) field: &'c str,
    /// The value, or one cookie of it.
    pub(crate) value: &'c [u8],
}

/// How long an entry is remembered after the last request that used it: longer than a client takes to pack objects between two requests of
/// one push.
const KEPT: Duration = Duration::from_secs(30 * 60);
const CLEANED_EVERY: Duration = Duration::from_secs(60);
/// The largest number of entries of one kind: more than the clients of one user cause in that time. Beyond it the oldest are forgotten.
const LIMIT: usize = 4096;

/// The observed credentials and redirects. `now` is an argument.
#[derive(Debug, Default)]
pub(crate) struct CredentialMemory {
    salt: RandomState,
    seen: Mutex<CredentialUses>,
}

#[derive(Debug, Default)]
struct CredentialUses {
    /// The credential, by its hash, was sent to the origin.
    used: HashMap<(u64, CredentialOrigin), Instant>,
    /// Redirects led from the first origin to the second, directly or over others.
    redirected: HashMap<(CredentialOrigin, CredentialOrigin), Instant>,
    /// The origin has asked for credentials.
    asked: HashMap<CredentialOrigin, Instant>,
    /// When the old entries were last removed.
    cleaned_at: Option<Instant>,
}

impl CredentialMemory {
    /// True where `credential` may go to `origin`: it was used there before, the origin has asked for credentials, or no redirect led there
    /// from an origin where it was used. Remembers a permitted use.
    pub(crate) fn permit_use(
        &self,
        credential: Credential<'_>,
        origin: &CredentialOrigin,
        now: Instant,
    ) -> bool {
        let hash = self.hash(credential);
        let mut seen = self.seen.lock();
        seen.remove_old(now);
        let own = seen.used.contains_key(&(hash, origin.clone()));
        if !own
            && !seen.asked.contains_key(origin)
            && seen.was_redirected_from_use(hash, origin, now)
        {
            return false;
        }
        seen.used.insert((hash, origin.clone()), now);
        bound(&mut seen.used);
        true
    }

    /// Records that `from` redirects a client to `to`, in its response to a request with `credentials`. An origin that had redirected the client
    /// to `from` has then redirected it to `to` as well.
    pub(crate) fn note_redirect<'c>(
        &self,
        from: &CredentialOrigin,
        to: &CredentialOrigin,
        credentials: impl Iterator<Item = Credential<'c>>,
        now: Instant,
    ) {
        let hashes: Vec<u64> = credentials.map(|one| self.hash(one)).collect();
        let mut seen = self.seen.lock();
        // A response may take longer than entries are kept.
        for hash in hashes {
            seen.used.insert((hash, from.clone()), now);
        }
        let before = seen.redirected.keys().filter(|(_, to)| to == from);
        let mut origins: Vec<CredentialOrigin> = before.map(|(first, _)| first.clone()).collect();
        origins.push(from.clone());
        for first in origins {
            if first != *to {
                seen.redirected.insert((first, to.clone()), now);
            }
        }
        seen.bound();
    }

    /// Records that the origin answered 401: credentials that the client sends to it from now on are meant for it.
    pub(crate) fn note_challenge(&self, origin: &CredentialOrigin, now: Instant) {
        let mut seen = self.seen.lock();
        seen.asked.insert(origin.clone(), now);
        seen.bound();
    }

    /// Records that a response told the client to send each credential to its origin. A credential that was never used elsewhere needs no
    /// grant.
    pub(crate) fn note_grants<'c>(
        &self,
        granted: impl Iterator<Item = (Credential<'c>, CredentialOrigin)>,
        now: Instant,
    ) {
        let granted: Vec<_> = granted
            .map(|(credential, origin)| (self.hash(credential), origin))
            .collect();
        let mut seen = self.seen.lock();
        let known: HashSet<u64> = seen.used.keys().map(|(hash, _)| *hash).collect();
        let known = granted.into_iter().filter(|(hash, _)| known.contains(hash));
        seen.used.extend(known.map(|key| (key, now)));
        seen.bound();
    }

    /// Keyed with random numbers of this process (SipHash), so the hash is useless elsewhere.
    fn hash(&self, credential: Credential<'_>) -> u64 {
        self.salt.hash_one(credential)
    }
}

impl CredentialUses {
    /// True where a redirect led to `origin` from an origin where the credential was used. Extends the life of both entries.
    fn was_redirected_from_use(
        &mut self,
        hash: u64,
        origin: &CredentialOrigin,
        now: Instant,
    ) -> bool {
        let mut redirected = false;
        for ((from, to), at) in &mut self.redirected {
            if to == origin
                && let Some(used) = self.used.get_mut(&(hash, from.clone()))
            {
                redirected = true;
                (*at, *used) = (now, now);
            }
        }
        redirected
    }

    /// Removes old entries. It scans all of them, so it does so once a minute and not for each request.
    fn remove_old(&mut self, now: Instant) {
        let since = now.saturating_duration_since(*self.cleaned_at.get_or_insert(now));
        if since < CLEANED_EVERY {
            return;
        }
        self.cleaned_at = Some(now);
        let young = |at: &Instant| now.saturating_duration_since(*at) < KEPT;
        self.used.retain(|_, at| young(at));
        self.redirected.retain(|_, at| young(at));
        self.asked.retain(|_, at| young(at));
    }

    fn bound(&mut self) {
        bound(&mut self.used);
        bound(&mut self.redirected);
        bound(&mut self.asked);
    }
}

/// Removes the oldest half of a table that is too large.
fn bound<K: Hash + Eq>(map: &mut HashMap<K, Instant>) {
    if map.len() <= LIMIT {
        return;
    }
    let mut times: Vec<Instant> = map.values().copied().collect();
    times.sort_unstable();
    if let Some(middle) = times.get(times.len() / 2).copied() {
        map.retain(|_, at| *at > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str) -> Credential<'_> {
        Credential {
            field: "authorization",
            value: value.as_bytes(),
        }
    }

    fn origin(text: &str) -> CredentialOrigin {
        (Scheme::Https, Target::parse(text, Some(443)).unwrap())
    }

    /// A memory in which A received `token` and then redirected to B.
    fn after_a_redirect(now: Instant) -> CredentialMemory {
        let memory = CredentialMemory::default();
        assert!(memory.permit_use(token("token"), &origin("a.test"), now));
        memory.note_redirect(
            &origin("a.test"),
            &origin("b.test"),
            std::iter::empty(),
            now,
        );
        memory
    }

    #[test]
    fn a_credential_does_not_follow_redirects_to_other_hosts() {
        let now = Instant::now();
        let memory = after_a_redirect(now);
        assert!(!memory.permit_use(token("token"), &origin("b.test"), now));
        for next in ["b.test:8443", "c.test"] {
            memory.note_redirect(&origin("b.test"), &origin(next), std::iter::empty(), now);
            assert!(
                !memory.permit_use(token("token"), &origin(next), now),
                "{next}"
            );
        }
        // Another credential may go there, and the first host still gets its own.
        assert!(memory.permit_use(token("other"), &origin("b.test"), now));
        memory.note_redirect(
            &origin("b.test"),
            &origin("a.test"),
            std::iter::empty(),
            now,
        );
        assert!(memory.permit_use(token("token"), &origin("a.test"), now));
    }

    #[test]
    fn a_host_that_asked_for_credentials_or_had_this_one_before_gets_it() {
        let now = Instant::now();
        let memory = after_a_redirect(now);
        memory.note_challenge(&origin("b.test"), now);
        assert!(memory.permit_use(token("token"), &origin("b.test"), now));
        let memory = after_a_redirect(now);
        memory.note_grants([(token("token"), origin("b.test"))].into_iter(), now);
        assert!(memory.permit_use(token("token"), &origin("b.test"), now));
        // The user gave it to both sites before one redirected to the other.
        let memory = CredentialMemory::default();
        assert!(memory.permit_use(token("token"), &origin("b.test"), now));
        memory.note_redirect(
            &origin("a.test"),
            &origin("b.test"),
            std::iter::empty(),
            now,
        );
        assert!(memory.permit_use(token("token"), &origin("b.test"), now));
    }

    #[test]
    fn an_entry_in_use_is_kept_and_an_unused_one_expires() {
        let now = Instant::now();
        let memory = after_a_redirect(now);
        let b = origin("b.test");
        let mut at = now;
        for _ in 0..5 {
            at += KEPT / 2;
            assert!(!memory.permit_use(token("token"), &b, at));
        }
        assert!(memory.permit_use(token("token"), &b, at + KEPT));
    }

    #[test]
    fn a_redirect_counts_even_when_its_response_took_longer_than_entries_are_kept() {
        let now = Instant::now();
        let (memory, later) = (CredentialMemory::default(), now + 2 * KEPT);
        let (a, b) = (origin("a.test"), origin("b.test"));
        assert!(memory.permit_use(token("token"), &a, now));
        memory.note_redirect(&a, &b, [token("token")].into_iter(), later);
        assert!(!memory.permit_use(token("token"), &b, later));
    }

    #[test]
    fn the_memory_has_a_size_limit() {
        let now = Instant::now();
        let memory = CredentialMemory::default();
        for number in 0..3 * LIMIT as u64 {
            memory.note_challenge(
                &origin(&format!("a{number}.test")),
                now + Duration::from_millis(number),
            );
        }
        assert!(memory.seen.lock().asked.len() <= LIMIT);
    }
}
