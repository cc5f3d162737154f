//! Look-ups that may block for long. For each key one runs at a time; all callers share its result, which is cached.

use std::{collections::HashMap, fmt, hash::Hash, io, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::workers::Workers;

use crate::sync::Mutex;

/// Cached results by key. Failures are not cached: the next caller repeats the look-up.
pub(crate) struct Lookups<K, V> {
    workers: Workers,
    keep: Duration,
    entries: Arc<Mutex<HashMap<K, LookupEntry<V>>>>,
}

struct LookupEntry<V> {
    result: watch::Receiver<Option<LookupResult<V>>>,
    /// When the result arrived; `None` while the look-up runs.
    finished_at: Option<Instant>,
}

/// A result with an error that several callers can share.
type LookupResult<V> = Result<V, Arc<io::Error>>;

/// The largest number of cached results.
const AT_MOST: usize = 1024;

impl<K, V> fmt::Debug for Lookups<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.lock().len();
        f.debug_struct("Lookups")
            .field("entries", &entries)
            .finish()
    }
}

impl<K, V> Lookups<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Runs look-ups on `workers` and caches each result for `keep`.
    pub(crate) fn new(workers: Workers, keep: Duration) -> Self {
        Self {
            workers,
            keep,
            entries: Arc::default(),
        }
    }

    /// The result for `key`: from the cache, from the running look-up, or from `ask`.
    ///
    /// Fails with the error of `ask`, and where too many look-ups are queued. If a caller is dropped, the look-up continues for the others.
    pub(crate) async fn get(
        &self,
        key: K,
        ask: impl FnOnce(&K) -> io::Result<V> + Send + 'static,
    ) -> io::Result<V> {
        let mut result = self.begin(key, ask)?;
        let finished_at = result.wait_for(Option::is_some).await;
        let finished_at = finished_at.ok().and_then(|result| result.clone());
        match finished_at {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(io::Error::new(error.kind(), error)),
            None => Err(io::Error::other("the lookup ended without a result")),
        }
    }

    fn begin(
        &self,
        key: K,
        ask: impl FnOnce(&K) -> io::Result<V> + Send + 'static,
    ) -> io::Result<watch::Receiver<Option<LookupResult<V>>>> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(&key)
            && entry.is_usable(now, self.keep)
        {
            return Ok(entry.result.clone());
        }
        if entries.len() >= AT_MOST {
            entries.retain(|_, entry| entry.finished_at.is_none());
        }
        let (sender, result) = watch::channel(None);
        let (shared, asked) = (Arc::clone(&self.entries), key.clone());
        let job = move || {
            let found = ask(&asked);
            let mut entries = shared.lock();
            match entries.get_mut(&asked) {
                Some(entry) if found.is_ok() => entry.finished_at = Some(Instant::now()),
                Some(_) => drop(entries.remove(&asked)),
                None => {}
            }
            drop(entries);
            sender.send_replace(Some(found.map_err(Arc::new)));
        };
        // The entry must exist before the job ends, because the job updates it.
        entries.insert(
            key.clone(),
            LookupEntry {
                result: result.clone(),
                finished_at: None,
            },
        );
        if !self.workers.run(job) {
            entries.remove(&key);
            let why = "too many lookups are waiting for the system's resolver";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        Ok(result)
    }
}

impl<V> LookupEntry<V> {
    fn is_usable(&self, now: Instant, keep: Duration) -> bool {
        match self.finished_at {
            Some(at) => now.saturating_duration_since(at) < keep,
            // The thread of this look-up panicked: its sender is gone.
            None => self.result.has_changed().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    fn lookups(keep: Duration) -> Arc<Lookups<&'static str, u32>> {
        Arc::new(Lookups::new(Workers::new("test", 4, 4), keep))
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_lookup_and_its_result_is_cached() {
        let names = lookups(Duration::from_secs(60));
        let asked = Arc::new(AtomicUsize::new(0));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let get = || {
            let (asked, held) = (Arc::clone(&asked), Arc::clone(&held));
            names.get("hf.co", move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                let _ = held.lock().recv();
                Ok(7)
            })
        };
        let (first, second, last) = (get(), get(), async {
            tokio::task::yield_now().await;
            release.send(()).unwrap();
        });
        let (first, second, ()) = tokio::join!(first, second, last);
        assert_eq!((first.unwrap(), second.unwrap()), (7, 7));
        assert_eq!(get().await.unwrap(), 7, "it is cached");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failed_lookup_keeps_its_message_and_is_not_cached() {
        let names = lookups(Duration::from_secs(60));
        let fail = |_: &&str| Err(io::Error::new(io::ErrorKind::NotFound, "no such host"));
        let error = names.get("hf.co", fail).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "no such host");
        assert_eq!(names.get("hf.co", |_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_result_is_not_used_after_its_time_to_live() {
        let names = lookups(Duration::ZERO);
        assert_eq!(names.get("hf.co", |_| Ok(1)).await.unwrap(), 1);
        assert_eq!(names.get("hf.co", |_| Ok(2)).await.unwrap(), 2);
    }
}
