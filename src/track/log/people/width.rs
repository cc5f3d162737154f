//! Text within a number of columns.

use std::fmt::Write as _;

pub(super) fn count(text: &str) -> usize {
    text.chars().count()
}

/// At most `room` characters, the middle left out.
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

/// `text` in lines of at most `width`, all but the first indented.
pub(super) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut used = indent;
    for word in text.split(' ') {
        let mut word = word;
        let mut length = count(word);
        if used > indent && used + 1 + length > width {
            let _ = write!(lines, "\n{:indent$}", "");
            used = indent;
        } else if used > indent {
            lines.push(' ');
            used += 1;
        }
        // A word that is longer than a line is cut.
        while used + length > width {
            let at = word
                .char_indices()
                .nth(width - used)
                .map_or(word.len(), |(at, _)| at);
            let (begin, rest) = word.split_at_checked(at).unwrap_or((word, ""));
            let _ = write!(lines, "{begin}\n{:indent$}", "");
            (word, length, used) = (rest, count(rest), indent);
        }
        lines.push_str(word);
        used += length;
    }
    lines
}
