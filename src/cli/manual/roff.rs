//! The manual as roff, in the macros of man(7) that groff and mandoc share.

use super::document::{Block, Inline, Style};

/// The longest line of running text, in bytes.
const WIDEST: usize = 78;

/// What the head of a page says.
pub(super) struct PageHead<'a> {
    pub(super) title: &'a str,
    pub(super) section: u8,
    pub(super) date: &'a str,
    pub(super) manual: &'a str,
}

/// A whole page.
pub(super) fn page(head: &PageHead<'_>, blocks: &[Block]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let PageHead {
        title,
        section,
        date,
        manual,
    } = head;
    let mut text = format!(
        ".TH {} {section} \"{date}\" \"gitferry {version}\" \"{manual}\"\n.nh\n.ad l\n",
        title.to_uppercase()
    );
    render(blocks, &mut text);
    text
}

fn render(blocks: &[Block], text: &mut String) {
    // A heading starts a paragraph by itself.
    let mut after_heading = false;
    for block in blocks {
        match block {
            Block::Heading(level, title) => heading(*level, title, after_heading, text),
            Block::Paragraph(spans) => {
                if !after_heading {
                    text.push_str(".PP\n");
                }
                line(spans, text);
            }
            Block::Code(code) => listing(code, text),
            Block::List(items) => {
                for item in items {
                    text.push_str(".IP \\(bu 2\n");
                    inner(item, text);
                }
            }
            Block::Definitions(list) => {
                for definition in list {
                    text.push_str(".TP\n");
                    text.push_str(&guarded(styled(&definition.term).trim()));
                    text.push('\n');
                    inner(&definition.meaning, text);
                }
            }
        }
        after_heading = matches!(block, Block::Heading(..));
    }
}

/// The text of a bullet or a term.
fn inner(blocks: &[Block], text: &mut String) {
    let mut blocks = blocks.iter();
    match blocks.next() {
        Some(Block::Paragraph(spans)) => line(spans, text),
        Some(other) => nested(std::slice::from_ref(other), text),
        None => text.push_str("\\&\n"),
    }
    for block in blocks {
        match block {
            Block::Paragraph(spans) => {
                text.push_str(".IP\n");
                line(spans, text);
            }
            other => nested(std::slice::from_ref(other), text),
        }
    }
}

fn nested(blocks: &[Block], text: &mut String) {
    text.push_str(".RS\n");
    render(blocks, text);
    text.push_str(".RE\n");
}

fn heading(level: u8, title: &[Inline], after_heading: bool, text: &mut String) {
    let name = escaped(&super::document::plain(title)).replace('"', "\\(dq");
    match level {
        1 => text.push_str(&format!(".SH \"{}\"\n", name.to_uppercase())),
        2 => text.push_str(&format!(".SS \"{name}\"\n")),
        _ if after_heading => text.push_str(&format!("\\fB{name}\\fR\n")),
        _ => text.push_str(&format!(".PP\n\\fB{name}\\fR\n")),
    }
}

fn listing(code: &str, text: &mut String) {
    text.push_str(".IP\n.EX\n");
    for line in code.lines() {
        text.push_str(&guarded(&escaped(line)));
        text.push('\n');
    }
    text.push_str(".EE\n");
}

fn line(spans: &[Inline], text: &mut String) {
    text.push_str(&wrapped(styled(spans).trim()));
}

fn styled(spans: &[Inline]) -> String {
    let mut line = String::new();
    for Inline { text, style } in spans {
        let escaped = escaped(text);
        line.push_str(&match style {
            Style::Plain => escaped,
            Style::Code | Style::Strong => format!("\\fB{escaped}\\fR"),
            Style::Emphasis => format!("\\fI{escaped}\\fR"),
        });
    }
    line
}

/// Running text in short lines, each sentence on a line of its own, as man pages are written.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let ends_sentence = line.ends_with(['.', '!', '?']);
        if !line.is_empty() && (ends_sentence || line.len() + 1 + word.len() > WIDEST) {
            lines.push_str(&guarded(&std::mem::take(&mut line)));
            lines.push('\n');
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + &guarded(&line) + "\n"
}

/// The text with roff's special characters escaped; hyphens can be copied as such.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('`', "\\(ga")
        .replace('^', "\\(ha")
        .replace('~', "\\(ti")
        .replace('…', "...")
        .replace('→', "\\(->")
}

/// A line with a full stop at its start would be a request.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::document, *};

    #[test]
    fn special_characters_of_roff_are_escaped() {
        let head = PageHead {
            title: "x",
            section: 1,
            date: "2026-11-26",
            manual: "Manual",
        };
        let page = page(
            &head,
            &document::parse(".x `--a \\b`\n\n```\n.y\n'z\n```\n\n- c\n\nd\n: e\n\n      f\n"),
        );
        assert_eq!(
            page.split_once(".ad l\n").unwrap().1,
            ".PP\n\\&.x \\fB\\-\\-a \\eb\\fR\n.IP\n.EX\n\\&.y\n\\(aqz\n.EE\n.IP \\(bu 2\nc\n.TP\nd\ne\n.RS\n.IP\n.EX\nf\n.EE\n.RE\n"
        );
    }
}
