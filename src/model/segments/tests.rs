use std::collections::BTreeMap;

use super::*;

const MIB: u64 = 1 << 20;

fn limits(connections: usize, memory: u64) -> SegmentLimits {
    SegmentLimits {
        connections,
        memory,
        begin_after: Duration::from_secs(2),
    }
}

fn all(plan: &mut Segments) -> Vec<(u64, Range<u64>)> {
    std::iter::from_fn(|| plan.next_fetch(u64::MAX)).collect()
}

#[test]
fn a_download_is_segmented_where_its_rest_takes_long_and_the_origin_is_slow() {
    let usual = limits(6, 64 * MIB);
    let pace = |length: u64, delivered, seconds| Pace {
        rest: length - delivered,
        elapsed: Duration::from_secs(seconds),
        recent: PaceSample {
            delivered,
            later: delivered / 2,
            took: Duration::from_secs(seconds),
            waited: Duration::from_secs(seconds),
        },
        has_gaps: false,
        has_halves: true,
    };
    let worth = |length, received, seconds| is_worth_it(&usual, &pace(length, received, seconds));
    assert!(worth(6 * MIB, MIB / 4, 2));
    assert!(!worth(2 * MIB, MIB / 4, 1), "it has not run for long");
    assert!(
        worth(90 * MIB, MIB, 1),
        "the rest takes a minute and a half"
    );
    assert!(!worth(90 * MIB, 0, 1), "its pace is unknown");
    assert!(!worth(6 * MIB, 4 * MIB, 2), "it is over soon");
    assert!(!worth(400 << 10, 0, 9), "it is small");
    assert!(!worth(900 * MIB, 90 * MIB, 2), "the path is fast");
    let mut grows = pace(90 * MIB, MIB, 2);
    grows.recent.later = MIB / 10 * 8;
    assert!(!is_worth_it(&usual, &grows), "it becomes faster");
    grows.has_gaps = true;
    grows.has_halves = false;
    assert!(is_worth_it(&usual, &grows), "it lost a packet");
    let mut early = pace(90 * MIB, MIB / 4, 1);
    early.elapsed = Duration::from_millis(300);
    early.recent.took = early.elapsed;
    assert!(!is_worth_it(&usual, &early), "too early to say");
    early.has_gaps = true;
    assert!(is_worth_it(&usual, &early), "it lost a packet early");
    let one = limits(1, 64 * MIB);
    assert!(!is_worth_it(&one, &pace(6 * MIB, 0, 9)));
    let mut client_is_slow = pace(6 * MIB, MIB / 4, 9);
    client_is_slow.recent.waited = Duration::from_millis(100);
    assert!(!is_worth_it(&usual, &client_is_slow));
    // The first two seconds brought 3 MiB, before the path lost a packet: at the average rate the rest would end soon.
    let mut slows_down = pace(6 * MIB, 3 * MIB, 4);
    slows_down.recent.delivered = MIB / 4;
    slows_down.recent.later = MIB / 8;
    slows_down.recent.took = Duration::from_secs(1);
    assert!(is_worth_it(&usual, &slows_down));
}

#[test]
fn the_rest_is_split_evenly_and_the_first_connection_keeps_one_part() {
    let mut plan = Segments::new(limits(4, 64 * MIB), 8 * MIB, 0);
    assert_eq!(
        all(&mut plan),
        [
            (1, 2 * MIB..4 * MIB),
            (2, 4 * MIB..6 * MIB),
            (3, 6 * MIB..8 * MIB)
        ]
    );
    assert_eq!(plan.source(), NextBytes::First { most: 2 * MIB });
}

#[test]
fn memory_limits_the_requested_ranges_and_without_any_the_first_connection_goes_on() {
    let mut plan = Segments::new(limits(6, 2 * MIB), 600 * MIB, 0);
    all(&mut plan);
    assert!(plan.held_bytes() <= 2 * MIB, "{}", plan.held_bytes());
    let mut plan = Segments::new(limits(6, 20 * MIB), 600 * MIB, 0);
    plan.note_first_received(plan.stop());
    plan.note_delivered(plan.stop());
    assert_eq!(plan.next_fetch(0), None);
    plan.extend();
    assert_eq!(plan.source(), NextBytes::First { most: SMALLEST });
}

