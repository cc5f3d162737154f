//! Text within a number of columns.

use crate::model::columns::count;

/// At most `room` characters; the middle is left out.
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

/// Exactly `room` characters.
pub(super) fn padded(text: &str, room: usize) -> String {
    format!("{:<room$}", shortened(text, room))
}
