use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::time::sleep;

use super::*;
use crate::track::watchdog::watch;

const TICK: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const LIMITS: StallLimits = StallLimits {
    after: HOUR,
    connect_after: HOUR,
    answer_after: HOUR,
    client_after: HOUR,
    floor: 0,
    floor_over: TICK,
};

/// Counts its checks; an idle one rests.
#[derive(Default)]
struct TestTunnel {
    idle: AtomicBool,
    checks: AtomicUsize,
}

impl Watched for TestTunnel {
    fn examine(&self, now: Instant) -> Instant {
        self.checks.fetch_add(1, Ordering::Relaxed);
        now + if self.rests() { REST } else { TICK }
    }

    fn rests(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }
}

/// `count` tunnels that have just begun, with their watchdog.
fn tunnels(count: usize, idle: bool) -> (Arc<RunningTransfers<TestTunnel>>, Vec<Arc<TestTunnel>>) {
    let running = Arc::new(RunningTransfers::new(Shutdown::default()));
    let tunnels: Vec<_> = (0..count)
        .map(|_| {
            let tunnel = Arc::new(TestTunnel::default());
            tunnel.idle.store(idle, Ordering::Relaxed);
            let (_, watchdog) = running.add(&LIMITS, |_| ((), Arc::downgrade(&tunnel)));
            if watchdog == WatchdogStart::Needed {
                crate::rt::Tasks::default().spawn(watch(Arc::clone(&running)));
            }
            tunnel
        })
        .collect();
    (running, tunnels)
}

fn checks(tunnels: &[Arc<TestTunnel>]) -> usize {
    let checks = |tunnel: &Arc<TestTunnel>| tunnel.checks.load(Ordering::Relaxed);
    tunnels.iter().map(checks).sum()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_tunnels_are_not_checked_at_the_ticks_of_one_that_moves() {
    let (running, idle) = tunnels(1000, true);
    let moving = Arc::new(TestTunnel::default());
    running.add(&LIMITS, |_| ((), Arc::downgrade(&moving)));
    sleep(TICK * 2).await;
    assert_eq!(running.awake_and_resting(), (1, 1000));
    let before = checks(&idle);
    sleep(HOUR).await;
    assert_eq!(checks(&idle) - before, 1000 * 120, "one in 30 s");
    assert!(checks(&[moving]) > 3500, "one a second");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_wakes_is_checked_within_its_tick_and_may_rest_again() {
    let (running, idle) = tunnels(3, true);
    sleep(TICK * 2).await;
    let before = checks(&idle);
    idle[1].idle.store(false, Ordering::Relaxed);
    running.wake(2, TICK);
    sleep(TICK * 3).await;
    assert!(checks(&idle) - before >= 2);
    assert_eq!(running.awake_and_resting(), (1, 2));
    assert_eq!(running.all().len(), 3);
    idle[1].idle.store(true, Ordering::Relaxed);
    sleep(TICK * 2).await;
    assert_eq!(running.awake_and_resting(), (0, 3));
    assert!(running.find(2).is_some());
    for id in 1..=3 {
        running.remove(id);
    }
    assert_eq!(running.awake_and_resting(), (0, 0));
    sleep(HOUR).await;
    assert_eq!(running.next_check(), None, "the watchdog sleeps");
}

/// Bytes move after the check that found none, and before the round of checks ends.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_wakes_during_the_checks_is_checked_within_its_tick() {
    let (running, tunnel) = tunnels(1, true);
    let now = Instant::now() + TICK;
    let due = running.due(now);
    assert_eq!(due.len(), 1);
    running.wake(1, TICK);
    assert!(running.next_check().unwrap() <= now + TICK);
    sleep(TICK * 3).await;
    assert_eq!(running.awake_and_resting(), (0, 1));
    assert!(checks(&tunnel) >= 1);
}
