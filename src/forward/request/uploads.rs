//! Limits concurrent uploads: some origins serve two of them and starve the rest, so only two are sent.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Config,
    model::{Fault, FaultKind, Leg, Stage},
    rt::Shutdown,
    sync::Mutex,
    track::TransferHandle,
};

/// The places of every route with an upload limit; they survive reloads. Waiting uploads get places in the order of their requests.
#[derive(Debug, Default)]
pub struct UploadPlaces(Mutex<HashMap<Arc<str>, Arc<Permits>>>);

/// The places of one route.
#[derive(Debug)]
struct Permits {
    /// Closed when a reload removes the route's limit.
    free: Arc<Semaphore>,
    size: Mutex<PlaceCount>,
}

#[derive(Debug)]
struct PlaceCount {
    limit: usize,
    /// Permits in use when a reload lowered the limit: they are not returned.
    surplus: usize,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    places: Arc<Permits>,
    permit: Option<OwnedSemaphorePermit>,
}

impl UploadPlaces {
    /// Sets the limits of `config`. Running uploads keep their places and count; waiting ones follow the new limit.
    pub(crate) fn set(&self, config: &Config) {
        let routes = config.routes.iter().chain([&config.other_hosts]);
        let limits = routes.filter_map(|route| Some((route.name.clone(), route.uploads.at_once?)));
        let mut all = self.all();
        let mut before = std::mem::take(&mut *all);
        for (route, limit) in limits {
            let places = match before.remove(&route) {
                Some(places) => {
                    places.resize(limit);
                    places
                }
                None => Arc::new(Permits::new(limit)),
            };
            all.insert(route, places);
        }
        for unlimited in before.values() {
            unlimited.free.close();
        }
    }

    /// A place for an upload of `route`, at once or after a wait in stage `queued`; `None` where the route has no limit.
    ///
    /// Fails when the daemon ends first.
    pub(crate) async fn place(
        &self,
        route: &str,
        transfer: &TransferHandle,
        shutdown: &Shutdown,
    ) -> Result<Option<Permit>, Fault> {
        let Some(places) = self.all().get(route).cloned() else {
            return Ok(None);
        };
        let free = Arc::clone(&places.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                transfer.enter(Stage::Queued);
                tokio::select! {
                    permit = free.acquire_owned() => permit.ok(),
                    () = shutdown.ended() => {
                        return Err(Fault::new(Leg::Client, Stage::Queued, FaultKind::Shutdown));
                    }
                }
            }
        };
        Ok(permit.map(|permit| Permit {
            places,
            permit: Some(permit),
        }))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Permits>>> {
        self.0.lock()
    }
}

impl Permits {
    fn new(limit: usize) -> Self {
        let size = PlaceCount { limit, surplus: 0 };
        Self {
            free: Arc::new(Semaphore::new(limit)),
            size: Mutex::new(size),
        }
    }

    fn resize(&self, limit: usize) {
        let mut size = self.size();
        let fewer = size.limit.saturating_sub(limit);
        size.surplus += fewer - self.free.forget_permits(fewer);
        let more = limit.saturating_sub(size.limit);
        let kept = more.min(size.surplus);
        size.surplus -= kept;
        self.free.add_permits(more - kept);
        size.limit = limit;
    }

    fn size(&self) -> MutexGuard<'_, PlaceCount> {
        self.size.lock()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut size = self.places.size();
        if size.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            size.surplus -= 1;
            permit.forget();
        }
        // Returned here while no reload changes the limit.
        drop(self.permit.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like [`UploadPlaces::place`], without a transfer.
    fn take(places: &Arc<Permits>) -> Option<Permit> {
        let permit = Arc::clone(&places.free).try_acquire_owned().ok()?;
        Some(Permit {
            places: Arc::clone(places),
            permit: Some(permit),
        })
    }

    #[test]
    fn taken_places_count_after_every_change_of_the_limit() {
        let mut random = fastrand::Rng::with_seed(5);
        let (mut limit, mut taken) = (3, Vec::new());
        let places = Arc::new(Permits::new(limit));
        for _ in 0..5000 {
            match random.u8(0..4) {
                0 => {
                    limit = random.usize(1..6);
                    places.resize(limit);
                }
                1 if !taken.is_empty() => {
                    taken.swap_remove(random.usize(..taken.len()));
                }
                _ => {
                    let place = take(&places);
                    assert_eq!(place.is_some(), taken.len() < limit);
                    taken.extend(place);
                }
            }
        }
    }
}
