//! Detects a request that loops through gitferry and one hop.
//!
//! A name or a mark in the request ends a loop in its first round (`net::dial::trail`). Proxies may drop both, and SOCKS carries neither.
//! Then many requests for one target wait for the hop, which may also come from many clients. But in a loop, each request arrives because
//! the one before was sent on. So where many requests wait, gitferry holds the next one for longer than any recent gap between two arrivals.
//! From many clients, other requests arrive or are answered meanwhile. In a loop nothing happens, and the next request arrives right after
//! the held one is sent on. Several such observations in a row prove a loop.

use std::time::Duration;

use tokio::time::Instant;

/// Requests are held only where this many wait. Clients send a few dozen at once at most.
const WAITING_BEFORE_HOLD: usize = 16;
/// Then one in this many is held.
const HOLD_EVERY: usize = 4;
/// This many observations in a row prove a loop: nothing happened while a request was held, and the next one arrived right after it.
const PROOF: u32 = 4;
/// The shortest time that a request is held.
const SHORTEST_HOLD: Duration = Duration::from_millis(200);
/// The longest round of a loop that is detected. A slower loop needs hours to use all client connections.
const SLOWEST_ROUND: Duration = Duration::from_secs(10);
/// How long a detected loop is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The requests for one target through one hop.
#[derive(Debug, Default)]
pub(crate) struct LoopDetector {
    waiting: usize,
    /// When the last one was sent on.
    sent: Option<Instant>,
    /// The last gaps, each from sending a request on to the next arrival.
    gaps: [Option<Duration>; GAPS],
    at: usize,
    /// The number of requests held now.
    held: usize,
    /// True where nothing happened while the request that was sent on last was held.
    silent: bool,
    suspicion: u32,
    known_until: Option<Instant>,
}

/// The number of gaps remembered.
const GAPS: usize = 8;

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopDecision {
    /// Send it on.
    Send,
    /// Hold it for this long, or until [`LoopDetector::note_response`].
    Hold(Duration),
    /// End it: it is one round of a loop.
    Reject,
}

/// Why a held request is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Its time passed, and no other request arrived or was answered.
    Silence,
    /// Another request arrived or was answered, or its client disconnected.
    Moved,
}

impl LoopDetector {
    /// Records the arrival of a request, and decides about it.
    pub(crate) fn arrive(&mut self, now: Instant) -> LoopDecision {
        self.waiting += 1;
        if self.is_known(now) {
            return LoopDecision::Reject;
        }
        let gap = self.sent.map(|sent| now.saturating_duration_since(sent));
        let prompt = gap.zip(self.longest_gap());
        let prompt = prompt.is_some_and(|(gap, usual)| gap <= usual * 2 + SHORTEST_HOLD / 4);
        if self.held > 0 || std::mem::take(&mut self.silent) && !prompt {
            self.suspicion = 0;
        }
        if let Some(place) = self.gaps.get_mut(self.at) {
            *place = gap;
        }
        self.at = (self.at + 1) % GAPS;
        let due = self.waiting >= WAITING_BEFORE_HOLD && self.waiting.is_multiple_of(HOLD_EVERY);
        match self
            .longest_gap()
            .filter(|usual| due && *usual <= SLOWEST_ROUND)
        {
            Some(usual) => {
                self.held += 1;
                LoopDecision::Hold(usual * 3 + SHORTEST_HOLD)
            }
            None => {
                self.sent = Some(now);
                LoopDecision::Send
            }
        }
    }

    /// Releases a held request, and decides about it.
    pub(crate) fn release(&mut self, how: Release, now: Instant) -> LoopDecision {
        self.held = self.held.saturating_sub(1);
        if self.is_known(now) {
            return LoopDecision::Reject;
        }
        self.sent = Some(now);
        self.silent = how == Release::Silence;
        if !self.silent {
            self.suspicion = 0;
            return LoopDecision::Send;
        }
        self.suspicion += 1;
        if self.suspicion < PROOF {
            return LoopDecision::Send;
        }
        self.suspicion = 0;
        self.known_until = Some(now + REMEMBERED);
        LoopDecision::Reject
    }

    /// True where an arrival or a response releases the held requests.
    pub(crate) fn has_held(&self) -> bool {
        self.held > 0
    }

