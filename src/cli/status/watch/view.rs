//! Draws the view.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize as _},
    text::{Line, Span, Text},
    widgets::{List, ListItem, ListState, Paragraph},
};

use super::WatchView;
use crate::{
    cli::status::{
        detail::detail,
        model::{OneTransfer, StatusTransfer, StatusUpstream},
        render,
    },
    model::{
        columns::cut,
        size::{bytes, duration},
    },
};

/// The whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, view: &WatchView) {
    let rows = [
        Constraint::Length(2),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [top, middle, bottom] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(header(view, top.width), top);
    match &view.detail {
        Some((detail, scroll)) => details(frame, detail, *scroll, middle),
        None => body(frame, view, middle),
    }
    frame.render_widget(footer(view), bottom);
}

fn header(view: &WatchView, width: u16) -> Text<'static> {
    let status = &view.status;
    let since = render::since(status);
    let (text, colour) = match (&view.problem, &*status.verdict.level) {
        (Some(problem), _) => (problem.clone(), Color::Red),
        (None, "healthy") => ("all healthy".into(), Color::Green),
        (None, "degraded") => (status.verdict.text.clone(), Color::Yellow),
        (None, _) => (status.verdict.text.clone(), Color::Red),
    };
    let mark = if colour == Color::Green { "✓" } else { "!" };
    // The time matters more than the end of the sentence.
    let room = usize::from(width).saturating_sub(since.chars().count());
    let text = cut(&format!("{mark} {text}"), room) + &since;
    let up = duration(status.uptime_s.saturating_mul(1000));
    let about = format!(
        "gitferry {}, up {up}{}",
        status.version,
        render::today(status)
    );
    Text::from(vec![
        Line::styled(text, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
        Line::from(cut(&about, width.into())).dim(),
    ])
}

fn footer(view: &WatchView) -> Line<'static> {
    let keys = match view.detail {
        Some(_) => "q back  ↑↓ scroll".into(),
        None => format!(
            "q quit  ↑↓ choose  Enter details  s sort: {}",
            view.sort.as_str()
        ),
    };
    Line::from(keys).dim()
}

fn details(frame: &mut Frame<'_>, shown: &OneTransfer, scroll: u16, area: Rect) {
    let text = detail(shown);
    let height = u16::try_from(text.lines().count()).unwrap_or(u16::MAX);
    let scroll = scroll.min(height.saturating_sub(area.height));
    let lines = text.lines().map(|line| match line {
        title
            if !title.is_empty()
                && !title.contains("  ")
                && title.chars().all(|c| !c.is_ascii_digit()) =>
        {
            Line::from(title.to_owned()).bold()
        }
        line => Line::from(line.to_owned()),
    });
    let text = Text::from(lines.collect::<Vec<_>>());
    frame.render_widget(Paragraph::new(text).scroll((scroll, 0)), area);
}

/// Running transfers, upstreams, finished transfers and faults, scrolled so that the selected transfer is visible.
fn body(frame: &mut Frame<'_>, view: &WatchView, area: Rect) {
    let status = &view.status;
    let width = usize::from(area.width);
    let mut items: Vec<ListItem<'static>> = Vec::new();
    let mut selected = None;
    let title = |name: String| Line::from(name).bold().underlined().into();
    items.push(title(format!("Running {}", status.running)));
    for transfer in &status.transfers {
        if view.chosen == Some(transfer.id) {
            selected = Some(items.len());
        }
        items.push(running(transfer, width));
    }
    items.extend(upstreams(status.upstreams_that_matter(), width));
    if !status.recent.is_empty() {
        items.push(title("Finished".into()));
    }
    for transfer in &status.recent {
        if view.chosen == Some(transfer.id) {
            selected = Some(items.len());
        }
        items.push(finished(transfer));
    }
    let groups = status.fault_groups();
    if !groups.is_empty() {
        items.push(title("Faults".into()));
    }
    for (fault, count) in groups {
        let ago = duration(fault.s_ago.saturating_mul(1000));
        let upstream = fault.upstream.as_deref().unwrap_or("-");
        let text = format!(
            "{count:>3}x {}, {} via {upstream}, {ago} ago",
            fault.code, fault.host
        );
        items.push(cut(&text, width).into());
    }
    let list = List::new(items)
        .highlight_style(Modifier::REVERSED)
        .scroll_padding(5);
    let mut state = ListState::default().with_selected(selected);
    frame.render_stateful_widget(list, area, &mut state);
}

