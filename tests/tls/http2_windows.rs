//! Flow control of HTTP/2: a stream that nobody reads blocks no other stream of its connection.

use std::{fs, io::Write as _, net::TcpStream};

use crate::{
    http2::{SIZE, curl, nginx},
    over_http2,
    support::{
        client::write_noise,
        ferry::{Ferry, SOON},
        process::wait_until,
        world::{MAIN, World},
    },
};

/// Bytes of the only transfer that the client's socket has taken.
fn passed(ferry: &Ferry) -> Option<u64> {
    ferry.transfers().first()?["down"].as_u64()
}

/// A download whose client does not read; returns once no more of it passes.
fn unread_download(ferry: &Ferry) -> TcpStream {
    let mut client = TcpStream::connect(ferry.address).unwrap();
    let request = format!(
        "GET /{MAIN}/down HTTP/1.1\r\nHost: {}\r\n\r\n",
        ferry.address
    );
    client.write_all(request.as_bytes()).unwrap();
    let (mut seen, mut unchanged) = (None, 0);
    let blocked = wait_until(SOON, || {
        let now = passed(ferry);
        unchanged = if now == seen { unchanged + 1 } else { 0 };
        seen = now;
        unchanged >= 20 && now.is_some_and(|bytes| bytes > 0)
    });
    assert!(blocked, "{}", ferry.log());
    client
}

#[test]
fn a_client_that_does_not_read_its_download_delays_no_other_request_to_its_origin() {
    let world = World::new();
    let dir = world.path("h2");
    fs::create_dir_all(dir.join("files")).unwrap();
    write_noise(&dir.join("files/down"), 4 * SIZE);
    write_noise(&dir.join("files/small"), 300_000);
    let (_nginx, address, _) = nginx(&world, &dir);
    let ferry = over_http2(&world, address);
    let _unread = unread_download(&ferry);
    let url = format!("https://{MAIN}/small");
    for _ in 0..3 {
        let got = dir.join("got");
        let limited = ["--max-time", "15", "-o", got.to_str().unwrap(), &url];
        assert_eq!(curl(&world, &ferry, &limited), "2 200", "{}", ferry.log());
        assert_eq!(
            fs::read(got).unwrap(),
            fs::read(dir.join("files/small")).unwrap()
        );
    }
    let seen = fs::read_to_string(dir.join("access")).unwrap();
    let mut connections: Vec<_> = seen
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    connections.dedup();
    assert_eq!(connections.len(), 1, "not on one connection: {seen}");
    assert_eq!(ferry.fault_codes(), [""; 0]);
}

#[test]
fn an_upload_that_waits_for_its_turn_does_not_block_the_one_that_runs() {
    let world = World::new();
    let dir = world.path("h2");
    fs::create_dir_all(dir.join("files")).unwrap();
    let (_nginx, address, _) = nginx(&world, &dir);
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], address)
        .route_line("http = \"2\"")
        .route_line("uploads = { at_once = 1 }");
    let ferry = Ferry::start(&settings);
    let names = ["a", "b", "c"];
    let files = names.map(|name| dir.join(name));
    let mut arguments = vec!["--parallel".to_owned(), "--no-progress-meter".to_owned()];
    for (name, file) in names.iter().zip(&files) {
        write_noise(file, SIZE);
        arguments.extend(["-T".into(), file.display().to_string()]);
        arguments.push(format!("https://{MAIN}/put-{name}"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let put = curl(&world, &ferry, &arguments);
    assert_eq!(put, "2 201".repeat(3), "{}", ferry.log());
    for (name, file) in names.iter().zip(&files) {
        let stored = fs::read(dir.join(format!("files/put-{name}"))).unwrap();
        assert!(stored == fs::read(file).unwrap(), "{name}");
    }
    assert_eq!(ferry.fault_codes(), [""; 0]);
    let queued = |event: &serde_json::Value| {
        let stages = event["stages_ms"].to_string();
        event["method"] == "PUT" && stages.contains("queued")
    };
    ferry.wait_for_transfer(MAIN, queued);
}
