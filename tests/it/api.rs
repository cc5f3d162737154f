//! `/-/api/`: what programs read of a running daemon, by pages and as a stream.

use std::process::Command;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::{
    support::ferry::Ferry,
    world::{Client, Connections, DEADLINE, OK, World, origin, read_until, reset, route, soon},
};

async fn get(ferry: &Ferry, path: &str) -> (String, Value) {
    let mut client = ferry.client().await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.send(request).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.to_owned(),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

/// An origin that answers every request of every connection.
async fn answers(connections: Connections) {
    loop {
        let mut stream = connections.next().await;
        tokio::spawn(async move {
            while read_until(&mut stream, b"\r\n\r\n")
                .await
                .ends_with(b"\r\n\r\n")
            {
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        });
    }
}

async fn fetch(ferry: &Ferry, path: &str) {
    let mut client = ferry.client().await;
    let request =
        format!("GET http://origin.test{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.send(request).await;
    client.rest().await;
    ferry.is_quiet().await;
}

/// The paths of the finished transfers, the newest first.
async fn finished(ferry: &Ferry) -> Vec<String> {
    let (_, history) = get(ferry, "/-/api/history").await;
    let list = history["transfers"].as_array().unwrap();
    let paths = list
        .iter()
        .map(|it| it["path"].as_str().unwrap().to_owned());
    paths.collect()
}

/// The `data` of the next event of a stream.
async fn event(client: &mut Client) -> Value {
    let text = client.read_until("\n\n").await;
    let data = text
        .split_once("data: ")
        .unwrap_or_else(|| panic!("{text}"))
        .1;
    serde_json::from_str(data.trim_end()).unwrap()
}

async fn stream(world: &World) -> Client {
    let mut client = world
        .sends("GET /-/api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let head = client.head().await.to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    // The size of the first chunk.
    client.read_until("\r\n").await;
    client
}

#[tokio::test]
async fn a_retried_transfer_is_found_by_its_number_with_stages_and_attempts() {
    let (address, _served) = origin(|connections| async move {
        let stream = connections.asked().await;
        reset(stream);
        answers(connections).await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    fetch(&world, "/a?token=SECRET").await;
    let (_, history) = get(&world, "/-/api/history?limit=1&host=origin").await;
    let it = &history["transfers"][0];
    assert_eq!(
        (&it["failed"], &it["path"]),
        (&false.into(), &"/a?token=***".into())
    );
    let (_, one) = get(&world, &format!("/-/api/transfers/{}", it["id"])).await;
    assert_eq!(one["api"], 1);
    assert_eq!(one["running"], false);
    let timeline = &one["transfer"]["timeline"];
    let attempts = timeline["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{timeline:#}");
    assert_eq!(attempts[0]["fault"]["code"], "origin/awaiting-head/reset");
    assert!(attempts[1]["fault"].is_null());
    assert_eq!(timeline["rescues"][0], "retry");
    let stages = timeline["stages"].as_array().unwrap();
    assert_eq!(stages.last().unwrap()["attempt"], 2, "{stages:?}");
    let (_, totals) = get(&world, "/-/api/totals").await;
    let total = &totals["totals"][0];
    assert_eq!(
        (&total["rescued"], &total["by_retry"]),
        (&1.into(), &1.into())
    );
    let (_, failed) = get(&world, "/-/api/history?failed=1").await;
    assert_eq!(failed["transfers"].as_array().unwrap().len(), 0);
}

/// The small body of a request that only reads is read into memory before the first attempt: the timeline once began with a wait for a
/// response to a request that had not been sent.
#[tokio::test]
async fn the_timeline_of_a_request_whose_body_is_read_first_has_each_stage_once() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    let request = "POST http://origin.test/a/b.git/info/lfs/objects/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\
                   Connection: close\r\n\r\n{}";
    client.send(request.to_owned()).await;
    client.rest().await;
    world.is_quiet().await;
    let (_, history) = get(&world, "/-/api/history").await;
    let stages = &history["transfers"][0]["timeline"]["stages"];
    let names: Vec<&str> = stages
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["stage"].as_str().unwrap())
        .collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(names.len(), once.len(), "{names:?}");
}

#[tokio::test]
async fn thousands_of_transfers_come_a_page_at_a_time() {
    let (address, _served) = origin(answers).await;
    let world = World::in_front_of("origin.test", address).await;
    let mut tunnels = Vec::new();
    for _ in 0..7 {
        let mut client = world
            .sends("CONNECT origin.test:80 HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        client.head().await;
        tunnels.push(client);
    }
    let (mut seen, mut after) = (Vec::new(), Value::from(0));
    while !after.is_null() {
        let (_, page) = get(&world, &format!("/-/api/transfers?limit=3&after={after}")).await;
        assert_eq!(page["total"], 7);
        let transfers = page["transfers"].as_array().unwrap();
        seen.extend(transfers.iter().map(|it| it["id"].as_u64().unwrap()));
        after = page["next"].clone();
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let (_, overview) = get(&world, "/-/status?limit=2").await;
    assert_eq!(overview["running"], 7);
    assert_eq!(overview["transfers"].as_array().unwrap().len(), 2);
    // Those that are not listed count, too.
    assert_eq!(overview["upstreams"][0]["running"], 7);
    assert_eq!(overview["verdict"]["level"], "healthy");
    for path in ["/-/api/transfers?limit=x", "/-/api/history?since=soon"] {
        let (head, error) = get(&world, path).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(error["error"].is_string());
    }
    let (head, _) = get(&world, "/-/api/transfers/999999").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

/// A long transfer has a small number and ends last: pages that went by numbers hid what ended before it.
#[tokio::test]
async fn pages_of_the_history_list_every_transfer_once_in_the_order_of_their_ends() {
    let (address, _served) = origin(answers).await;
    let world = World::in_front_of("origin.test", address).await;
    // A tunnel, the first transfer, ends after three requests.
    let mut tunnel = world
        .sends("CONNECT origin.test:22 HTTP/1.1\r\nHost: origin.test:22\r\n\r\n")
        .await;
    tunnel.head().await;
    for _ in 0..3 {
        let request = "GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        world.sends(request).await.rest().await;
        world.next_end().await;
    }
    drop(tunnel);
    world.next_end().await;
    let mut path = "/-/api/history?limit=1".to_owned();
    let mut numbers = Vec::new();
    for _ in 0..10 {
        let (_, page) = get(&world, &path).await;
        numbers.push(page["transfers"][0]["id"].as_u64().unwrap());
        let Some(next) = page["next"].as_u64() else {
            break;
        };
        path = format!("/-/api/history?limit=1&before={next}");
    }
    assert_eq!(numbers, [1, 4, 3, 2]);
}

#[tokio::test]
async fn a_stream_tells_what_changes_takes_no_place_of_a_client_and_ends_at_shutdown() {
    let (address, _served) = origin(answers).await;
    let routes = route("origin.test", address, "tunnel", "");
    let mut world = World::listening("max_connections = 1", &routes).await;
    let mut first = stream(&world).await;
    let overview = event(&mut first).await;
    assert_eq!(
        (&overview["api"], &overview["running"]),
        (&1.into(), &0.into())
    );
    // A second one, and a client: there is place for one connection only.
    let mut second = stream(&world).await;
    event(&mut second).await;
    fetch(&world, "/file").await;
    let ended = loop {
        let changed = event(&mut first).await;
        if let Some(ended) = changed["recent"].as_array().and_then(|list| list.first()) {
            break ended.clone();
        }
    };
    assert_eq!(ended["path"], "/file");
    let drained = soon("the daemon's end", world.stop(DEADLINE)).await;
    assert!(drained.unwrap().finished);
    soon("the stream's end", async { first.rest().await }).await;
    soon("the stream's end", async { second.rest().await }).await;
}

#[tokio::test]
async fn a_stream_of_another_site_or_name_is_refused() {
    let (address, _served) = origin(answers).await;
    let world = World::in_front_of("origin.test", address).await;
    for fields in [
        "Host: evil.test",
        "Host: localhost\r\nSec-Fetch-Site: cross-site",
        // Browsers that know no `Sec-Fetch-Site`.
        "Host: localhost\r\nOrigin: http://evil.test",
        "Host: localhost\r\nOrigin: null",
    ] {
        let mut client = world.client().await;
        let request =
            format!("GET /-/api/events HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n");
        client.send(request).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    }
    let mut client = world
        .sends("POST /-/api/history HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
}

#[tokio::test]
async fn the_history_is_there_after_a_restart_and_numbers_go_on() {
    let (address, _served) = origin(answers).await;
    let mut world = World::in_front_of("origin.test", address).await;
    fetch(&world, "/before").await;
    world
        .restart(&route("origin.test", address, "tunnel", ""))
        .await;
    fetch(&world, "/after").await;
    let (_, history) = get(&world, "/-/api/history").await;
    let list = history["transfers"].as_array().unwrap();
    assert_eq!(finished(&world).await, ["/after", "/before"]);
    assert!(list[0]["id"].as_u64() > list[1]["id"].as_u64());
}

/// What a command prints about the daemon.
fn said_by(ferry: &Ferry, arguments: &[&str]) -> String {
    let address = ferry.address.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_gitferry"))
        .args(arguments)
        .args(["--address", &address])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_without_transfers_says_so_and_a_filter_takes_the_host_as_it_is_shown() {
    let (address, _served) = origin(answers).await;
    let world = World::in_front_of("origin.test", address).await;
    let none = "no transfer has ended yet\n";
    assert_eq!(said_by(&world, &["history"]), none);
    fetch(&world, "/a").await;
    for host in ["Origin.TEST", "origin.test:80", "igin"] {
        let said = said_by(&world, &["history", "--host", host]);
        assert!(said.contains("origin.test"), "{host}: {said}");
    }
    let said = said_by(&world, &["history", "--host", "elsewhere"]);
    assert_eq!(said, "no finished transfer matches\n");
}

/// The status blamed the only upstream for as long as nobody asked again, and said that others were tried first.
#[tokio::test]
async fn the_only_upstream_of_a_host_has_no_circuit() {
    let (address, _served) = origin(|connections| async move {
        loop {
            reset(connections.asked().await);
        }
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    fetch(&world, "/a").await;
    let (_, json) = get(&world, "/-/api/upstreams").await;
    let upstream = &json["upstreams"][0];
    assert_eq!(upstream["circuits"], Value::Array(Vec::new()), "{json:#}");
    assert_eq!(upstream["health"], "failing", "{json:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_of_the_site_is_marked_alike_in_status_and_history_and_an_expected_404_is_not() {
    let (address, _served) = origin(|connections| async move {
        let status = ["500 Internal Server Error", "404 Not Found"];
        for status in status {
            let mut stream = connections.asked().await;
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let routes = route("origin.test", address, "tunnel", "");
    let world = World::with(&routes).await;
    fetch(&world, "/broken").await;
    fetch(&world, "/optional.json").await;
    let status = said_by(&world, &["status"]);
    let marks = |text: &str| -> Vec<char> {
        let lines = text.lines().filter(|line| line.contains(" #"));
        lines.filter_map(|line| line.chars().next()).collect()
    };
    assert_eq!(marks(&status), ['✓', '!'], "{status}");
    assert!(
        status.contains("           500: an error of the site itself\n"),
        "{status}"
    );
    let failed = said_by(&world, &["history", "--failed"]);
    assert_eq!(marks(&failed), ['!'], "{failed}");
}

#[tokio::test]
async fn the_history_of_two_daemons_on_one_state_directory_is_kept_when_the_first_stops_first() {
    let (address, _served) = origin(answers).await;
    let routes = route("origin.test", address, "tunnel", "");
    let mut first = World::with(&routes).await;
    fetch(&first, "/earlier").await;
    first.restart(&routes).await;
    // As after a SIGTERM: the old daemon drains while the new one runs.
    let mut second = first.beside(&routes);
    fetch(&second, "/second").await;
    assert_eq!(finished(&second).await, ["/second"]);
    fetch(&first, "/first").await;
    soon("the first's end", first.stop(DEADLINE)).await.unwrap();
    fetch(&second, "/third").await;
    soon("the second's end", second.stop(DEADLINE))
        .await
        .unwrap();
    let after = first.beside(&routes);
    assert_eq!(
        finished(&after).await,
        ["/third", "/first", "/second", "/earlier"]
    );
}

#[tokio::test]
async fn the_history_of_a_daemon_survives_a_second_one_that_stops_before_it() {
    let (address, _served) = origin(answers).await;
    let routes = route("origin.test", address, "tunnel", "");
    let mut first = World::with(&routes).await;
    let mut second = first.beside(&routes);
    fetch(&first, "/first").await;
    fetch(&second, "/second").await;
    soon("the second's end", second.stop(DEADLINE))
        .await
        .unwrap();
    soon("the first's end", first.stop(DEADLINE)).await.unwrap();
    let after = first.beside(&routes);
    assert_eq!(finished(&after).await, ["/first"]);
}

#[tokio::test]
async fn the_table_of_addresses_is_served() {
    let (address, _served) = origin(answers).await;
    let world = World::in_front_of("origin.test", address).await;
    let (_, index) = get(&world, "/-/api/").await;
    let endpoints = index["endpoints"].as_array().unwrap();
    assert!(endpoints.len() > 15);
    for endpoint in endpoints {
        let path = endpoint["path"].as_str().unwrap();
        if path.contains("{id}") || path == "/-/api/events" {
            continue;
        }
        let (head, _) = get(&world, path).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        let head = head.to_ascii_lowercase();
        let media = endpoint["media"].as_str().unwrap().to_ascii_lowercase();
        assert!(
            head.contains(&format!("content-type: {media}")),
            "{path}: {head}"
        );
        assert!(head.contains("default-src 'none'"), "{path}: {head}");
        assert!(!head.contains("unsafe"), "{path}: {head}");
    }
}