#[test]
fn a_free_connection_takes_half_of_the_largest_remaining_part() {
    let mut plan = Segments::new(limits(2, 64 * MIB), 4 * MIB, 0);
    let (id, range) = plan.next_fetch(u64::MAX).unwrap();
    assert_eq!(range, 2 * MIB..4 * MIB);
    let all = plan.note_received(id, 2 * MIB as usize).unwrap();
    assert_eq!((all.skip, all.keep), (0, 2 * MIB as usize));
    assert_eq!(plan.remaining(id), None);
    // The first connection is slow: the free one takes half of its part.
    let (id, range) = plan.next_fetch(u64::MAX).unwrap();
    assert_eq!(range, MIB..2 * MIB);
    assert_eq!(plan.source(), NextBytes::First { most: MIB });
    assert_eq!(plan.remaining(id), Some(MIB..2 * MIB));
}

#[test]
fn the_range_that_the_client_waits_for_is_fetched_twice_and_each_byte_is_kept_once() {
    let mut plan = Segments::new(limits(2, 64 * MIB), 512 << 10, 0);
    plan.note_first_received(256 << 10);
    plan.note_delivered(256 << 10);
    let (one, _) = plan.next_fetch(u64::MAX).unwrap();
    plan.note_received(one, 200 << 10);
    // Too little is left to split it.
    let (two, range) = plan.next_fetch(u64::MAX).unwrap();
    assert_eq!(range, (456 << 10)..(512 << 10));
    plan.note_received(one, 10 << 10);
    let wanted = plan.note_received(two, 30 << 10).unwrap();
    assert_eq!((wanted.skip, wanted.keep), (10 << 10, 20 << 10));
    plan.note_received(two, 26 << 10);
    assert_eq!((plan.remaining(one), plan.remaining(two)), (None, None));
}

#[test]
fn segments_are_given_up_where_fetches_break_after_few_bytes_and_not_after_many() {
    for (brings, lasts) in [(PROGRESS, false), (SMALLEST, true)] {
        let mut plan = Segments::new(limits(2, 64 * MIB), 600 * MIB, 0);
        for _ in 0..100 {
            let Some((id, _)) = plan.next_fetch(u64::MAX) else {
                break;
            };
            plan.note_received(id, brings as usize);
            plan.note_failed_fetch(id);
        }
        assert_eq!(!plan.is_given_up(), lasts, "{brings}");
        assert_eq!(plan.is_breaking(), !lasts);
    }
}

#[test]
fn after_segments_are_given_up_the_first_connection_skips_what_was_delivered() {
    let mut plan = Segments::new(limits(3, 64 * MIB), 3 * MIB, 0);
    let (one, _) = plan.next_fetch(u64::MAX).unwrap();
    plan.note_first_received(MIB);
    plan.note_delivered(MIB);
    plan.note_received(one, MIB as usize / 2);
    plan.give_up();
    assert_eq!(plan.next_fetch(u64::MAX), None);
    assert!(matches!(plan.source(), NextBytes::Range { ready, .. } if ready == MIB / 2));
    plan.note_delivered(MIB / 2);
    assert_eq!(plan.first_skips(), MIB / 2);
    let most = 3 * MIB / 2;
    assert_eq!(plan.source(), NextBytes::First { most });
    plan.note_first_received(2 * MIB);
    plan.note_delivered(most);
    assert_eq!(plan.source(), NextBytes::Done);
}

#[test]
fn a_first_connection_that_breaks_is_replaced_by_ranges() {
    let mut plan = Segments::new(limits(3, 64 * MIB), 3 * MIB, 0);
    all(&mut plan);
    plan.note_first_received(MIB / 2);
    plan.note_delivered(MIB / 2);
    plan.note_first_failed();
    let (_, range) = plan.next_fetch(u64::MAX).unwrap();
    assert_eq!(range, MIB / 2..MIB);
    plan.give_up();
    assert_eq!(plan.source(), NextBytes::NoSource);
}

#[test]
fn a_silent_first_connection_stays_open_while_ranges_take_its_part() {
    let mut plan = Segments::new(limits(3, 64 * MIB), 3 * MIB, 0);
    all(&mut plan);
    plan.note_first_received(MIB / 2);
    plan.note_delivered(MIB / 2);
    plan.skip_first();
    assert!(plan.waits_for_fetch());
    let (_, range) = plan.next_fetch(u64::MAX).unwrap();
    assert_eq!(range, MIB / 2..MIB);
    assert!(!plan.waits_for_fetch());
    plan.give_up();
    let most = 5 * MIB / 2;
    assert_eq!(plan.source(), NextBytes::First { most });
}