    /// Records a response. In a loop there is none.
    pub(crate) fn note_response(&mut self) {
        self.suspicion = 0;
        self.silent = false;
    }

    /// Records that a request no longer waits.
    pub(crate) fn depart(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// True where there is no state to remember.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.waiting == 0 && self.held == 0 && !self.is_known(now)
    }

    fn is_known(&self, now: Instant) -> bool {
        self.known_until.is_some_and(|until| now < until)
    }

    /// The longest of the last gaps; `None` while there are too few.
    fn longest_gap(&self) -> Option<Duration> {
        let gaps: Option<Vec<Duration>> = self.gaps.iter().copied().collect();
        gaps?.into_iter().max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests arrive at `times` and none is answered. Returns the number of arrivals before a loop was detected.
    fn crowd(times: &[Duration]) -> Option<usize> {
        let start = Instant::now();
        let mut rounds = LoopDetector::default();
        // The end of the current hold.
        let mut held: Vec<Instant> = Vec::new();
        for (n, time) in times.iter().enumerate() {
            let now = start + *time;
            held.sort_unstable();
            for until in std::mem::take(&mut held) {
                // A further arrival releases it.
                let how = match until <= now {
                    true => Release::Silence,
                    false => Release::Moved,
                };
                if rounds.release(how, until.min(now)) == LoopDecision::Reject {
                    return Some(n);
                }
            }
            match rounds.arrive(now) {
                LoopDecision::Send => {}
                LoopDecision::Hold(wait) => held.push(now + wait),
                LoopDecision::Reject => return Some(n),
            }
        }
        None
    }

    #[test]
    fn a_loop_is_detected_within_40_rounds() {
        for round in [0, 1, 20, 100, 300, 1_500, 8_000] {
            let mut random = fastrand::Rng::with_seed(round);
            let mut rounds = LoopDetector::default();
            let mut now = Instant::now();
            let begun = now;
            let mut turns = 0;
            loop {
                turns += 1;
                let mut next = rounds.arrive(now);
                if let LoopDecision::Hold(wait) = next {
                    now += wait;
                    next = rounds.release(Release::Silence, now);
                }
                if next == LoopDecision::Reject {
                    break;
                }
                let jitter = random.u64(..=round / 4 + 1);
                now += Duration::from_millis(round + jitter);
                assert!(turns < 40, "a round takes {round} ms");
            }
            let limit = Duration::from_secs(10) + Duration::from_millis(round) * 60;
            assert!(now - begun < limit, "{:?}", now - begun);
            // The client repeats its request at once.
            assert_eq!(rounds.arrive(now), LoopDecision::Reject);
            assert!(!rounds.is_over(now));
        }
    }

    #[test]
    fn many_clients_at_random_times_are_no_loop() {
        let mut wrong = 0;
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            // From a burst to one every ten seconds, at random times.
            let mean = [0.0, 0.001, 0.01, 0.1, 0.3, 0.7, 2.0, 5.0, 10.0][random.usize(..9)];
            let mut time = 0.0;
            let times: Vec<Duration> = (0..200)
                .map(|_| {
                    time += -mean * random.f64().max(1e-9).ln();
                    Duration::from_secs_f64(time)
                })
                .collect();
            wrong += usize::from(crowd(&times).is_some());
        }
        assert_eq!(wrong, 0);
    }

    #[test]
    fn many_clients_at_regular_intervals_are_no_loop() {
        for pause in [
            0, 1, 10, 50, 100, 200, 250, 300, 500, 900, 2_000, 5_000, 9_000,
        ] {
            let times: Vec<Duration> = (0..300).map(|n| Duration::from_millis(n * pause)).collect();
            assert_eq!(crowd(&times), None, "one every {pause} ms");
        }
    }

    #[test]
    fn a_response_resets_the_suspicion() {
        let mut rounds = LoopDetector::default();
        let now = Instant::now();
        for _ in 1..WAITING_BEFORE_HOLD {
            assert_eq!(rounds.arrive(now), LoopDecision::Send);
        }
        for _ in 0..3 * PROOF {
            while !matches!(rounds.arrive(now), LoopDecision::Hold(_)) {}
            assert!(rounds.has_held());
            assert_eq!(rounds.release(Release::Silence, now), LoopDecision::Send);
            rounds.note_response();
        }
    }
}
