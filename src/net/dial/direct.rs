//! Straight to the origin.

use super::{Attempt, Connection};
use crate::model::{Fault, FaultKind, Leg, Stage};

/// Looks the name up and connects to the first address that answers (RFC 8305).
pub async fn dial(attempt: &Attempt<'_>) -> Result<Connection, Fault> {
    let _ = attempt;
    Err(Fault::new(Leg::Origin, Stage::Connecting, FaultKind::Local))
}
