//! What an origin says over HTTP/2 instead of an answer keeps its name, and what it did not process is sent again.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    over_http2,
    support::{
        background::Background,
        ca::Flaw,
        world::{MAIN, World},
    },
};

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, 0, 0, 0, 0, stream], payload].concat()
}

fn reset(reason: u8) -> Vec<u8> {
    frame(3, 1, &[0, 0, 0, reason])
}

/// The first `n` connections are answered with `frames`; later ones with 200, in HPACK one byte (RFC 7541, appendix A), or over HTTP/1.1.
fn says(world: &World, background: &Background, n: usize, frames: Vec<u8>) -> SocketAddr {
    let leaf = world.ca.leaf(&[MAIN], Flaw::None);
    let acceptor = leaf.acceptor(&["h2", "http/1.1"]);
    background.serve(move |stream, number| {
        let (acceptor, frames) = (acceptor.clone(), frames.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let mut buffer = [0; 4096];
            if !http2 {
                let _ = stream.read(&mut buffer).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
                while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
                return;
            }
            let _ = stream.write_all(&frame(4, 0, &[])).await;
            // Until the HEADERS of stream 1 are there (END_HEADERS, with or without END_STREAM).
            let mut seen = Vec::new();
            while !seen
                .windows(6)
                .any(|head| head[0] == 1 && matches!(head[1], 4 | 5) && head[2..] == [0, 0, 0, 1])
            {
                match stream.read(&mut buffer).await {
                    Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                    _ => return,
                }
            }
            let words = if number <= n {
                frames
            } else {
                // END_STREAM and END_HEADERS; `:status: 200`.
                vec![0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]
            };
            let _ = stream.write_all(&words).await;
            let _ = stream.flush().await;
            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
        }
    })
}

/// What `curl` gets with `arguments` where the first `n` connections say `frames`, and the faults in the log.
fn asks(n: usize, frames: Vec<u8>, arguments: &[&str]) -> (String, Vec<String>) {
    let world = World::new();
    let background = Background::new();
    let address = says(&world, &background, n, frames);
    let ferry = over_http2(&world, address);
    let url = format!("https://{MAIN}/x");
    let told = ["-o", "/dev/null", "-w", "%{http_code}", &url];
    let got = world.git().curl_by(&ferry, &[arguments, &told].concat());
    (got.stdout, ferry.fault_codes())
}

const POST: &[&str] = &["-X", "POST", "-H", "Content-Length: 0"];

#[test]
fn a_refused_stream_is_sent_again_even_where_it_may_act() {
    let (status, faults) = asks(1, reset(7), POST);
    assert_eq!(status, "200", "{faults:?}");
    assert_eq!(faults, ["origin/awaiting-head/http2-refused-stream"]);
}

#[test]
fn a_request_after_the_last_one_of_a_goaway_is_sent_again_even_where_it_may_act() {
    // The last stream is 0, and nothing is wrong.
    let (status, faults) = asks(1, frame(7, 0, &[0; 8]), POST);
    assert_eq!(status, "200", "{faults:?}");
    assert_eq!(faults, ["origin/awaiting-head/http2-no-error"]);
}

/// The body is as small as a lock of git-lfs or a commit through the Hub's API.
#[test]
fn a_small_body_is_sent_again_where_the_origin_did_not_process_it() {
    let small = &["-d", "{\"small\":1}"];
    for frames in [reset(7), frame(7, 0, &[0; 8]), reset(13)] {
        let (status, faults) = asks(1, frames.clone(), small);
        assert_eq!(status, "200", "{frames:?} {faults:?}");
    }
    let (status, faults) = asks(1, reset(2), small);
    assert_eq!(status, "502", "{faults:?}");
}

#[test]
fn a_post_whose_stream_broke_otherwise_is_not_sent_again() {
    let (status, faults) = asks(1, reset(2), POST);
    assert_eq!(status, "502");
    assert_eq!(faults, ["origin/awaiting-head/http2-internal-error"]);
}

#[test]
fn an_origin_that_wants_http_1_1_gets_it() {
    let (status, faults) = asks(9, reset(13), &[]);
    assert_eq!(status, "200", "{faults:?}");
    assert_eq!(faults, ["origin/awaiting-head/http2-http-1-1-required"]);
}

#[test]
fn what_an_origin_says_over_http2_keeps_its_name_and_broken_frames_are_a_bad_answer() {
    let calm = asks(9, frame(7, 0, &[0, 0, 0, 0, 0, 0, 0, 11]), &[]);
    assert_eq!(calm.0, "502");
    assert_eq!(
        calm.1.last().unwrap(),
        "origin/awaiting-head/http2-enhance-your-calm"
    );
    // DATA of a stream that nobody opened.
    let broken = asks(9, frame(0, 7, b"what"), &[]);
    assert_eq!(broken.0, "502");
    assert_eq!(broken.1, ["origin/awaiting-head/bad-answer"]);
}
