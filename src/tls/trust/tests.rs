use std::{fs, os::unix::fs::MetadataExt};

use super::*;
use crate::tls::testing::{ExternalCa, patterns};

fn load(files: &[&Path]) -> Roots {
    Roots::load(&Trust {
        extra_roots: files.iter().map(|path| path.to_path_buf()).collect(),
        platform_roots: false,
    })
}

#[test]
fn extra_roots_count_once_and_problems_name_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (ExternalCa::new().root(), ExternalCa::new().root());
    let both = directory.path().join("both.pem");
    fs::write(&both, pem(&one) + &pem(&two)).unwrap();
    let again = directory.path().join("again.pem");
    fs::write(&again, format!("a comment\n{}", pem(&two))).unwrap();
    let missing = directory.path().join("missing.pem");
    let der = directory.path().join("root.der");
    fs::write(&der, &one).unwrap();
    let broken = directory.path().join("broken.pem");
    fs::write(
        &broken,
        pem(&CertificateDer::from(b"not a certificate".as_slice())),
    )
    .unwrap();

    let roots = load(&[&both, &again, &missing, &der, &broken]);
    assert_eq!(roots.store.len(), 2);
    assert_eq!(roots.problems.len(), 3, "{:?}", roots.problems);
    for (problem, file) in roots
        .problems
        .iter()
        .zip(["missing.pem", "root.der", "broken.pem"])
    {
        assert!(problem.contains(file), "{problem}");
    }
}

#[test]
fn without_roots_there_is_a_problem_that_names_unknown_issuer() {
    let roots = load(&[]);
    assert_eq!(roots.problems.len(), 1);
    assert!(roots.problems[0].contains("unknown-issuer"));
}

#[test]
fn the_bundle_contains_the_ca_and_every_root_and_is_written_only_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _) = Authority::open(directory.path(), &patterns(&["hf.co"])).unwrap();
    let file = directory.path().join("root.pem");
    let root = ExternalCa::new().root();
    fs::write(&file, pem(&root) + authority.certificate().pem()).unwrap();
    let roots = load(&[&file]);
    roots.write_bundle(directory.path(), &authority).unwrap();

    let path = directory.path().join(BUNDLE_FILE);
    let held: Vec<_> = CertificateDer::pem_file_iter(&path)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(held, [authority.certificate().der().clone(), root]);
    let before = fs::metadata(&path).unwrap();
    assert_eq!(before.mode() & 0o777, 0o644);
    roots.write_bundle(directory.path(), &authority).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
}
