//! Every text of the program in one file, `tests/fixtures/messages.txt`, so that it can be read in one go and kept plain.
//!
//! The file is made from the source: the string literals of every module, the page's script and markup, and the help of every
//! command. `UPDATE_FIXTURES=1 cargo test --test it messages` writes it anew; a change of a message shows as a change of that file.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proc_macro2::{TokenStream, TokenTree};

use crate::layers::sources;

const HEAD: &str = "\
# Every message, advice and help text of gitferry, by the file that it comes from.
# Made by tests/it/messages.rs: UPDATE_FIXTURES=1 cargo test --test it messages
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a person reads `text`: words with a space between them. Names, fields and formats of one word are not in the file.
fn is_prose(text: &str) -> bool {
    let letters = |word: &str| word.chars().filter(|c| c.is_ascii_alphabetic()).count() > 1;
    text.split_whitespace().filter(|word| letters(word)).count() > 1
}

/// The string literals of `tokens`, in the order of the source; nothing of attributes and of what only tests compile.
fn literals(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut skip_item = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let after_hash = at > 0
                    && matches!(&tokens[at - 1], TokenTree::Punct(p) if "#!".contains(p.as_char()))
                    && group.delimiter() == proc_macro2::Delimiter::Bracket;
                if after_hash {
                    let text = group.stream().to_string();
                    skip_item |= text.starts_with("cfg (test)") || text.starts_with("cfg(test)");
                    continue;
                }
                if skip_item && group.delimiter() == proc_macro2::Delimiter::Brace {
                    skip_item = false;
                    continue;
                }
                literals(group.stream(), found);
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => skip_item = false,
            TokenTree::Literal(literal) if !skip_item => {
                if let Ok(syn::Lit::Str(text)) = syn::parse_str::<syn::Lit>(&literal.to_string()) {
                    found.push(text.value());
                }
            }
            _ => {}
        }
    }
}

/// The quoted strings of a script, and the text between the tags of markup.
fn page_texts(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if name.ends_with(".html") {
        for part in text.split('>') {
            found.push(part.split('<').next().unwrap_or_default().trim().to_owned());
        }
        return found;
    }
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut rest = code.as_str();
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let quote = rest.as_bytes()[start] as char;
        let Some(end) = rest[start + 1..].find(quote) else {
            break;
        };
        found.push(rest[start + 1..start + 1 + end].to_owned());
        rest = &rest[start + end + 2..];
    }
    found
}

/// One part of the file; a text of several lines is kept as it stands, indented below its first.
fn part(all: &mut String, title: &str, texts: &[String]) {
    let mut seen = BTreeSet::new();
    let texts: Vec<&String> = texts
        .iter()
        .filter(|text| is_prose(text) && seen.insert(text.as_str()))
        .collect();
    if texts.is_empty() {
        return;
    }
    let _ = writeln!(all, "\n== {title}");
    for text in texts {
        let mut lines = text.trim_end().lines();
        let _ = writeln!(all, "- {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(all, "{}", format!("  {line}").trim_end());
        }
    }
}

fn help(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_gitferry"))
        .args(arguments)
        .arg("--help")
        .env("COLUMNS", "100")
        .env_remove("HOME")
        .output()
        .unwrap();
    assert!(out.status.success(), "{arguments:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// The help of `arguments` and of every command below it.
fn helps(arguments: &[&str], all: &mut String) {
    let text = help(arguments);
    let _ = writeln!(
        all,
        "\n== gitferry {}\n{}",
        [arguments, &["--help"]].concat().join(" "),
        text.trim_end()
    );
    let Some(commands) = text.split_once("\nCommands:\n") else {
        return;
    };
    for line in commands.1.lines().take_while(|line| !line.is_empty()) {
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.split(' ').next());
        if let Some(name) = name.filter(|name| !name.is_empty() && *name != "help") {
            helps(&[arguments, &[name]].concat(), all);
        }
    }
}

fn is_test_file(inside: &Path) -> bool {
    inside.ends_with("testing.rs")
        || inside.iter().any(|part| {
            part.to_str()
                .is_some_and(|part| ["tests", "tests.rs", "simulation.rs"].contains(&part))
        })
}

fn messages() -> String {
    let mut all = HEAD.to_owned();
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files.sort();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        if is_test_file(inside) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let tokens = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut found = Vec::new();
        literals(tokens, &mut found);
        part(&mut all, &format!("src/{}", inside.display()), &found);
    }
    let page = src.join("admin/page");
    let mut files: Vec<PathBuf> = fs::read_dir(&page)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".js") || name.ends_with(".html") {
            let texts = page_texts(&name, &fs::read_to_string(&file).unwrap());
            part(&mut all, &format!("src/admin/page/{name}"), &texts);
        }
    }
    helps(&[], &mut all);
    all
}

#[test]
fn every_message_stands_in_the_golden_file() {
    let file = root().join("tests/fixtures/messages.txt");
    let made = messages();
    if env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&file, made).unwrap();
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let new: Vec<&str> = made
        .lines()
        .filter(|line| !kept.lines().any(|old| old == *line))
        .collect();
    let gone: Vec<&str> = kept
        .lines()
        .filter(|line| !made.lines().any(|now| now == *line))
        .collect();
    assert!(
        made == kept,
        "tests/fixtures/messages.txt is not what the program says.\nnew: {new:#?}\ngone: {gone:#?}\n\
         Read the new ones as a user would, then run UPDATE_FIXTURES=1 cargo test --test it messages"
    );
}

#[test]
fn what_a_user_reads_is_found_and_the_rest_is_not() {
    let source = r#"
        /// A comment in words.
        #[doc = "an attribute in words"]
        fn f() { error!("cannot read {path}: {error}"); name("leg") }
        #[cfg(test)]
        mod tests { fn g() { panic!("only a test says this") } }
        const AFTER: &str = "said after the tests";
    "#;
    let mut found = Vec::new();
    literals(source.parse().unwrap(), &mut found);
    assert_eq!(
        found,
        ["cannot read {path}: {error}", "leg", "said after the tests"]
    );
    assert!(is_prose(&found[0]) && !is_prose("leg") && !is_prose("text/plain; q=1"));
    assert_eq!(
        page_texts(
            "a.js",
            "x = \"all healthy\";\n// it's not this\ny = `a ${b} c`"
        ),
        ["all healthy", "a ${b} c"]
    );
}
