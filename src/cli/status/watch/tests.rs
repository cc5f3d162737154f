use ratatui::{Terminal, backend::TestBackend};
use serde_json::json;

use super::*;

fn status(count: u64) -> StatusOverview {
    let transfers: Vec<_> = (1..=count)
        .map(|id| {
            let stall = (id == 3).then_some("no-answer");
            json!({
                "id": id, "method": "PUT", "what": format!("LFS {id:010}"), "host": "h", "upstream": "office", "stage": "sending-body",
                "up": id * 1000, "up_total": 100_000, "up_rate": 1000 * (count - id), "idle_ms": 9000, "stall": stall,
                "timeline": { "stalls": [{ "at": "2026-11-25T22:05:46.000Z", "verdict": "no-answer", "leg": "origin", "stage": "awaiting-head", "idle_ms": 9000, "over": false, "evidence": "the server is silent", "advice": "" }] },
            })
        })
        .collect();
    serde_json::from_value(json!({
        "version": "1", "running": count, "transfers": transfers,
        "verdict": { "level": "failing", "text": "1 transfer is stalled", "since": "2026-11-25T22:05:46.000Z" },
        "recent": [{ "id": 900, "method": "GET", "what": "me/r refs", "host": "h", "ended": "2026-11-25T22:05:46.000Z" }],
        "faults": [{ "code": "a/b/c", "host": "h" }, { "code": "a/b/c", "host": "h" }],
    }))
    .unwrap()
}

fn shown(view: &WatchView) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| view::draw(frame, view)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content().chunks(80);
    rows.map(|row| {
        row.iter()
            .map(|cell| cell.symbol())
            .collect::<String>()
            .trim_end()
            .to_owned()
    })
    .collect()
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

#[test]
fn the_view_fits_80_by_24_with_the_verdict_on_top_and_stalled_transfers_first() {
    let mut view = WatchView::default();
    view.take(status(4));
    let rows = shown(&view);
    assert_eq!(rows.len(), 24);
    assert_eq!(rows[0], "! 1 transfer is stalled, since 22:05:46 UTC");
    assert!(rows[3].starts_with("PUT LFS 0000000003"), "{rows:#?}");
    assert_eq!(rows[4], "  no-answer: the server is silent");
    assert!(rows[5].starts_with("PUT LFS 0000000004"), "{rows:#?}");
    assert!(
        rows.iter().any(|row| row.starts_with("  2x a/b/c")),
        "{rows:#?}"
    );
}

#[test]
fn a_hundred_transfers_scroll_and_sort_and_q_quits() {
    let mut view = WatchView::default();
    view.take(status(100));
    for _ in 0..60 {
        assert!(!view.press(key(KeyCode::Down), NOWHERE.into()));
    }
    let chosen = view.chosen.unwrap();
    assert!(
        shown(&view)
            .iter()
            .any(|row| row.contains(&format!("{chosen:010}")))
    );
    view.press(key(KeyCode::Char('s')), NOWHERE.into());
    assert_eq!(view.status.transfers[1].id, 1, "the fastest first");
    assert_eq!(view.chosen, Some(chosen));
    view.press(key(KeyCode::End), NOWHERE.into());
    assert_eq!(view.chosen, Some(900));
    view.press(key(KeyCode::Home), NOWHERE.into());
    assert_eq!(view.chosen, Some(3));
    assert!(view.press(key(KeyCode::Char('q')), NOWHERE.into()));
}

#[test]
fn details_close_before_the_view_does() {
    let mut view = WatchView::default();
    view.take(status(1));
    let transfer = view.status.transfers[0].clone();
    let detail = OneTransfer {
        running: true,
        transfer,
    };
    view.detail = Some((detail, 0));
    assert!(shown(&view).iter().any(|row| row.starts_with("route")));
    assert!(!view.press(key(KeyCode::Esc), NOWHERE.into()));
    assert!(view.detail.is_none());
}
