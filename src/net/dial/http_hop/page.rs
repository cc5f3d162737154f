//! The text of a hop's error page: all of it or, of a long page, the title and the sentences with the reason. Pure.

use super::super::greeting::printable;

/// The most characters shown.
const MAX_SHOWN: usize = 300;

/// The text of `page` on one line: all of it, or the part with the reason, without text that `head` already has; `mask` masks each part.
///
/// Secrets are masked again after tags and entities are removed, because these may have split one.
pub(super) fn reason(page: &str, html: bool, head: &str, mask: impl Fn(&str) -> String) -> String {
    let text = match html {
        true => mask(&without_tags(page)),
        // Its lines are no sentences.
        false => page.replace('\n', " "),
    };
    let whole = printable(&text, usize::MAX);
    let is_short = whole.chars().count() <= MAX_SHOWN;
    let title = html.then(|| title(page)).flatten().unwrap_or_default();
    let title = mask(&title);
    let parts: Vec<&str> = match is_short {
        true => text.lines().collect(),
        false => {
            let sentences = text.lines().flat_map(|line| line.split(". "));
            let reasons = sentences.filter(|line| states_reason(line));
            std::iter::once(&*title).chain(reasons).collect()
        }
    };
    let mut kept: Vec<String> = Vec::new();
    for part in parts {
        let part = printable(part, MAX_SHOWN);
        if !head.contains(&part) && !kept.iter().any(|known| known.contains(&part)) {
            kept.push(part);
        }
    }
    let kept = match kept.is_empty() && !is_short {
        true => whole,
        false => kept.join("; "),
    };
    kept.chars().take(MAX_SHOWN).collect()
}

/// Words of sentences that state a reason; squid puts the error number in brackets before its name.
const REASON_WORDS: [&str; 22] = [
    "denied",
    "not allowed",
    "not permitted",
    "forbidden",
    "blocked",
    "prohibited",
    "policy",
    "refused",
    "reset",
    "failed",
    "failure",
    "unable",
    "could not",
    "cannot",
    "unreachable",
    "no route",
    "timed out",
    "timeout",
    "dns",
    "unknown host",
    "certificate",
    "too large",
];

fn states_reason(sentence: &str) -> bool {
    let lower = sentence.to_ascii_lowercase();
    let errno = lower
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .is_some_and(|(number, _)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
    errno || REASON_WORDS.iter().any(|word| lower.contains(word))
}

fn title(page: &str) -> Option<String> {
    let from = find_ignoring_case(page, "<title>")? + "<title>".len();
    let rest = page.get(from..)?;
    let to = find_ignoring_case(rest, "</title>")?;
    Some(without_tags(rest.get(..to)?))
}

/// The readable text of a page: no tags, comments, styles or scripts.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(&before.replace('\n', " "));
        text.push(if is_block(tag) { '\n' } else { ' ' });
        let lower = tag.get(..8).unwrap_or(tag).to_ascii_lowercase();
        let end = [
            ("!--", "-->"),
            ("style", "</style>"),
            ("script", "</script>"),
        ]
        .iter()
        .find(|(start, _)| lower.starts_with(start))
        .map_or(">", |(_, end)| end);
        rest = match find_ignoring_case(tag, end) {
            Some(at) => tag.get(at + end.len()..).unwrap_or_default(),
            None => "",
        };
    }
    text.push_str(&rest.replace('\n', " "));
    [
        ("&nbsp;", " "),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text, |text, (entity, plain)| text.replace(entity, plain))
}

/// True for a tag that starts or ends a line.
fn is_block(tag: &str) -> bool {
    const BLOCKS: [&str; 14] = [
        "p",
        "br",
        "br/",
        "div",
        "h1",
        "h2",
        "h3",
        "li",
        "td",
        "tr",
        "title",
        "blockquote",
        "hr",
        "dd",
    ];
    let name: String = tag
        .trim_start_matches('/')
        .chars()
        .take_while(|c| !c.is_whitespace() && *c != '>')
        .collect();
    BLOCKS.iter().any(|block| name.eq_ignore_ascii_case(block))
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes()
        .windows(wanted.len())
        .position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// The data of the complete chunks, and whether the last chunk is among them (RFC 9112, section 7.1).
pub(super) fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split(';').next())
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        match size {
            Some(0) | None => return (data, true),
            Some(size) => data.extend_from_slice(after.get(..size).unwrap_or(after)),
        }
        // The line end after the chunk is not data.
        rest = size
            .and_then(|size| size.checked_add(2))
            .and_then(|next| after.get(next..))
            .unwrap_or_default();
    }
    (data, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_page_is_reduced_to_title_and_reasons() {
        let filler = "<p>This is a sentence about nothing at all.</p>\n".repeat(30);
        let page = format!(
            "<html><head><title>ERROR: The requested URL could not be retrieved</title><style>{}</style></head>\
             <body>{filler}<p>Connection to 192.0.2.1 failed.</p><p id=\"sysmsg\">The system returned: <i>(111) Connection refused</i></p>{filler}",
            "body { color: red }".repeat(100)
        );
        assert_eq!(
            reason(&page, true, "", str::to_owned),
            "ERROR: The requested URL could not be retrieved; Connection to 192.0.2.1 failed.; The system returned: (111) Connection refused"
        );
        assert_eq!(
            reason("short <b>text</b>", true, "", str::to_owned),
            "short text"
        );
        assert_eq!(
            reason(&"x".repeat(1000), false, "", str::to_owned).len(),
            MAX_SHOWN
        );
    }

    #[test]
    fn text_of_the_status_line_is_not_repeated() {
        let page =
            "<title>403 Forbidden</title>\n<h1>Forbidden</h1>\n<p>The port is\nnot allowed.</p>";
        assert_eq!(
            reason(page, true, "403 Forbidden", str::to_owned),
            "The port is not allowed."
        );
    }

    #[test]
    fn a_password_spelled_with_entities_is_masked() {
        let mask = |text: &str| text.replace("pass&word", "<hidden>");
        let page = "<title>no pass&amp;word</title>you sent pass&amp;word";
        assert_eq!(
            reason(page, true, "", mask),
            "no <hidden>; you sent <hidden>"
        );
        let long = format!("{page}{}", "<p>nothing</p>".repeat(100));
        assert_eq!(reason(&long, true, "", mask), "no <hidden>");
    }
}
