//! Text within a number of columns, for people. A column is a character.

/// `text` in at most `width` columns; a longer text is truncated.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if count(text) <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// `text` in lines of at most `width` columns, each indented by `indent` blanks.
pub(crate) fn indented(text: &str, indent: usize, width: usize) -> String {
    wrapped(&" ".repeat(indent), indent, text, width)
}

/// `text` in lines of at most `width` columns: the first line begins with `first`, each further line with `indent` blanks.
///
/// A command between backticks stays on one line where it fits. A word that is longer than a line is broken.
pub(crate) fn wrapped(first: &str, indent: usize, text: &str, width: usize) -> String {
    fill(first, indent, text, width, LongWord::Break)
}

/// Like [`wrapped`], but a word that is longer than a line has a line of its own, so that it can be copied.
pub(crate) fn filled(first: &str, indent: usize, text: &str, width: usize) -> String {
    fill(first, indent, text, width, LongWord::Keep)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LongWord {
    Break,
    Keep,
}

fn fill(first: &str, indent: usize, text: &str, width: usize, long: LongWord) -> String {
    let mut line = first.to_owned();
    let mut lines = String::new();
    let mut break_line = |line: &mut String| {
        lines.push_str(line.trim_end());
        lines.push('\n');
        *line = " ".repeat(indent);
    };
    for (number, word) in words(text, width.saturating_sub(indent))
        .into_iter()
        .enumerate()
    {
        if number > 0 && count(&line) + 1 + count(word) > width {
            break_line(&mut line);
        } else if number > 0 {
            line.push(' ');
        }
        let mut rest = word;
        while long == LongWord::Break && count(&line) + count(rest) > width {
            let room = width.saturating_sub(count(&line)).max(1);
            let end = rest.char_indices().nth(room);
            let end = end.map_or(rest.len(), |(at, _)| at);
            let (head, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if tail.is_empty() {
                break;
            }
            line.push_str(head);
            break_line(&mut line);
            rest = tail;
        }
        line.push_str(rest);
    }
    lines + line.trim_end()
}

/// A text for people, in lines of at most `width` columns.
pub(crate) struct TextBuilder {
    text: String,
    width: usize,
    heading: Option<&'static str>,
}

impl TextBuilder {
    /// An empty page.
    pub(crate) const fn new(width: usize) -> Self {
        Self {
            text: String::new(),
            width,
            heading: None,
        }
    }

    /// Adds an empty line and a heading. Both are left out if no line follows.
    pub(crate) const fn heading(&mut self, heading: &'static str) {
        self.heading = Some(heading);
    }

    /// Adds a line without the blanks at its end; it is not wrapped.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(heading) = self.heading.take() {
            self.text += &format!("\n{heading}\n");
        }
        self.text += line.trim_end();
        self.text.push('\n');
    }

    /// Adds `words` in lines that fit, each after `indent` blanks.
    pub(crate) fn words(&mut self, indent: usize, words: &str) {
        self.line(&indented(words, indent, self.width));
    }

    /// Adds `words` in lines that fit: the first begins with `label`, each further line with `indent` blanks.
    pub(crate) fn labelled(&mut self, label: &str, indent: usize, words: &str) {
        self.line(&wrapped(label, indent, words, self.width));
    }

    /// The whole text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// The words of `text`. Text between backticks is one word if it fits into `room` columns.
fn words(text: &str, room: usize) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find([' ', '\n', '\t']);
        let quoted = rest
            .split_once('`')
            .filter(|(before, _)| end.is_some_and(|end| before.len() < end));
        // The blank after the closing backtick ends the word.
        let whole = quoted.and_then(|(before, after)| {
            let closing = before.len() + 1 + after.find('`')? + 1;
            let tail = rest.get(closing..)?;
            let end = closing + tail.find([' ', '\n', '\t']).unwrap_or(tail.len());
            rest.get(..end).filter(|word| count(word) <= room)
        });
        let word = whole.or_else(|| rest.get(..end?)).unwrap_or(rest);
        words.push(word);
        match rest.get(word.len() + 1..) {
            Some(after) => rest = after,
            None => return words,
        }
    }
}

/// The number of columns of `text`.
pub(crate) fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_without_lines_is_left_out() {
        let mut page = TextBuilder::new(7);
        page.words(2, "aa bb cc");
        page.heading("none");
        page.heading("some");
        page.labelled("- ", 2, "dd ee ff");
        page.heading("last");
        assert_eq!(page.into_text(), "  aa bb\n  cc\n\nsome\n- dd ee\n  ff\n");
    }

    #[test]
    fn texts_are_cut_and_wrapped_to_a_width_and_filled_texts_keep_long_words() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(indented("aa bb cc", 2, 7), "  aa bb\n  cc");
        assert_eq!(
            wrapped("- ", 2, "a bb cccccc d", 5),
            "- a\n  bb\n  ccc\n  ccc\n  d"
        );
        assert_eq!(wrapped("- ", 2, "ccccccc", 5), "- ccc\n  ccc\n  c");
        assert_eq!(wrapped("", 9, "ab", 3), "ab");
        assert_eq!(filled("- ", 2, "a ccccccc d", 5), "- a\n  ccccccc\n  d");
        assert_eq!(filled("", 0, "aa (`b c`), d", 9), "aa\n(`b c`),\nd");
        assert_eq!(filled("", 0, "`a b c d` e", 5), "`a b\nc d`\ne");
    }
}
