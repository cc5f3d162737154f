//! Progress is payload: an origin that trickles anything else is a stall, and one that sends it without end is disconnected.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::interval,
};

use crate::world::{World, origin, read_until, route, soon};

/// Reported and acted on half a second after the last payload.
const LIMITS: &str = "stall = { after = \"500ms\", answer_after = \"500ms\", client_after = \"20s\", floor = \"0 B\", action = \"fail\" }";
const PATIENT: &str = "stall = { after = \"20s\", answer_after = \"20s\", action = \"report\" }";

/// An origin that says `begin`, and then `drip` every `pace` until the connection ends.
async fn dripping(begin: &'static str, drip: &'static str, pace: u64, limits: &str) -> World {
    let (address, _served) = origin(move |connections| async move {
        loop {
            let stream = connections.asked().await;
            tokio::task::spawn(drip_into(stream, begin, drip, pace));
        }
    })
    .await;
    World::with(&route("origin.test", address, "tunnel", limits)).await
}

async fn drip_into(mut stream: TcpStream, begin: &str, drip: &str, pace: u64) {
    let _ = stream.write_all(begin.as_bytes()).await;
    let mut pace = interval(Duration::from_millis(pace));
    let mut byte = [0];
    loop {
        tokio::select! {
            _ = pace.tick() => if stream.write_all(drip.as_bytes()).await.is_err() { return },
            read = stream.read(&mut byte) => if !matches!(read, Ok(1)) { return },
        }
    }
}

/// The answer to a GET, and how long it took.
async fn get(world: &World) -> (String, Duration) {
    let mut client = world.client().await;
    let begun = Instant::now();
    client
        .send("GET http://origin.test/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    let answer = client.rest().await;
    (String::from_utf8(answer).unwrap(), begun.elapsed())
}

fn codes(world: &World) -> Vec<String> {
    world.faults().into_iter().map(|fault| fault.code).collect()
}

#[tokio::test]
async fn interim_responses_heads_and_chunk_extensions_that_drip_keep_nothing_alive() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (begin, drip, code) in [
        (
            "",
            "HTTP/1.1 102 Processing\r\n\r\n",
            "awaiting-head/stalled-no-answer",
        ),
        (
            "",
            "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
            "awaiting-head/stalled-no-answer",
        ),
        (
            "HTTP/1.1 200 OK\r\nx: ",
            "y",
            "awaiting-head/stalled-no-answer",
        ),
        ("", "\r\n", "awaiting-head/stalled-no-answer"),
        (CHUNKED, "0", "receiving-body/stalled-answer-stopped"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=",
            "y",
            "receiving-body/stalled-answer-stopped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ",
            "y",
            "receiving-body/stalled-answer-stopped",
        ),
    ] {
        let world = dripping(begin, drip, 100, LIMITS).await;
        let (answer, _) = soon("the end of the drip", get(&world)).await;
        let told = codes(&world);
        assert!(
            told.iter().all(|told| told.ends_with(code)),
            "{drip:?}: {told:?}"
        );
        assert!(!told.is_empty(), "{begin:?} {drip:?}: {answer}");
        let stall = world.next_stall().await;
        assert_eq!(
            (&*stall.phase, &*stall.leg),
            ("began", "origin"),
            "{stall:?}"
        );
        assert!(code.starts_with(&stall.stage), "{drip:?}: {stall:?}");
    }
}

/// Reported: one 102 shortly before each limit held a request for as long as fifty of them take.
#[tokio::test]
async fn an_interim_response_just_before_the_limit_does_not_put_it_off() {
    for request in [
        "GET http://origin.test/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "PUT http://origin.test/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "POST http://origin.test/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "PUT http://origin.test/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        for interim in ["102 Processing", "100 Continue", "103 Early Hints"] {
            let drip = format!("HTTP/1.1 {interim}\r\n\r\n").leak();
            let world = dripping("", drip, 450, LIMITS).await;
            let mut client = world.client().await;
            let begun = Instant::now();
            client.send(request).await;
            soon("the end", client.rest()).await;
            let (told, took) = (codes(&world), begun.elapsed());
            let case = format!("{interim}, {request:?}: {told:?}");
            // It waits for the origin to want the body, too.
            let stalled = |code: &String| code.contains("/stalled-");
            assert!(told.iter().all(stalled), "{case}");
            assert!(!told.is_empty(), "{case}");
            // Fifty of them took more than 20 s.
            assert!(took < Duration::from_secs(15), "{took:?}, {case}");
        }
    }
}

#[tokio::test]
async fn a_server_that_sends_interim_responses_for_ever_is_cut_off_whatever_the_config_says() {
    for pace in [1, 5] {
        let world = dripping("", "HTTP/1.1 102 Processing\r\n\r\n", pace, PATIENT).await;
        let (answer, took) = soon("the end of the flood", get(&world)).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert!(
            answer.contains("more than 50 interim responses"),
            "{answer}"
        );
        assert_eq!(codes(&world), ["origin/awaiting-head/bad-answer"]);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test]
async fn a_response_after_fifty_interim_responses_is_passed_on() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        for _ in 0..2 {
            read_until(&mut stream, b"\r\n\r\n").await;
            let interims = "HTTP/1.1 102 Processing\r\n\r\n".repeat(50);
            stream.write_all(interims.as_bytes()).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
        read_until(&mut stream, b"\r\n\r\n").await;
    })
    .await;
    let world = World::with(&route("origin.test", address, "tunnel", PATIENT)).await;
    // The second one over the same connection: each request has fifty of its own.
    for _ in 0..2 {
        let (answer, _) = get(&world).await;
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    assert_eq!(codes(&world), [""; 0]);
}

/// A response that stops after its first bytes, and a client that waits `patience` for the next one, then leaves. What the log says.
async fn leaves_after(patience: Duration) -> (Vec<String>, String) {
    const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";
    let (address, _served) = origin(async move |connections| {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"\r\n\r\n").await;
        stream.write_all(PART.as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let limits = "stall = { after = \"6s\", action = \"report\" }";
    let world = World::with(&route("origin.test", address, "tunnel", limits)).await;
    let mut client = world.client().await;
    client
        .send("GET http://origin.test/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    client.read_until("some").await;
    let idle = || {
        let transfers = world.shared().tracker.list();
        transfers.first().and_then(|transfer| transfer.idle_ms)
    };
    soon("nothing to move", async {
        while idle().is_none_or(|idle| u128::from(idle) < patience.as_millis()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(client);
    let result = world.next_end().await.result;
    let stalls = world.stalls().into_iter();
    let stalls = stalls.map(|stall| format!("{}/{}", stall.leg, stall.verdict));
    (stalls.collect(), result)
}

/// huggingface_hub waits for 10 s, and the limit is 20 s by default: nobody would learn that the storage stood still.
#[tokio::test]
async fn a_client_that_gives_up_on_a_response_that_stopped_leaves_the_cause_in_the_log() {
    let (stalls, result) = leaves_after(Duration::from_millis(2_500)).await;
    assert_eq!(stalls, ["origin/answer-stopped", "origin/answer-stopped"]);
    assert_eq!(result, "client/receiving-body/gone");
    let (stalls, result) = leaves_after(Duration::from_millis(300)).await;
    assert_eq!(stalls, [""; 0], "a user who presses Ctrl-C");
    assert_eq!(result, "client/receiving-body/gone");
}
