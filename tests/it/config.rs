//! Config files as users write them: good ones, and bad ones with every mistake they hold.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use gitferry::testing::{Config, DEFAULT, Problems, load};

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

fn read(file: Option<&Path>) -> Result<Config, Problems> {
    load(file, &|name| {
        (name == "HOME").then(|| "/home/user".to_owned())
    })
}

/// `#~ 3:1 part of the message`, for every mistake in the order of the file.
#[test]
fn every_mistake_of_a_bad_file_is_reported_with_line_column_and_hint() {
    let mut seen = 0;
    for file in fixtures("bad") {
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#~ "))
            .collect();
        assert!(!expected.is_empty(), "{}: expects nothing", file.display());
        let problems = read(Some(&file)).unwrap_err();
        let told: Vec<String> = problems
            .0
            .iter()
            .map(|p| {
                format!(
                    "{}:{} {} | {}",
                    p.line,
                    p.column,
                    p.message,
                    p.hint.as_deref().unwrap_or("")
                )
            })
            .collect();
        assert_eq!(
            told.len(),
            expected.len(),
            "{}:\n{}",
            file.display(),
            told.join("\n")
        );
        for (told, expected) in told.iter().zip(expected) {
            let (place, part) = expected.split_once(' ').unwrap();
            assert!(
                told.starts_with(place) && told.contains(part),
                "{}: {told:?} is not {expected:?}",
                file.display()
            );
        }
        assert!(
            !problems.to_string().contains("hunter2"),
            "{}: a secret is shown",
            file.display()
        );
        seen += 1;
    }
    assert_eq!(seen, 11, "fixtures were added or lost: say so here");
}

/// Both were answered with the advice to check path and mode.
#[test]
fn a_directory_and_a_file_that_is_not_utf_8_get_the_hint_that_helps() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gitferry.toml");
    fs::write(&file, b"[listen]\n\xff\xfe\n").unwrap();
    for (path, hint) in [
        (&*file, "save it as UTF-8"),
        (directory.path(), "name a file"),
    ] {
        let problems = read(Some(path)).unwrap_err();
        assert_eq!(problems.0[0].hint.as_deref(), Some(hint));
    }
}

#[test]
fn a_good_file_is_taken() {
    let mut seen = 0;
    for file in fixtures("good") {
        if let Err(problems) = read(Some(&file)) {
            panic!("{problems}");
        }
        seen += 1;
    }
    assert_eq!(seen, 3, "fixtures were added or lost: say so here");
}

#[test]
fn the_embedded_default_is_good_and_knows_the_three_sites() {
    let config = read(None).unwrap();
    assert_eq!(config.warnings, []);
    for (host, route) in [
        ("huggingface.co:443", "hf-main"),
        ("cdn-lfs-us-1.huggingface.co:443", "hf-lfs"),
        ("cas-server.xethub.hf.co:443", "hf-xet"),
        ("transfer.xethub-eu.hf.co:443", "hf-xet"),
        ("us.aws.cdn.hf.co:443", "hf-xet"),
        ("cdn-lfs-eu-1.hf.co:443", "hf-lfs"),
        (
            "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com:443",
            "hf-lfs",
        ),
        ("github-cloud.githubusercontent.com:443", "github-lfs"),
        ("github.com:443", "github-main"),
        ("gitlab.com:22", "gitlab-main"),
        ("example.org:443", "other_hosts"),
    ] {
        let target = gitferry::testing::Target::parse(host, None).unwrap();
        assert_eq!(&*config.route(&target).name, route, "{host}");
    }
}

/// A file says what it changes: a built-in route by its name, its own before the built-in ones.
#[test]
fn a_route_of_a_file_changes_the_built_in_one_of_its_name_and_leaves_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own.toml");
    let text = "[hops]\noffice = { url = \"http://192.0.2.1:3128\" }\n\
                [stall]\nafter = \"7s\"\n\
                [[route]]\nname = \"hf-lfs\"\nupstreams = [{ via = \"office\" }]\nuploads = { at_once = 2 }\n\
                [[route]]\nname = \"work\"\nhosts = [\"git.example.com\"]\ntls = \"tunnel\"\nupstreams = [{ via = \"direct\" }]\n";
    fs::write(&file, text).unwrap();
    let (before, after) = (read(None).unwrap(), read(Some(&file)).unwrap());
    let names = |config: &Config| -> Vec<String> {
        let routes = config.routes.iter();
        routes.map(|route| route.name.to_string()).collect()
    };
    assert_eq!(names(&after)[0], "work");
    assert_eq!(names(&after)[1..], names(&before));
    let named = |config: &Config, name: &str| {
        let route = config.routes.iter().find(|route| &*route.name == name);
        std::sync::Arc::clone(route.unwrap())
    };
    let (was, is) = (named(&before, "hf-lfs"), named(&after, "hf-lfs"));
    assert_eq!(
        (&is.hosts, is.tls, is.role),
        (&was.hosts, was.tls, was.role)
    );
    assert_eq!((is.replay, is.stall.action), (was.replay, was.stall.action));
    assert_eq!(&*is.upstreams[0].label, "office");
    assert_eq!(is.uploads.at_once, Some(2));
    for route in ["hf-lfs", "hf-main", "work"] {
        let after = named(&after, route).stall.limits.after;
        assert_eq!(after, Duration::from_secs(7), "{route}");
    }
    fs::write(&file, text.replace("hf-lfs", "hf-lsf")).unwrap();
    let mistyped = read(Some(&file)).unwrap_err().to_string();
    assert!(
        mistyped.contains("did you mean the built-in route `hf-lfs`"),
        "{mistyped}"
    );
    fs::write(&file, format!("[built_in]\nroutes = false\n{text}")).unwrap();
    let alone = read(Some(&file)).unwrap();
    assert_eq!(names(&alone), ["hf-lfs", "work"]);
    assert_eq!(named(&alone, "hf-lfs"), is);
}

