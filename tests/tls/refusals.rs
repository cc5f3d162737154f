//! An origin that refuses an upload before it has read it, and hangs up.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    background::Background,
    ca::Flaw,
    client::write_noise,
    ferry::Ferry,
    world::{MAIN, World},
};

const ROUNDS: usize = 10;

#[test]
fn an_upload_that_is_refused_over_tls_goes_out_once_and_its_client_gets_the_refusal() {
    let world = World::new();
    let background = Background::new();
    let acceptor = world.ca.leaf(&[MAIN], Flaw::None).acceptor(&[]);
    let uploads = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&uploads);
    let address = background.serve(move |stream, _| {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            seen.fetch_add(1, Ordering::SeqCst);
            let mut some = vec![0; 50_000];
            let _ = stream.read_exact(&mut some).await;
            let answer = "HTTP/1.1 413 Too Large\r\ncontent-length: 7\r\n\r\nrefused";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
            // Closed with unread bytes: the kernel sends a reset.
        }
    });
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], address)
        .route_line("replay = true");
    let ferry = Ferry::start(&settings);
    let up = world.path("up");
    write_noise(&up, 3_000_000);
    let got = world.path("got");
    let (proxy, bundle) = (ferry.proxy(), ferry.bundle());
    for round in 1..=ROUNDS {
        let put = world.git().curl(&[
            "--proxy",
            &proxy,
            "--cacert",
            bundle.to_str().unwrap(),
            "-H",
            "Expect:",
            "-T",
            up.to_str().unwrap(),
            "-o",
            got.to_str().unwrap(),
            "-w",
            "%{http_code}",
            &format!("https://{MAIN}/put"),
        ]);
        assert_eq!(put.stdout, "413", "{round}\n{}", ferry.log());
        assert_eq!(fs::read_to_string(&got).unwrap(), "refused");
        assert_eq!(
            uploads.load(Ordering::SeqCst),
            round,
            "{round}\n{}",
            ferry.log()
        );
    }
    assert_eq!(ferry.fault_codes(), [""; 0]);
}
