//! Imports point downwards: a module imports only from those to its left, and no files name each other in a circle.

mod graph;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use graph::Graph;

/// From left to right; modules of one group do not import each other.
const LAYERS: &[&[&str]] = &[
    &["sync"],
    &["rt", "model"],
    &["config"],
    &["io"],
    &["track"],
    &["tls"],
    &["net"],
    &["mirror"],
    &["forward"],
    &["admin", "doctor"],
    &["front"],
    &["service"],
    &["cli"],
    // The tests' door: nothing imports it.
    &["testing"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|group| group.contains(&module))
}

/// Every `crate::MODULE` that `text`, a file of `module`, may not name.
fn violations(module: &str, text: &str) -> Vec<String> {
    let own = layer(module).unwrap_or_else(|| panic!("{module} has no layer: add it to LAYERS"));
    let mut named = Vec::new();
    // Doc comments may point anywhere: they are read by people.
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if rest.starts_with('{') {
            // `use crate::{a::…, b::{…}}`: the names at depth one.
            let mut depth = 0;
            let mut word = String::new();
            // What follows `name::` up to the comma belongs to it.
            let mut inside = false;
            for c in rest.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 1 && !inside && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                } else if !word.is_empty() {
                    named.push(std::mem::take(&mut word));
                    inside = c == ':';
                }
                if depth == 1 && c == ',' {
                    inside = false;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            named.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    named
        .into_iter()
        .filter(|name| name != module)
        .filter(|name| layer(name).is_some_and(|other| other >= own))
        .map(|name| format!("{module} imports {name}"))
        .collect()
}

pub(crate) fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn imports_point_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut checked = 0;
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        checked += 1;
        let found = violations(module, &fs::read_to_string(file).unwrap());
        wrong.extend(
            found
                .into_iter()
                .map(|violation| format!("{}: {violation}", inside.display())),
        );
    }
    assert!(checked > 50, "only {checked} files were seen");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn an_import_that_points_upwards_is_caught() {
    assert_eq!(
        violations("model", "use crate::config::Config;"),
        ["model imports config"]
    );
    assert_eq!(
        violations(
            "tls",
            "use crate::{\n    config::{Route, Via},\n    net::{dial, listen},\n};"
        ),
        ["tls imports net"]
    );
    assert_eq!(
        violations("rt", "fn f() { crate::model::x() }"),
        ["rt imports model"]
    );
    assert!(
        violations(
            "front",
            "use crate::{forward::{HttpResponse, Forwarder}, net::Tcp};\n// crate::cli"
        )
        .is_empty()
    );
}

/// Inside `forward`, from left to right; a file that is in none of these rooms may be anywhere.
const ROOMS: &[&[&str]] = &[
    &["request"],
    &["upstream"],
    &["exchange"],
    &["tunnel", "response"],
    &["serve"],
];

fn room(file: &str) -> Option<(usize, &str)> {
    let name = file.strip_prefix("forward/")?.split('/').next()?;
    let name = name.trim_end_matches(".rs");
    let place = ROOMS.iter().position(|group| group.contains(&name))?;
    Some((place, name))
}

fn graph_of_the_sources() -> Graph {
    Graph::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn rooms_of_forward_import_only_from_those_to_their_left() {
    let edges = graph_of_the_sources().edges();
    let mut between = 0;
    let mut wrong = Vec::new();
    for (file, named) in &edges {
        for other in named {
            let (Some((from, room)), Some((to, other_room))) = (room(file), room(other)) else {
                continue;
            };
            between += usize::from(room != other_room);
            if to > from || to == from && room != other_room {
                wrong.push(format!("{file} imports {other}"));
            }
        }
    }
    assert!(
        between > 20,
        "only {between} imports between rooms were seen"
    );
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn files_do_not_name_each_other_in_a_circle() {
    let graph = graph_of_the_sources();
    let edges = graph.edges();
    assert!(edges.len() > 200, "only {} files were seen", edges.len());
    let circles = graph.circles();
    let named: Vec<Vec<_>> = circles
        .iter()
        .map(|circle| {
            let inside = |file| edges[file].intersection(circle).collect::<Vec<_>>();
            circle.iter().map(|file| (file, inside(file))).collect()
        })
        .collect();
    assert!(named.is_empty(), "files name each other: {named:#?}");
}

#[test]
fn a_circle_of_files_is_caught() {
    let files = [
        ("a/mod.rs", "mod one;\npub(crate) use two::Two;\nmod two;\n"),
        ("a/one.rs", "use super::Two;\n"),
        (
            "a/two.rs",
            "use crate::{a::{one::{self, One as Uno}, three}, b};\n",
        ),
        (
            "a/three.rs",
            "// crate::a::two\nfn f() {}\nmod tests {\n use crate::a::two; }\n",
        ),
        ("b.rs", "mod inside;\nuse inside::X;\n"),
        ("b/inside.rs", "use super::Y;\n"),
    ];
    let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let circles = Graph::of(files.into()).circles();
    let expected: BTreeSet<String> = ["a/one.rs", "a/two.rs"].map(str::to_owned).into();
    assert_eq!(circles, [expected]);
}
