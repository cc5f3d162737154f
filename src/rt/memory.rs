//! Returns unused memory to the system.
//!
//! glibc keeps freed memory in its arenas. Without this module, the daemon was 46 MiB larger after 64 concurrent pushes.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

/// Resident memory after the last call, in KiB.
static KEPT: AtomicU64 = AtomicU64::new(0);
/// The growth since the last call, in KiB, from which on a walk over all arenas is worth its time.
const WORTH_IT: u64 = 1024;

/// Returns free memory to the system if the daemon has grown. Call it when no transfer runs.
pub(crate) fn trim() {
    let Some(resident) = resident() else { return };
    let kept = KEPT.load(Ordering::Relaxed);
    if resident > kept + WORTH_IT {
        malloc_trim();
    }
    KEPT.store(self::resident().unwrap_or(resident), Ordering::Relaxed);
}

/// Resident memory without file pages, in KiB (proc(5), `RssAnon`); `None` on systems without it.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    rest.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no safe wrapper of malloc_trim(3)")]
fn malloc_trim() {
    // SAFETY: the function takes no pointer, and may be called at any time.
    unsafe { nix::libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn malloc_trim() {}