#[test]
fn without_memory_the_client_never_waits_for_bytes_that_it_has() {
    let mut plan = Segments::new(limits(2, 64 * MIB), 100 * MIB, 0);
    let (id, range) = plan.next_fetch(u64::MAX).unwrap();
    plan.note_first_received(range.start);
    plan.note_delivered(range.start);
    let count = range.end - range.start;
    plan.note_received(id, count as usize);
    plan.note_delivered(count);
    assert_eq!(plan.next_fetch(0), None);
    plan.extend();
    assert!(plan.waits_for_fetch(), "{:?}", plan.source());
    let (_, next) = plan.next_fetch(0).unwrap();
    assert_eq!(next, range.end..range.end + SMALLEST);
}

/// A simulated download whose connections deliver and break at random.
struct SegmentsRun {
    random: fastrand::Rng,
    plan: Segments,
    delivered: u64,
    /// The position of each fetch.
    fetches: BTreeMap<u64, u64>,
    /// The bytes that the ranges received.
    received: Vec<Range<u64>>,
}

impl SegmentsRun {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let length = random.u64(600 << 10..40 * MIB);
        let limits = limits(random.usize(2..9), random.u64(MIB..16 * MIB));
        let plan = Segments::new(limits, length, random.u64(0..length / 4));
        Self {
            delivered: plan.delivered,
            random,
            plan,
            fetches: BTreeMap::new(),
            received: Vec::new(),
        }
    }

    fn fetch(&mut self, failed_fetches: u32) {
        let plan = &mut self.plan;
        // Other downloads use all the memory now and then.
        let free = if self.random.bool() { u64::MAX } else { 0 };
        while let Some((id, range)) = plan.next_fetch(free) {
            self.fetches.insert(id, range.start);
        }
        let ids: Vec<u64> = self.fetches.keys().copied().collect();
        for id in ids {
            if self.random.u32(0..1000) < failed_fetches {
                plan.note_failed_fetch(id);
                continue;
            }
            let Some(left) = plan.remaining(id) else {
                continue;
            };
            assert_eq!(left.start, self.fetches[&id]);
            let count = self.random.usize(0..200_000);
            let wanted = plan.note_received(id, count).unwrap();
            let from = left.start + wanted.skip as u64;
            self.received.push(from..from + wanted.keep as u64);
            self.fetches.insert(id, from + wanted.keep as u64);
        }
        self.fetches.retain(|id, _| plan.remaining(*id).is_some());
        assert!(self.fetches.len() <= plan.limits.connections);
        assert!(plan.held_bytes() <= plan.limits.memory + LARGEST);
    }

    fn deliver(&mut self) -> NextBytes {
        let source = self.plan.source();
        match source {
            NextBytes::First { most } => {
                let skips = self.plan.first_skips();
                let count = self.random.u64(0..100_000).min(skips + most);
                self.plan.note_first_received(count);
                self.note_delivered(count.saturating_sub(skips));
            }
            NextBytes::Range { ready, .. } => {
                let count = ready.min(self.random.u64(1..400_000));
                let covered = |byte: u64| self.received.iter().any(|range| range.contains(&byte));
                let (from, last) = (self.delivered, (self.delivered + count).saturating_sub(1));
                assert!(count == 0 || covered(from) && covered(last));
                self.note_delivered(count);
            }
            NextBytes::NoSource => self.plan.extend(),
            NextBytes::Done => assert_eq!(self.delivered, self.plan.length),
        }
        source
    }

    fn note_delivered(&mut self, count: u64) {
        self.plan.note_delivered(count);
        self.delivered += count;
    }
}

#[test]
fn every_byte_is_delivered_once_and_in_order_whatever_breaks() {
    for seed in 0..300 {
        let mut play = SegmentsRun::new(seed);
        let failed_fetches = play.random.u32(0..60);
        let first_breaks = play.random.u32(0..3) == 0;
        let done = (0..200_000).any(|round| {
            if first_breaks && round == 20 {
                play.plan.note_first_failed();
            }
            if play.random.u32(0..50) == 0 {
                play.plan.skip_first();
            }
            play.fetch(failed_fetches);
            match play.deliver() {
                NextBytes::Done => true,
                // No connection is left, so the download breaks off.
                NextBytes::NoSource => play.plan.first.is_none(),
                NextBytes::First { .. } | NextBytes::Range { .. } => false,
            }
        });
        assert!(done, "seed {seed}: no end: {:?}", play.plan);
    }
}
