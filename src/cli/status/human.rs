//! Lines for people: cut and wrapped.

/// `text` in at most `width` columns.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// `text` in lines of at most `width` columns, each after `indent` blanks.
pub(crate) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut column = width;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column + 1 + length > width {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(wrapped("aa bb cc", 2, 7), "  aa bb\n  cc");
    }
}
