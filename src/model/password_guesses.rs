//! Wrong credentials, and how long an address that sent them must wait for its next try.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Up to this many wrong credentials count as typing mistakes.
const FREE: u32 = 5;
/// The first pause after them; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// An address without attempts for this long starts again at zero.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// The most addresses remembered; beyond it, those without recent attempts are forgotten.
const LIMIT: usize = 1024;

/// Wrong credentials by address. `now` is an argument.
#[derive(Debug, Default)]
pub(crate) struct PasswordGuesses(Mutex<HashMap<IpAddr, FailedLogins>>);

#[derive(Debug)]
struct FailedLogins {
    count: u32,
    last: Instant,
    /// When the next credentials are checked.
    next: Instant,
}

impl PasswordGuesses {
    /// When credentials from `address` are checked. After wrong ones they are checked one after the other. `None` where too many wait already.
    pub(crate) fn next_check(&self, address: IpAddr, now: Instant) -> Option<Instant> {
        let mut all = self.lock();
        let Some(wrong) = all.get_mut(&address).filter(|wrong| wrong.count > FREE) else {
            return Some(now);
        };
        let turn = wrong.next.max(now);
        if turn - now > PATIENCE {
            return None;
        }
        wrong.next = turn + pause(wrong.count);
        Some(turn)
    }

    /// The credentials were right: requests no longer wait because of them.
    pub(crate) fn note_right(&self, address: IpAddr, now: Instant) {
        if let Some(wrong) = self.lock().get_mut(&address) {
            wrong.next = wrong.next.min(now);
        }
    }

    /// The credentials were wrong.
    pub(crate) fn note_wrong(&self, address: IpAddr, now: Instant) {
        let mut all = self.lock();
        all.retain(|_, wrong| now.saturating_duration_since(wrong.last) < FORGOTTEN);
        if all.len() >= LIMIT
            && !all.contains_key(&address)
            && let Some(quietest) = all.iter().min_by_key(|(_, wrong)| wrong.last)
        {
            let quietest = *quietest.0;
            all.remove(&quietest);
        }
        let wrong = all.entry(address).or_insert(FailedLogins {
            count: 0,
            last: now,
            next: now,
        });
        (wrong.count, wrong.last) = (wrong.count.saturating_add(1), now);
        wrong.next = wrong.next.max(now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, FailedLogins>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(count: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << count.saturating_sub(FREE + 1).min(10));
    doubled.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn guesses_get_slower_and_an_hour_of_them_are_few() {
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
    fn guesses_at_once_wait_for_one_another_and_then_are_not_looked_at() {
        let now = Instant::now();
        let guesses = PasswordGuesses::default();
        for _ in 0..=FREE {
            assert_eq!(guesses.next_check(HERE, now), Some(now));
            guesses.note_wrong(HERE, now);
        }
        let turns: Vec<_> = (0..1000).map(|_| guesses.next_check(HERE, now)).collect();
        let looked_at = turns.iter().flatten().count();
        assert!((2..=102).contains(&looked_at), "{looked_at}");
        assert_eq!(turns.last(), Some(&None));
        // Another address is not affected.
        assert_eq!(guesses.next_check("::1".parse().unwrap(), now), Some(now));
    }

    #[test]
    fn right_credentials_after_some_mistakes_do_not_wait_for_one_another() {
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
