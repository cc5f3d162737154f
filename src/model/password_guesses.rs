//! Limits how fast a client can guess the password of `[listen]`.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::time::Instant;

use super::access::SocketOwner;

use crate::sync::Mutex;

/// Up to this many wrong credentials count as typing mistakes.
const FREE: u32 = 5;
/// The first pause after them; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest that a request waits until its credentials are checked.
const PATIENCE: Duration = Duration::from_secs(10);
/// A source without attempts for this long starts again at zero.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// The largest number of sources that are remembered; further ones count together.
const LIMIT: usize = 1024;

/// Wrong credentials by source. `now` is an argument.
#[derive(Debug, Default)]
pub(crate) struct PasswordGuesses(Mutex<HashMap<GuessSource, FailedLogins>>);

/// The sender of guesses. One guesser may have many addresses, on loopback (127.0.0.0/8) and in an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GuessSource {
    /// A local user.
    User(u32),
    /// This machine, where the kernel does not report the user.
    Loopback,
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: a network is assigned to one customer (RFC 6177).
    Network(u64),
    /// Everybody beyond [`LIMIT`].
    Others,
}

impl GuessSource {
    /// The source of a client with this address.
    pub(crate) fn of(address: IpAddr, owner: Option<SocketOwner>) -> Self {
        match (owner, address.to_canonical()) {
            (Some(SocketOwner::User(uid)), _) => Self::User(uid),
            (_, address) if address.is_loopback() => Self::Loopback,
            (_, IpAddr::V4(address)) => Self::Address(address),
            (_, IpAddr::V6(address)) => Self::Network((address.to_bits() >> 64) as u64),
        }
    }
}

#[derive(Debug)]
struct FailedLogins {
    count: u32,
    last: Instant,
    /// When the next credentials are checked.
    next: Instant,
}

impl PasswordGuesses {
    /// The time to check credentials from `source`: now, or one after the other once there were too many wrong ones. `None` where too many
    /// requests wait already.
    pub(crate) fn next_check(&self, source: GuessSource, now: Instant) -> Option<Instant> {
        let mut all = self.0.lock();
        let source = counted(&all, source);
        let Some(wrong) = all.get_mut(&source).filter(|wrong| wrong.count > FREE) else {
            return Some(now);
        };
        let turn = wrong.next.max(now);
        if turn - now > PATIENCE {
            return None;
        }
        wrong.next = turn + pause(wrong.count);
        Some(turn)
    }

    /// Records right credentials: later requests do not wait because of them.
    pub(crate) fn note_right(&self, source: GuessSource, now: Instant) {
        let mut all = self.0.lock();
        let source = counted(&all, source);
        if let Some(wrong) = all.get_mut(&source) {
            wrong.next = wrong.next.min(now);
        }
    }

    /// Records wrong credentials.
    pub(crate) fn note_wrong(&self, source: GuessSource, now: Instant) {
        let mut all = self.0.lock();
        all.retain(|_, wrong| now.saturating_duration_since(wrong.last) < FORGOTTEN);
        let source = counted(&all, source);
        let wrong = all.entry(source).or_insert(FailedLogins {
            count: 0,
            last: now,
            next: now,
        });
        (wrong.count, wrong.last) = (wrong.count.saturating_add(1), now);
        wrong.next = wrong.next.max(now);
    }
}

/// The source under which the guesses of `source` are counted. A full table forgets no source, or a guesser with enough addresses could
/// make every guess the first one.
fn counted(all: &HashMap<GuessSource, FailedLogins>, source: GuessSource) -> GuessSource {
    match all.len() < LIMIT || all.contains_key(&source) {
        true => source,
        false => GuessSource::Others,
    }
}

fn pause(count: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << count.saturating_sub(FREE + 1).min(10));
    doubled.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: GuessSource = GuessSource::Loopback;

    #[test]
    fn a_guesser_has_fewer_than_800_guesses_an_hour() {
        let begin = Instant::now();
        let (guesses, mut now, mut made) = (PasswordGuesses::default(), begin, 0);
        while now - begin < Duration::from_secs(3600) {
            now = guesses.next_check(HERE, now).unwrap();
            guesses.note_wrong(HERE, now);
            made += 1;
        }
        assert!(made < 800, "{made}");
    }

    #[test]
    fn concurrent_guesses_are_checked_one_after_the_other_and_too_many_are_not_checked() {
        let now = Instant::now();
        let guesses = PasswordGuesses::default();
        for _ in 0..=FREE {
            assert_eq!(guesses.next_check(HERE, now), Some(now));
            guesses.note_wrong(HERE, now);
        }
        let turns: Vec<_> = (0..1000).map(|_| guesses.next_check(HERE, now)).collect();
        let checked = turns.iter().flatten().count();
        assert!((2..=102).contains(&checked), "{checked}");
        assert_eq!(turns.last(), Some(&None));
        // Another source is not affected.
        assert_eq!(guesses.next_check(GuessSource::User(7), now), Some(now));
    }

    #[test]
    fn the_addresses_of_one_guesser_are_one_source() {
        let of = |address: &str| GuessSource::of(address.parse().unwrap(), None);
        assert_eq!(of("127.0.0.1"), of("127.255.3.4"));
        assert_eq!(of("127.0.0.1"), of("::1"));
        assert_eq!(of("127.0.0.1"), of("::ffff:127.0.0.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        let user =
            |uid| GuessSource::of("127.0.0.1".parse().unwrap(), Some(SocketOwner::User(uid)));
        assert_ne!(user(1), user(2));
    }

    #[test]
    fn a_guesser_with_more_addresses_than_are_remembered_is_slowed_down_too() {
        let now = Instant::now();
        let guesses = PasswordGuesses::default();
        let sources = (0..u32::MAX).map(|bits| GuessSource::Address(bits.into()));
        let checked = sources.take(3 * LIMIT).filter(|source| {
            let turn = guesses.next_check(*source, now);
            guesses.note_wrong(*source, now);
            turn == Some(now)
        });
        assert!(checked.count() <= LIMIT + FREE as usize + 2);
    }

    #[test]
    fn right_credentials_after_wrong_ones_do_not_wait() {
        let now = Instant::now();
        let guesses = PasswordGuesses::default();
        for _ in 0..20 {
            guesses.note_wrong(HERE, now);
        }
        for _ in 0..100 {
            assert_eq!(guesses.next_check(HERE, now), Some(now));
            guesses.note_right(HERE, now);
        }
    }
}