#[test]
fn a_stall_of_storage_fails_over_unless_the_config_says_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own.toml");
    let routes = "[[route]]\nname = \"storage\"\nrole = \"lfs-storage\"\nhosts = [\"lfs.example.com\"]\ntls = \"terminate\"\n\
                  upstreams = [{ via = \"direct\" }]\n\
                  [[route]]\nname = \"site\"\nrole = \"main-site\"\nhosts = [\"git.example.com\"]\ntls = \"terminate\"\n\
                  upstreams = [{ via = \"direct\" }]\n";
    let actions = |text: String| {
        fs::write(&file, text).unwrap();
        let config = read(Some(&file)).unwrap_or_else(|problems| panic!("{problems}"));
        ["storage", "site", "hf-lfs", "hf-main"].map(|name| {
            let route = config.routes.iter().find(|route| &*route.name == name);
            format!("{:?}", route.unwrap().stall.action)
        })
    };
    assert_eq!(
        actions(routes.to_owned()),
        ["Failover", "Report", "Failover", "Report"]
    );
    assert_eq!(
        actions(format!("[stall]\naction = \"fail\"\n{routes}")),
        ["Fail"; 4]
    );
    assert_eq!(
        actions(format!("{routes}stall = {{ action = \"fail\" }}\n")),
        ["Failover", "Fail", "Failover", "Report"]
    );
}

#[test]
fn the_reverse_front_serves_what_is_named_and_trusts_names_more_than_patterns() {
    let file = fixtures("good")
        .into_iter()
        .find(|file| file.ends_with("mirrors.toml"));
    let config = read(file.as_deref()).unwrap();
    for (target, serves, needs_public_address) in [
        ("huggingface.co:443", true, false),
        ("storage.test:443", true, false),
        ("a.cdn.test:443", true, true),
        ("cdn.test:443", false, true),
        ("hf-mirror.com:443", false, true),
        ("127.0.0.1:443", false, true),
    ] {
        let parsed = gitferry::testing::Target::parse(target, None).unwrap();
        assert_eq!(config.serves(&parsed), serves, "{target}");
        assert_eq!(
            config.needs_public_address(&parsed),
            needs_public_address,
            "{target}"
        );
    }
    let labels: Vec<_> = config.routes[0]
        .upstreams
        .iter()
        .map(|upstream| &*upstream.label)
        .collect();
    assert_eq!(
        labels,
        [
            "direct",
            "environment to hf-mirror.com",
            "direct to hf-mirror.com/hub",
            "direct to http://127.0.0.1:8080"
        ]
    );
}

/// Every key that is valid somewhere stands in the reference, set or commented out.
#[test]
fn the_reference_has_every_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    let probe = "z=1\n[listen]\nz=1\n[state]\nz=1\n[trust]\nz=1\n[log]\nz=1\n[shutdown]\nz=1\n[dial]\nz=1\n[stall]\nz=1\n[uploads]\nz=1\n[interim]\nz=1\n[pool]\nz=1\n[reverse]\nz=1\n[rewrite]\nz=1\n[built_in]\nz=1\n[hops]\nh={z=1}\n\
                 [other_hosts]\nz=1\n[[route]]\nz=1\nupstreams=[{z=1}]\n";
    fs::write(&file, probe).unwrap();
    let problems = read(Some(&file)).unwrap_err();
    let mut keys = BTreeSet::new();
    for hint in problems
        .0
        .iter()
        .filter(|p| p.message.contains("unknown key"))
        .filter_map(|p| p.hint.as_ref())
    {
        let list = hint.split("alid keys: ").nth(1).unwrap();
        keys.extend(list.split(", ").map(|key| key.trim_matches('`').to_owned()));
    }
    assert!(keys.len() > 47, "only {} keys: {keys:?}", keys.len());
    for key in keys {
        // Set or commented out, on a line of its own or in an inline table.
        let set = format!("{key} =");
        let is_set = |line: &str| {
            let mut places = line.match_indices(&set);
            places.any(|(at, _)| at == 0 || line[..at].ends_with([' ', '{', '#']))
        };
        assert!(
            DEFAULT.lines().any(is_set) || DEFAULT.contains(&format!("[{key}]")),
            "`{key}` is missing in config/gitferry.toml"
        );
    }
}

#[test]
fn no_broken_text_panics() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broken.toml");
    let mut refused = 0;
    for at in (0..DEFAULT.len()).step_by(61) {
        let cut = DEFAULT.get(..at).unwrap_or_default();
        let swapped: String = DEFAULT
            .chars()
            .enumerate()
            .map(|(n, c)| if n == at { '"' } else { c })
            .collect();
        for text in [cut, &swapped] {
            fs::write(&file, text).unwrap();
            refused += usize::from(read(Some(&file)).is_err());
        }
    }
    assert!(refused > 50, "only {refused} broken texts were refused");
}
