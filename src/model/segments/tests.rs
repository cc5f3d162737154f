use std::collections::BTreeMap;

use super::*;

const MIB: u64 = 1 << 20;

fn settings(connections: usize, memory: u64) -> Settings {
    Settings {
        connections,
        memory,
        begin_after: Duration::from_secs(2),
    }
}

#[test]
fn only_what_still_takes_long_is_worth_it() {
    let usual = settings(6, 64 * MIB);
    let worth = |length, received, seconds| {
        is_worth_it(&usual, length, received, Duration::from_secs(seconds))
    };
    assert!(worth(6 * MIB, MIB / 4, 2));
    assert!(!worth(6 * MIB, MIB / 4, 1), "it has not run for long");
    assert!(!worth(6 * MIB, 4 * MIB, 2), "it is over soon");
    assert!(!worth(400 << 10, 0, 9), "it is small");
    let one = settings(1, 64 * MIB);
    assert!(!is_worth_it(&one, 6 * MIB, 0, Duration::from_secs(9)));
}

#[test]
fn the_rest_is_shared_out_and_the_first_connection_keeps_its_share() {
    let mut plan = Segments::new(settings(4, 64 * MIB), 8 * MIB, 0);
    assert_eq!(plan.stop(), 2 * MIB);
    let ranges: Vec<_> = std::iter::from_fn(|| plan.next()).collect();
    assert_eq!(
        ranges,
        [
            (1, 2 * MIB..4 * MIB),
            (2, 4 * MIB..6 * MIB),
            (3, 6 * MIB..8 * MIB)
        ]
    );
    assert_eq!(plan.source(), Source::First { skip: 0 });
}

#[test]
fn the_memory_bounds_what_is_asked_for_and_a_slow_client_holds_it_back() {
    let mut plan = Segments::new(settings(6, 2 * MIB), 600 * MIB, 0);
    let asked: u64 = std::iter::from_fn(|| plan.next())
        .map(|(_, range)| range.end - range.start)
        .sum();
    assert!(asked <= 2 * MIB, "{asked}");
}

#[test]
fn what_is_asked_for_last_is_halved_for_a_free_connection() {
    let mut plan = Segments::new(settings(2, 64 * MIB), 4 * MIB, 0);
    let (id, range) = plan.next().unwrap();
    assert_eq!(range, 2 * MIB..4 * MIB);
    assert_eq!(plan.received(id, 2 * MIB), 2 * MIB);
    // The first connection is the slow one: half of its share goes to the one that is free.
    let (id, range) = plan.next().unwrap();
    assert_eq!(range, MIB..2 * MIB);
    assert_eq!(plan.stop(), MIB);
    assert_eq!(plan.end_of(id), Some(2 * MIB));
}

#[test]
fn where_ranges_are_refused_the_first_connection_reads_on_over_what_was_delivered() {
    let mut plan = Segments::new(settings(3, 64 * MIB), 3 * MIB, 0);
    let (one, _) = plan.next().unwrap();
    plan.first_received(MIB);
    plan.took(MIB);
    plan.received(one, MIB / 2);
    plan.give_up();
    assert_eq!(plan.next(), None);
    let ready = MIB / 2;
    assert!(matches!(plan.source(), Source::Segment { ready: now, .. } if now == ready));
    plan.took(MIB / 2);
    assert_eq!(plan.source(), Source::First { skip: MIB / 2 });
    plan.first_received(2 * MIB);
    plan.took(MIB * 3 / 2);
    assert_eq!(plan.source(), Source::Done);
}

/// A download played to its end: connections of random speed, that break at random, and a client of random speed. Counts every byte.
fn play(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.u64(600 << 10..40 * MIB);
    let connections = random.usize(2..9);
    let memory = random.u64(MIB..16 * MIB);
    let breaks = random.u32(0..30);
    let mut plan = Segments::new(
        settings(connections, memory),
        length,
        random.u64(0..length / 4),
    );
    let mut delivered = plan.delivered;
    let mut first = plan.delivered;
    // What each fetch was asked for, and where it is.
    let mut fetches: BTreeMap<u64, u64> = BTreeMap::new();
    let mut came: Vec<Range<u64>> = Vec::new();
    for _ in 0..200_000 {
        while let Some((id, range)) = plan.next() {
            fetches.insert(id, range.start);
        }
        assert!(fetches.len() < connections, "seed {seed}");
        assert!(plan.waiting() <= memory + LARGEST, "seed {seed}");
        let ids: Vec<u64> = fetches.keys().copied().collect();
        for id in ids {
            if random.u32(0..1000) < breaks {
                plan.failed(id);
                fetches.remove(&id);
                continue;
            }
            let at = fetches[&id];
            let count = random.u64(0..200_000);
            let wanted = plan.received(id, count);
            came.push(at..at + wanted);
            fetches.insert(id, at + wanted);
            if plan.end_of(id).is_none() {
                fetches.remove(&id);
            }
        }
        fetches.retain(|id, _| plan.end_of(*id).is_some());
        let most = random.u64(1..400_000);
        match plan.source() {
            Source::Done => {
                assert_eq!(delivered, length, "seed {seed}");
                return;
            }
            Source::First { skip } => {
                assert_eq!(first + skip, delivered.max(first), "seed {seed}");
                let limit = if plan.given_up { length } else { plan.stop() };
                let count = random.u64(0..100_000).min(limit - first);
                plan.first_received(count);
                first += count;
                if first > delivered {
                    plan.took(first - delivered);
                    delivered = first;
                }
            }
            Source::Segment { ready, .. } => {
                let count = ready.min(most);
                let covered = |byte: u64| came.iter().any(|range| range.contains(&byte));
                assert!(count == 0 || (covered(delivered) && covered(delivered + count - 1)));
                plan.took(count);
                delivered += count;
            }
            Source::Nobody => {}
        }
    }
    panic!("seed {seed}: {delivered} of {length} bytes, and no end: {plan:?}");
}

#[test]
fn every_byte_is_delivered_once_and_in_order_whatever_breaks() {
    for seed in 0..300 {
        play(seed);
    }
}
