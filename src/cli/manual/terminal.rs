//! The manual on a terminal: wrapped to its width, with bold headings and names; in a file or pipe plain text, with names in backticks.

use super::document::{Block, Definition, Inline, Style, plain};

/// The indent of text below a heading, and of a definition below its term.
const STEP: usize = 2;
/// The longest term that has its meaning beside it.
const SHORT: usize = 12;
/// The smallest width; a narrower terminal wraps by itself.
const NARROWEST: usize = 40;
const BOLD: &str = "\x1b[1m";
const UNDERLINED: &str = "\x1b[4m";
const RESET: &str = "\x1b[0m";

/// Where the text goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Screen {
    /// The columns of a line.
    pub(in crate::cli) width: usize,
    /// Whether names are bold.
    pub(in crate::cli) styled: bool,
}

/// The blocks as text.
pub(super) fn render(blocks: &[Block], screen: Screen) -> String {
    let mut text = TerminalText {
        screen: Screen {
            width: screen.width.max(NARROWEST),
            ..screen
        },
        out: String::new(),
    };
    for block in blocks {
        match block {
            Block::Heading(level, title) => text.heading(*level, title),
            block => text.block(block, STEP),
        }
    }
    text.out.trim_start_matches('\n').to_owned()
}

struct TerminalText {
    screen: Screen,
    out: String,
}

impl TerminalText {
    fn heading(&mut self, level: u8, title: &[Inline]) {
        let indent = if level > 2 { STEP } else { 0 };
        let strong = title.iter().map(|span| Inline {
            text: span.text.clone(),
            style: Style::Strong,
        });
        self.paragraph(&strong.collect::<Vec<_>>(), indent);
    }

    fn block(&mut self, block: &Block, indent: usize) {
        match block {
            Block::Heading(level, title) => self.heading(*level, title),
            Block::Paragraph(spans) => self.paragraph(&self.quoted(spans), indent),
            Block::Code(code) => self.code(code, indent),
            Block::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    let begin = self.out.len();
                    for block in item {
                        self.block(block, indent + STEP);
                    }
                    self.mark(begin, indent, at == 0);
                }
            }
            Block::Definitions(list) => self.definitions(list, indent),
        }
    }

    /// Short terms are in a column beside their meanings, longer ones above.
    fn definitions(&mut self, list: &[Definition], indent: usize) {
        let length = |definition: &Definition| plain(&definition.term).chars().count();
        let longest = list.iter().map(length).max().unwrap_or(0);
        let beside = longest <= SHORT;
        let below = indent + if beside { longest + STEP } else { 2 * STEP };
        for (at, definition) in list.iter().enumerate() {
            let begin = self.out.len();
            self.paragraph(&definition.term, indent);
            for (at, block) in definition.meaning.iter().enumerate() {
                let begin = self.out.len();
                self.block(block, below);
                if at == 0 && matches!(block, Block::Paragraph(_)) {
                    self.close_up(begin);
                    if beside {
                        self.join(begin, below - indent - length(definition));
                    }
                }
            }
            let is_one_paragraph = definition.meaning.len() < 2;
            if at > 0 && beside && is_one_paragraph {
                self.close_up(begin);
            }
        }
    }

    /// Moves the text that begins at `begin` to the end of the line above it, `gap` columns to the right.
    fn join(&mut self, begin: usize, gap: usize) {
        let text = self.out.split_off(begin);
        self.out.truncate(self.out.trim_end().len());
        self.out.push_str(&" ".repeat(gap));
        self.out.push_str(text.trim_start());
    }

    /// Puts a bullet before the text that begins at `begin`; items follow each other without blank lines.
    fn mark(&mut self, begin: usize, indent: usize, is_first: bool) {
        if !is_first {
            self.close_up(begin);
        }
        let item = self.out.split_off(begin);
        let (spaces, bullet) = (
            " ".repeat(indent + STEP),
            format!("{}- ", " ".repeat(indent)),
        );
        self.out.push_str(&item.replacen(&spaces, &bullet, 1));
    }

    /// Removes the blank line at `begin`.
    fn close_up(&mut self, begin: usize) {
        if self
            .out
            .get(begin..)
            .is_some_and(|rest| rest.starts_with('\n'))
        {
            self.out.remove(begin);
        }
    }

    fn code(&mut self, code: &str, indent: usize) {
        self.out.push('\n');
        for line in code.lines() {
            let indent = if line.is_empty() { 0 } else { indent + STEP };
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// Code between backticks, where it cannot be bold.
    fn quoted(&self, spans: &[Inline]) -> Vec<Inline> {
        let quoted = |span: &Inline| match span.style {
            Style::Code if !self.screen.styled => Inline {
                text: format!("`{}`", span.text),
                style: Style::Code,
            },
            _ => span.clone(),
        };
        spans.iter().map(quoted).collect()
    }

    /// A blank line, then the text in lines that fit.
    fn paragraph(&mut self, spans: &[Inline], indent: usize) {
        let mut column = 0;
        self.out.push('\n');
        for word in words(spans) {
            let length: usize = word.iter().map(|(_, text)| text.chars().count()).sum();
            if column == 0 || column + 1 + length > self.screen.width {
                if column > 0 {
                    self.out.push('\n');
                }
                self.out.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                self.out.push(' ');
                column += 1;
            }
            for (style, text) in word {
                self.styled(style, &text);
            }
            column += length;
        }
        self.out.push('\n');
    }

    fn styled(&mut self, style: Style, text: &str) {
        let code = match style {
            _ if !self.screen.styled => "",
            Style::Plain => "",
            Style::Code | Style::Strong => BOLD,
            Style::Emphasis => UNDERLINED,
        };
        let reset = if code.is_empty() { "" } else { RESET };
        self.out.push_str(&format!("{code}{text}{reset}"));
    }
}

/// A word: text without a space in it, which may change its style in the middle.
type Word = Vec<(Style, String)>;

fn words(spans: &[Inline]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut joins = false;
    for span in spans {
        for (at, part) in span.text.split(' ').enumerate() {
            joins &= at == 0;
            if part.is_empty() {
                continue;
            }
            let part = (span.style, part.to_owned());
            match words.last_mut() {
                Some(word) if joins => word.push(part),
                _ => words.push(vec![part]),
            }
            joins = true;
        }
        joins &= !span.text.ends_with(' ');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{super::document, *};

    #[test]
    fn text_is_wrapped_and_names_are_bold_only_on_a_terminal() {
        let blocks = document::parse(
            "# Title\n\none two `three`, four five six seven eight nine ten\n\n- a\n- b\n\n`k`\n: what it is\n\n```\ncode\n```\n",
        );
        let screen = Screen {
            width: 40,
            styled: false,
        };
        assert_eq!(
            render(&blocks, screen),
            "Title\n\n  one two `three`, four five six seven\n  eight nine ten\n\n  - a\n  - b\n\n  k  what it is\n\n    code\n"
        );
        let styled = Screen {
            styled: true,
            ..screen
        };
        assert!(render(&blocks, styled).contains("\x1b[1mthree\x1b[0m,"));
    }
}
