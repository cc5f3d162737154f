//! Uploads at once: an origin that serves two of them and starves the rest is given two.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Config,
    model::{Fault, FaultKind, Leg, Stage},
    rt::Shutdown,
    track::Transfer,
};

/// The places of every route that limits its uploads. Those that wait come in the order in which they asked.
#[derive(Debug)]
pub struct Uploads(HashMap<Box<str>, Arc<Semaphore>>);

/// A place, held until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Uploads {
    /// As `config` says.
    pub fn new(config: &Config) -> Self {
        let routes = config.routes.iter().chain([&config.other_hosts]);
        let limited = routes.filter_map(|route| {
            let places = route.uploads.at_once?;
            Some((route.name.clone(), Arc::new(Semaphore::new(places))))
        });
        Self(limited.collect())
    }

    /// A place among the uploads of `route`, at once or after a wait in stage `queued`; `None` where there is no limit.
    ///
    /// Fails when the daemon ends first.
    pub async fn place(
        &self,
        route: &str,
        transfer: &Transfer,
        shutdown: &Shutdown,
    ) -> Result<Option<Place>, Fault> {
        let Some(places) = self.0.get(route) else {
            return Ok(None);
        };
        let permit = match Arc::clone(places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                transfer.enter(Stage::Queued);
                let ended = || Fault::new(Leg::Client, Stage::Queued, FaultKind::Shutdown);
                tokio::select! {
                    permit = Arc::clone(places).acquire_owned() => permit.map_err(|_| ended())?,
                    () = shutdown.ended() => return Err(ended()),
                }
            }
        };
        Ok(Some(Place { _permit: permit }))
    }
}
