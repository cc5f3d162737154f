//! `gitferry status --watch`: a full-screen view that is updated every second.

mod view;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{self, OneTransfer, StatusOverview};
use crate::cli::{Failure, daemon};
use crate::model::named::named;

/// How often the daemon is asked.
const EVERY: Duration = Duration::from_secs(1);

named! {
/// The order of running transfers; stalled ones always come first.
#[derive(Default)]
enum Sort {
    /// The newest first.
    #[default]
    Newest = "newest",
    /// The fastest first.
    Rate = "rate",
    /// The most bytes first.
    Bytes = "bytes",
    /// The longest first.
    Age = "age",
}
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Newest => Self::Rate,
            Self::Rate => Self::Bytes,
            Self::Bytes => Self::Age,
            Self::Age => Self::Newest,
        }
    }
}

/// What is shown.
#[derive(Debug, Default)]
struct WatchView {
    status: StatusOverview,
    sort: Sort,
    /// The number of the selected transfer, which stays selected when the order changes.
    chosen: Option<u64>,
    /// The details of a transfer, and how far they are scrolled.
    detail: Option<(OneTransfer, u16)>,
    /// Why the daemon did not answer.
    problem: Option<String>,
}

/// Shows the daemon at `address` until the user presses `q`; `status` is the first state.
pub(super) fn run(address: SocketAddr, status: StatusOverview) -> Result<(), Failure> {
    let mut view = WatchView::default();
    view.take(status);
    let shown = ratatui::try_init().and_then(|mut terminal| {
        let mut asked = clock();
        loop {
            terminal.draw(|frame| view::draw(frame, &view))?;
            let wait = EVERY.saturating_sub(asked.elapsed());
            if event::poll(wait)? {
                if let Event::Key(key) = event::read()?
                    && key.kind == KeyEventKind::Press
                    && view.press(key, address)
                {
                    return Ok(());
                }
            } else {
                asked = clock();
                view.refresh(address);
            }
        }
    });
    ratatui::restore();
    shown.map_err(|error| Failure::during("cannot draw on this terminal", error))
}

#[expect(clippy::disallowed_methods, reason = "a command without a runtime")]
fn clock() -> Instant {
    Instant::now()
}

impl WatchView {
    fn refresh(&mut self, address: SocketAddr) {
        let answer = daemon::get(address, "/-/api/overview?limit=500");
        match answer.map(|body| model::read(&body)) {
            Ok(Ok(status)) => self.take(status),
            Ok(Err(_)) => self.problem = Some("the daemon's answer cannot be read".into()),
            Err(error) => self.problem = Some(format!("no daemon answers at {address}: {error}")),
        }
        if let Some((detail, _)) = &self.detail {
            self.open(address, detail.transfer.id);
        }
    }

    fn take(&mut self, status: StatusOverview) {
        self.status = status;
        self.problem = None;
        self.order();
        if !self.ids().any(|id| Some(id) == self.chosen) {
            let first = self.ids().next();
            self.chosen = first;
        }
    }

    fn order(&mut self) {
        let sort = self.sort;
        self.status.transfers.sort_by_key(|it| {
            let key = match sort {
                Sort::Newest => it.id,
                Sort::Rate => it.rate(),
                Sort::Bytes => it.up.saturating_add(it.down),
                Sort::Age => it.total_ms,
            };
            (it.stall.is_none(), std::cmp::Reverse(key), it.id)
        });
    }

    /// All transfers that can be selected, in the order of the screen.
    fn ids(&self) -> impl Iterator<Item = u64> {
        let lists = self.status.transfers.iter().chain(&self.status.recent);
        lists.map(|it| it.id)
    }

    fn open(&mut self, address: SocketAddr, id: u64) {
        let answer = daemon::get(address, &format!("/-/api/transfers/{id}"));
        let scroll = self.detail.as_ref().map_or(0, |(_, scroll)| *scroll);
        if let Some(Ok(detail)) = answer.ok().map(|body| model::read::<OneTransfer>(&body)) {
            self.detail = Some((detail, scroll));
        }
    }

    /// Handles a key; true where the view ends.
    fn press(&mut self, key: KeyEvent, address: SocketAddr) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, &mut self.detail) {
            (KeyCode::Char('c'), _) if control => return true,
            (KeyCode::Char('q') | KeyCode::Esc | KeyCode::Backspace | KeyCode::Enter, Some(_)) => {
                self.detail = None;
            }
            (KeyCode::Char('q') | KeyCode::Esc, None) => return true,
            (KeyCode::Up | KeyCode::Char('k'), Some((_, at))) => *at = at.saturating_sub(1),
            (KeyCode::Down | KeyCode::Char('j'), Some((_, at))) => *at = at.saturating_add(1),
            (KeyCode::PageUp, Some((_, at))) => *at = at.saturating_sub(10),
            (KeyCode::PageDown | KeyCode::Char(' '), Some((_, at))) => *at = at.saturating_add(10),
            (KeyCode::Up | KeyCode::Char('k'), None) => self.step(-1),
            (KeyCode::Down | KeyCode::Char('j'), None) => self.step(1),
            (KeyCode::PageUp, None) => self.step(-10),
            (KeyCode::PageDown | KeyCode::Char(' '), None) => self.step(10),
            (KeyCode::Home | KeyCode::Char('g'), None) => self.step(isize::MIN),
            (KeyCode::End | KeyCode::Char('G'), None) => self.step(isize::MAX),
            (KeyCode::Char('s'), None) => {
                self.sort = self.sort.next();
                self.order();
            }
            (KeyCode::Enter, None) => {
                if let Some(id) = self.chosen {
                    self.open(address, id);
                }
            }
            _ => {}
        }
        false
    }

    fn step(&mut self, by: isize) {
        let ids: Vec<u64> = self.ids().collect();
        let at = ids
            .iter()
            .position(|id| Some(*id) == self.chosen)
            .unwrap_or(0);
        let to = at
            .saturating_add_signed(by)
            .min(ids.len().saturating_sub(1));
        self.chosen = ids.get(to).copied();
    }
}

#[cfg(test)]
mod tests;