/// One line, or two for a stall.
fn running(transfer: &StatusTransfer, width: usize) -> ListItem<'static> {
    const BAR: usize = 10;
    let (arrow, done, _) = transfer.progress();
    let percent = transfer.percent();
    let filled = percent.map_or(0, |percent| {
        usize::try_from(percent).unwrap_or(0) * BAR / 100
    });
    let bar = match percent {
        Some(percent) => format!(
            "{}{} {percent:>3}%",
            "█".repeat(filled),
            "░".repeat(BAR - filled)
        ),
        None => format!("{:<15}", format!("{arrow} {}", bytes(done))),
    };
    let what = format!("{} {}", transfer.method, transfer.subject());
    let speed = match (&transfer.stall, transfer.idle_ms) {
        (Some(_), Some(idle)) => format!("still {}", duration(idle)),
        _ => render::rate(transfer.rate()),
    };
    let left = transfer.left_ms.map(duration).unwrap_or_default();
    let upstream = transfer.upstream.as_deref().unwrap_or("-");
    let room = width.saturating_sub(80) + 24;
    let text = format!(
        "{:<room$} {bar} {speed:>12} {left:>7}  {}",
        cut(&what, room),
        cut(&format!("{} {upstream}", short(&transfer.stage)), 17),
    );
    let style = match &transfer.stall {
        Some(_) => Style::new().fg(Color::Red),
        None if transfer.attempts > 1 => Style::new().fg(Color::Yellow),
        None => Style::new(),
    };
    let mut lines = vec![Line::styled(cut(&text, width), style)];
    if let Some(verdict) = &transfer.stall {
        let evidence = transfer
            .timeline
            .stalls
            .last()
            .map(|it| it.evidence.as_str());
        let text = format!("  {verdict}: {}", evidence.unwrap_or_default());
        lines.push(Line::styled(cut(&text, width), Style::new().fg(Color::Red)));
    }
    ListItem::new(lines)
}

/// A stage in at most nine letters.
fn short(stage: &str) -> &str {
    match stage {
        "resolving" => "name",
        "connecting" => "connect",
        "greeting" => "hop",
        "handshaking" => "tls",
        "sending-head" | "sending-body" => "sending",
        "awaiting-head" => "waiting",
        "receiving-body" => "receiving",
        other => other,
    }
}

fn upstreams<'a>(
    upstreams: impl Iterator<Item = &'a StatusUpstream>,
    width: usize,
) -> Vec<ListItem<'static>> {
    let mut items = Vec::new();
    for upstream in upstreams {
        let colour = match &*upstream.health {
            "healthy" => Color::Green,
            "degraded" => Color::Yellow,
            "failing" => Color::Red,
            _ => Color::Reset,
        };
        let circuit = upstream.circuits.first();
        let circuit = circuit.map(|it| format!("  {} for {}: {}", it.state, it.host, it.code));
        let name = format!("{} via {}", upstream.route, upstream.upstream);
        let rest = format!(
            " {:<28} {:>3} running{}",
            cut(&name, 28),
            upstream.running,
            circuit.unwrap_or_default()
        );
        if items.is_empty() {
            items.push(Line::from("Upstreams").bold().underlined().into());
        }
        let line = Line::from(vec![
            Span::styled(format!("{:<9}", upstream.health), Style::new().fg(colour)),
            Span::raw(cut(&rest, width.saturating_sub(9))),
        ]);
        items.push(line.into());
    }
    items
}

fn finished(transfer: &StatusTransfer) -> ListItem<'static> {
    let style = match (transfer.failed, transfer.timeline.rescues.is_empty()) {
        (true, _) => Style::new().fg(Color::Red),
        (false, false) => Style::new().fg(Color::Green),
        (false, true) => Style::new(),
    };
    ListItem::new(render::finished(transfer)).style(style)
}
