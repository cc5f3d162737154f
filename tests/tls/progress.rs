//! Over HTTP/2 too progress is payload: interim responses and empty frames keep nothing alive, and without end they are cut off.

use std::{net::SocketAddr, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    background::Background,
    ca::Flaw,
    ferry::Ferry,
    world::{MAIN, World},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const PADDED: u8 = 8;
const END_HEADERS: u8 = 4;
/// `:status: 200`, from the static table; `:status: 102`, as a literal (RFC 7541, sections 6.1 and 6.2.2).
const OK: &[u8] = &[0x88];
const PROCESSING: &[u8] = b"\x08\x03102";

/// A frame for the first stream, or for the connection.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let stream = u8::from(kind != SETTINGS && kind != PING);
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// An origin that is sent the acknowledgements of so many bytes of PING frames does not read them.
const FLOOD: usize = 17 * 4000;

/// An origin that says `begin`, and then `drip` every `pace` milliseconds until the connection ends.
fn origin(
    world: &World,
    background: &Background,
    begin: Vec<u8>,
    drip: Vec<u8>,
    pace: u64,
) -> SocketAddr {
    let acceptor = world.ca.leaf(&[MAIN], Flaw::None).acceptor(&["h2"]);
    background.serve(move |stream, _| {
        let (acceptor, begin, drip) = (acceptor.clone(), begin.clone(), drip.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let settings = [frame(SETTINGS, 0, b""), frame(SETTINGS, ACK, b"")].concat();
            let _ = stream.write_all(&settings).await;
            // The preface, the client's settings, and its request: one write or several.
            let mut heard = Vec::new();
            while !heard
                .windows(MAIN.len())
                .any(|bytes| bytes == MAIN.as_bytes())
                && heard.len() < 120
            {
                if !matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
                    return;
                }
            }
            let _ = stream.write_all(&begin).await;
            let mut pace = tokio::time::interval(Duration::from_millis(pace));
            let mut ignored = vec![0; 1024];
            loop {
                tokio::select! {
                    _ = pace.tick() => if stream.write_all(&drip).await.is_err() { return },
                    read = stream.read(&mut ignored), if drip.len() < FLOOD => if !matches!(read, Ok(1..)) { return },
                }
            }
        }
    })
}

/// The code of the fault that a GET ends with before its client gives up.
fn ends_with(begin: Vec<u8>, drip: Vec<u8>, pace: u64, stall: &str) -> String {
    let world = World::new();
    let background = Background::new();
    let address = origin(&world, &background, begin, drip, pace);
    let settings = world
        .settings()
        .dial("attempts = 1")
        .route(MAIN, "terminate", &["direct"], address)
        .route_line("http = \"2\"")
        .route_line(stall);
    let ferry = Ferry::start(&settings);
    let url = format!("https://{MAIN}/x");
    let curl = world.git().curl_by(&ferry, &["-m", "20", &url]);
    let ended = ferry.wait_for_transfer(MAIN, |event| event["method"] == "GET");
    format!(
        "{} {}",
        ended["result"].as_str().unwrap_or_default(),
        curl.stdout
    )
}

const LIMITS: &str =
    "stall = { after = \"500ms\", answer_after = \"500ms\", floor = \"0 B\", action = \"fail\" }";
const PATIENT: &str = "stall = { after = \"20s\", answer_after = \"20s\", action = \"report\" }";

#[test]
fn interim_responses_and_empty_frames_that_drip_over_http2_keep_nothing_alive() {
    let interim = frame(HEADERS, END_HEADERS, PROCESSING);
    let told = ends_with(Vec::new(), interim, 100, LIMITS);
    assert!(told.contains("stalled-no-answer"), "{told}");
    let begin = frame(HEADERS, END_HEADERS, OK);
    let told = ends_with(begin, frame(DATA, 0, b""), 100, LIMITS);
    assert!(told.contains("stalled-answer-stopped"), "{told}");
}

/// What is for the connection, what carries nothing, and a head that never ends.
#[test]
fn frames_without_payload_that_drip_over_http2_keep_nothing_alive() {
    let ping = frame(PING, 0, &[0; 8]);
    let window = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]);
    let padding = frame(DATA, PADDED, &[3, 0, 0, 0]);
    let unknown = frame(0x21, 0, b"what");
    let open_head = frame(HEADERS, 0, OK);
    let continued = frame(CONTINUATION, 0, b"\0\x01a\x01b");
    let begun = frame(HEADERS, END_HEADERS, OK);
    for (begin, drip, code) in [
        (&[][..], &ping, "stalled-no-answer"),
        (&[], &window, "stalled-no-answer"),
        (&[], &unknown, "stalled-no-answer"),
        (&open_head, &continued, "stalled-no-answer"),
        (&begun, &ping, "stalled-answer-stopped"),
        (&begun, &window, "stalled-answer-stopped"),
        (&begun, &padding, "stalled-answer-stopped"),
        (&begun, &unknown, "stalled-answer-stopped"),
    ] {
        // h2 counts CONTINUATION frames itself: it takes six.
        let told = ends_with(begin.to_vec(), drip.clone(), 300, LIMITS);
        assert!(told.contains(code), "{drip:?} after {begin:?}: {told}");
    }
}

#[test]
fn interim_responses_and_empty_frames_without_end_over_http2_are_cut_off() {
    let interims = frame(HEADERS, END_HEADERS, PROCESSING).repeat(5);
    let told = ends_with(Vec::new(), interims, 20, PATIENT);
    assert!(told.contains("awaiting-head/bad-answer"), "{told}");
    assert!(told.contains("more than 50 interim responses"), "{told}");
    // h2 counts these itself.
    let begin = frame(HEADERS, END_HEADERS, OK);
    let told = ends_with(begin, frame(DATA, 0, b"").repeat(50), 10, PATIENT);
    assert!(told.contains("origin/receiving-body/"), "{told}");
    assert!(!told.contains("stalled"), "{told}");
}

/// The acknowledgements of PING frames wait in the socket for an origin that does not read: the request itself has long arrived there.
#[test]
fn acknowledgements_of_pings_that_an_origin_does_not_read_are_not_the_request() {
    let pings = frame(PING, 0, &[0; 8]).repeat(FLOOD / 17);
    let told = ends_with(Vec::new(), pings, 100, LIMITS);
    assert!(told.contains("stalled-no-answer"), "{told}");
}
