//! Where clients go with a URI reference that they got from the daemon's reverse front: as RFC 3986 says (curl, git, Python, Go), and as WHATWG's
//! URL says (Rust's reqwest, browsers).

/// The daemon as the client wrote it.
const DAEMON: [&str; 2] = ["127.0.0.1:4483", "localhost:4483"];

/// The path on the daemon that a client asks for, the dots resolved; `None` where it goes elsewhere or nowhere.
pub(crate) fn on_the_daemon(asked: &str, reference: &str, whatwg: bool) -> Option<String> {
    let mut text = reference.to_owned();
    if whatwg {
        text = text.trim_matches(|c: char| c <= ' ').to_owned();
        text.retain(|c| !matches!(c, '\t' | '\r' | '\n'));
        let end = text.find(['?', '#']).unwrap_or(text.len());
        text = text[..end].replace('\\', "/") + &text[end..];
    }
    let rest = match scheme(&text) {
        Some(("http", rest)) if !rest.starts_with("//") => rest,
        Some(("http", rest)) => return of_daemon(rest, whatwg).map(|path| without_dots(&path)),
        Some(_) => return None,
        None => &text,
    };
    let path = if rest.starts_with("//") {
        of_daemon(rest, whatwg)?
    } else if rest.starts_with('/') {
        rest.to_owned()
    } else if rest.is_empty() || rest.starts_with(['?', '#']) {
        asked.to_owned()
    } else {
        let directory = asked.rfind('/').map_or("/", |at| &asked[..=at]);
        format!("{directory}{rest}")
    };
    Some(without_dots(&path))
}

fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let known = ["http", "https"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known));
    valid.then(|| (known.unwrap_or("other"), rest))
}

/// The path of `//authority/path`, where that is the daemon.
fn of_daemon(rest: &str, whatwg: bool) -> Option<String> {
    let after = match whatwg {
        true => rest.trim_start_matches('/'),
        false => rest.strip_prefix("//")?,
    };
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, path) = after.split_at(end);
    // Python's urljoin, and curl of old, stay with the host where none is named.
    if authority.is_empty() {
        return Some(path.to_owned());
    }
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = host.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    // curl and WHATWG read numbers as addresses.
    let host = match host.to_ascii_lowercase().as_str() {
        "127.1" | "2130706433" | "0x7f000001" | "127.0.0.1." | "127%2e0.0.1" => {
            "127.0.0.1".to_owned()
        }
        host => host.to_owned(),
    };
    DAEMON
        .contains(&format!("{host}:{port}").as_str())
        .then(|| path.to_owned())
}

/// RFC 3986, section 5.2.4, with escaped dots.
fn without_dots(path: &str) -> String {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let mut kept: Vec<&str> = Vec::new();
    for part in path[..end].split('/').skip(1) {
        match part.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}
