//! A page of the manual as blocks, parsed from Markdown for both renderers.
//!
//! A table becomes a list of definitions, with its first column as the term: neither a man page nor a narrow terminal has room for
//! columns.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A heading of level 1, 2, …
    Heading(u8, Vec<Inline>),
    /// Running text.
    Paragraph(Vec<Inline>),
    /// Preformatted lines.
    Code(String),
    /// A list with bullets or numbers.
    List(Vec<Vec<Self>>),
    /// A list of definitions.
    Definitions(Vec<Definition>),
}

/// A term and its meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) term: Vec<Inline>,
    pub(super) meaning: Vec<Block>,
}

/// Text of one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inline {
    pub(super) text: String,
    pub(super) style: Style,
}

/// The style of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Code,
    Strong,
    Emphasis,
}

/// The blocks of a Markdown text: headings, paragraphs, code blocks, lists, definition lists and tables.
pub(super) fn parse(markdown: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    blocks(&mut Parser::new_ext(markdown, options))
}

/// The spans as plain text.
pub(super) fn plain(spans: &[Inline]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}

/// The blocks up to the end of the open element.
fn blocks(events: &mut Parser<'_>) -> Vec<Block> {
    let mut found = Vec::new();
    // The text of a list item without blank lines is in no paragraph.
    let mut loose = Vec::new();
    while let Some(event) = events.next() {
        let block = match event {
            Event::End(_) => break,
            Event::Start(Tag::Heading { level, .. }) => Block::Heading(level as u8, spans(events)),
            Event::Start(Tag::Paragraph) => Block::Paragraph(spans(events)),
            Event::Start(Tag::CodeBlock(_)) => Block::Code(code(events)),
            Event::Start(Tag::List(_)) => Block::List(items(events)),
            Event::Start(Tag::DefinitionList) => Block::Definitions(definitions(events)),
            Event::Start(Tag::Table(_)) => Block::Definitions(rows(events)),
            event => {
                inline(event, events, Style::Plain, &mut loose);
                continue;
            }
        };
        flush(&mut loose, &mut found);
        found.push(block);
    }
    flush(&mut loose, &mut found);
    found
}

fn flush(loose: &mut Vec<Inline>, found: &mut Vec<Block>) {
    if !loose.is_empty() {
        found.push(Block::Paragraph(std::mem::take(loose)));
    }
}

fn spans(events: &mut Parser<'_>) -> Vec<Inline> {
    let mut found = Vec::new();
    styled(events, Style::Plain, &mut found);
    found
}

fn styled(events: &mut Parser<'_>, style: Style, found: &mut Vec<Inline>) {
    while let Some(event) = events.next() {
        if let Event::End(_) = event {
            return;
        }
        inline(event, events, style, found);
    }
}

fn inline(event: Event<'_>, events: &mut Parser<'_>, style: Style, found: &mut Vec<Inline>) {
    let (text, style) = match event {
        Event::Text(text) => (text, style),
        Event::Code(text) => (text, Style::Code),
        Event::SoftBreak | Event::HardBreak => (" ".into(), style),
        Event::Start(tag) => {
            let style = match tag {
                Tag::Strong => Style::Strong,
                Tag::Emphasis => Style::Emphasis,
                _ => style,
            };
            styled(events, style, found);
            return;
        }
        _ => return,
    };
    match found.last_mut() {
        Some(last) if last.style == style => last.text.push_str(&text),
        _ => found.push(Inline {
            text: text.into_string(),
            style,
        }),
    }
}

fn code(events: &mut Parser<'_>) -> String {
    plain(&spans(events)).trim_end().to_owned()
}

fn items(events: &mut Parser<'_>) -> Vec<Vec<Block>> {
    let mut items = Vec::new();
    while let Some(Event::Start(_)) = events.next() {
        items.push(blocks(events));
    }
    items
}

fn definitions(events: &mut Parser<'_>) -> Vec<Definition> {
    let mut found: Vec<Definition> = Vec::new();
    while let Some(Event::Start(tag)) = events.next() {
        if tag == Tag::DefinitionListTitle {
            found.push(Definition {
                term: spans(events),
                meaning: Vec::new(),
            });
        } else {
            let meaning = blocks(events);
            if let Some(last) = found.last_mut() {
                last.meaning.extend(meaning);
            }
        }
    }
    found
}

/// The rows below the head of a table.
fn rows(events: &mut Parser<'_>) -> Vec<Definition> {
    let mut found = Vec::new();
    let mut cells: Vec<Vec<Inline>> = Vec::new();
    while let Some(event) = events.next() {
        match event {
            Event::Start(Tag::TableCell) => cells.push(spans(events)),
            Event::End(TagEnd::TableHead) => cells.clear(),
            Event::End(TagEnd::TableRow) => {
                let mut row = cells.drain(..);
                let term = row.next().unwrap_or_default();
                let meaning = row.map(Block::Paragraph).collect();
                found.push(Definition { term, meaning });
            }
            Event::End(TagEnd::Table) => break,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_definitions_and_tables_become_blocks() {
        let blocks = parse(
            "# A\n\nb *c* `d`\ne\n\n- f\n- **g**\n\nh\n: i\n\n| x | y |\n|---|---|\n| `j` | k |\n\n```toml\nl\n\nm\n```\n",
        );
        let [
            Block::Heading(1, a),
            Block::Paragraph(b),
            Block::List(list),
            Block::Definitions(first),
            Block::Definitions(table),
            Block::Code(code),
        ] = &blocks[..]
        else {
            panic!("{blocks:?}");
        };
        assert_eq!((plain(a), plain(b)), ("A".into(), "b c d e".into()));
        assert_eq!(list.len(), 2);
        assert_eq!(plain(&first[0].term), "h");
        assert_eq!(plain(&table[0].term), "j");
        assert_eq!(table.len(), 1);
        assert_eq!(code, "l\n\nm");
    }
}
