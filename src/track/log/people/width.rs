//! Text within a number of columns.

use crate::model::columns::count;

/// `text` in at most `room` columns; its middle is left out where it is longer.
pub(super) fn shortened(text: &str, room: usize) -> String {
    let length = count(text);
    if length <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let end = room / 2;
    let begin: String = text.chars().take(room - end).collect();
    let rest: String = text.chars().skip(length - end).collect();
    format!("{begin}…{rest}")
}

/// `text` in exactly `room` columns.
pub(super) fn padded(text: &str, room: usize) -> String {
    format!("{:<room$}", shortened(text, room))
}

/// The upstream of a transfer in exactly `room` columns: of a mirror its host, and `env` where `environment` does not fit.
pub(super) fn upstream(label: &str, room: usize) -> String {
    let name = label.split_once(" to ").map_or(label, |(_, mirror)| mirror);
    match name {
        "environment" if room < name.len() => padded("env", room),
        name => padded(name, room),
    }
}
