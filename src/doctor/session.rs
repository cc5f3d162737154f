//! One run of doctor: everything that was planned, side by side.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{
    Board, Means, PlannedHost, Subject,
    engine::{Examined, examine},
};
use crate::config::Config;

/// What a run looks at.
pub(crate) struct Session {
    /// The config in force.
    pub config: Arc<Config>,
    /// The hosts to try.
    pub hosts: Vec<PlannedHost>,
    /// Roots and TLS.
    pub means: Arc<Means>,
    /// Where findings go.
    pub board: Arc<Board>,
}

impl Session {
    /// Runs every check; dropping it ends what runs, and what was found stays on the board.
    pub(crate) async fn run(&self) {
        let mut running = JoinSet::new();
        for host in &self.hosts {
            for probe in host.probes(&self.config, &self.means) {
                let subject = Subject::Path(probe.name());
                if !self.board.knows(&subject) {
                    let examined = Examined::Path(Box::new(probe));
                    running.spawn(examine(examined, &self.board));
                }
            }
        }
        while running.join_next().await.is_some() {}
    }
}
