//! The error text that clients show.

use super::*;

#[test]
fn the_error_format_follows_from_the_request() {
    let ask = |method: &str, path: &str, header: (&'static str, &'static str)| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header.0, header.1)
            .body(())
            .unwrap();
        ErrorFormat::of(&request)
    };
    assert_eq!(
        ask(
            "POST",
            "/r.git/git-receive-pack",
            ("user-agent", "git/2.39.5")
        ),
        ErrorFormat::ReceivePack
    );
    assert_eq!(
        ask(
            "POST",
            "/r.git/git-receive-pack",
            ("content-encoding", "gzip")
        ),
        ErrorFormat::Other
    );
    assert_eq!(
        ask("GET", "/r.git/info/refs", ("user-agent", "git/2.39.5")),
        ErrorFormat::Other
    );
    assert_eq!(
        ask(
            "PUT",
            "/bucket/oid",
            ("user-agent", "git-lfs/3.3.0 (GitHub; linux amd64)")
        ),
        ErrorFormat::Lfs
    );
    assert_eq!(
        ask(
            "POST",
            "/info/lfs/objects/batch",
            ("accept", "application/vnd.git-lfs+json")
        ),
        ErrorFormat::Lfs
    );
}

#[test]
fn the_capabilities_of_a_push_follow_the_first_nul() {
    let line = b"003fold new refs/heads/main\0 report-status side-band-64k agent=x";
    assert_eq!(
        first_capabilities(line).unwrap(),
        b" report-status side-band-64k agent=x".get(..35).unwrap()
    );
    assert_eq!(first_capabilities(b"0000"), None);
    assert_eq!(first_capabilities(b"zz"), None);
}

#[test]
fn a_side_band_packet_has_length_band_and_text() {
    let mut packets = BytesMut::new();
    packet(&mut packets, 2, "no way\n");
    assert_eq!(&packets[..], b"000c\x02no way\n");
}
