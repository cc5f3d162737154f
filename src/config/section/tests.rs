use std::path::Path;

use super::*;

const BUILT_IN: &str = "[dial]\na = \"1s\"\nb = \"1s\"\nc = \"1s\"\nd = \"1s\"\n\
                        [[route]]\nname = \"hf\"\ndial = { a = \"2s\", b = \"2s\", c = \"2s\" }\n";
const FILE: &str =
    "[dial]\na = \"3s\"\nb = \"3s\"\n[[route]]\nname = \"hf\"\ndial = { a = \"4s\", e = 1 }\n";

#[test]
fn a_key_is_searched_in_the_route_the_section_the_built_in_route_and_the_built_in_section() {
    let (file, built_in) = (
        SourceFile::new(FILE, Some(Path::new("/a.toml"))),
        SourceFile::new(BUILT_IN, None),
    );
    let (table, default) = (file.parse(), built_in.parse());
    let root = Section::root((&file, &table), Some((&built_in, &default)));
    let (mut own, built_in_routes) = root.sections_by_layer("route", "");
    let route = own.remove(0).on_top_of(&built_in_routes[0]);
    let dial = route.section_over("dial", &root);
    let read: Vec<u64> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|key| dial.duration(key).as_secs())
        .collect();
    assert_eq!(read, [4, 3, 2, 1]);
    dial.finish();
    // Another route reads the same table: no problem is reported twice.
    let again = route.section_over("dial", &root);
    for key in ["a", "b", "c", "d"] {
        again.duration(key);
    }
    again.finish();
    let (problems, _) = file.finish();
    let messages: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].contains("a.toml:6:20: unknown key `route[0].dial.e`"),
        "{messages:?}"
    );
    assert_eq!(built_in.finish().0, Default::default());
}

#[test]
fn a_key_without_a_layer_is_reported_as_missing_and_one_of_a_wrong_type_as_wrong() {
    let file = SourceFile::new("[dial]\na = 1\n", Some(Path::new("/a.toml")));
    let table = file.parse();
    let root = Section::root((&file, &table), None);
    let dial = root.section("dial");
    assert_eq!((dial.duration("a"), dial.size("b")), (Duration::ZERO, 0));
    let messages: Vec<String> = file
        .finish()
        .0
        .0
        .into_iter()
        .map(|problem| problem.message)
        .collect();
    assert_eq!(
        messages,
        ["`dial.b` is missing", "`dial.a` must be a string, not 1"]
    );
}

#[test]
fn a_path_is_relative_to_the_file_or_to_the_home_directory() {
    let path = |home: Option<&str>, written: &str| {
        let file = SourceFile::new("", Some(Path::new("/etc/gitferry/a.toml")));
        file.with_home(home.map(Into::into)).path(written)
    };
    assert_eq!(
        path(Some("/home/me"), "~/secret"),
        Path::new("/home/me/secret")
    );
    assert_eq!(
        path(Some("/home/me"), "secret"),
        Path::new("/etc/gitferry/secret")
    );
    assert_eq!(
        path(Some("/home/me"), "/run/secret"),
        Path::new("/run/secret")
    );
    assert_eq!(path(None, "~/secret"), Path::new("/etc/gitferry/~/secret"));
}
