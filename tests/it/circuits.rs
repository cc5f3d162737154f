//! Circuits, seen from outside: two hops, the first of them dead, a daemon that avoids it, and what its log says.

use std::{
    io,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::world::{Client, Hop, Run, World, read_until, reset, route_by, soon};

/// A TLS record with the beginning of a ClientHello: what a tunnel may send again elsewhere.
const HELLO: &[u8] = &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];

/// What a hop does with a request.
#[derive(Clone, Copy)]
enum Mood {
    /// Connects, and answers for the origin.
    Healthy,
    /// Resets the connection.
    Dead,
    /// Accepts CONNECT, and resets the connection at the first bytes.
    ResetsLater,
    /// Answers the first bytes, and reads no more.
    Stuck,
}

/// A hop whose mood the test changes.
struct MoodyHop {
    hop: Hop,
    mood: Arc<AtomicU8>,
    answered: Arc<AtomicUsize>,
}

impl Deref for MoodyHop {
    type Target = Hop;

    fn deref(&self) -> &Hop {
        &self.hop
    }
}

impl MoodyHop {
    fn new(mood: Mood) -> Self {
        let (mood, answered) = (
            Arc::new(AtomicU8::new(mood as u8)),
            Arc::<AtomicUsize>::default(),
        );
        let (now, count) = (Arc::clone(&mood), Arc::clone(&answered));
        let hop = Hop::playing(move |stream, _| {
            play(stream, now.load(Ordering::SeqCst), Arc::clone(&count))
        });
        Self {
            hop,
            mood,
            answered,
        }
    }

    fn becomes(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// How many transfers it has answered.
    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

async fn play(mut stream: TcpStream, mood: u8, answered: Arc<AtomicUsize>) -> io::Result<()> {
    if mood == Mood::Dead as u8 {
        reset(stream);
        return Ok(());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    // A probe ends here.
    if read_until(&mut stream, HELLO).await != HELLO {
        return Ok(());
    }
    if mood == Mood::ResetsLater as u8 {
        reset(stream);
        return Ok(());
    }
    answered.fetch_add(1, Ordering::SeqCst);
    stream.write_all(b"hello.").await?;
    if mood == Mood::Stuck as u8 {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// A client with a tunnel whose origin has answered.
async fn greet(world: &World) -> Client {
    let mut client = world.tunnel("origin.test:443").await;
    client.send(HELLO).await;
    client.read_until("hello.").await;
    client
}

/// Two hops, and a route that tries the first one first.
fn routes(first: &Hop, second: &Hop) -> String {
    let hops = [("first", &*first.url), ("second", &*second.url)];
    route_by(&hops, "origin.test", "")
}

/// The binary, whose log says what its circuits do, with these lines of the route.
async fn daemon(first: &Hop, second: &Hop, cooldown: &str, lines: &str) -> World {
    let more = format!(
        "dial = {{ attempts = 2, backoff_limit = \"5ms\", cooldown = \"{cooldown}\" }}\n{lines}"
    );
    World::run(Run::Binary, "", &(routes(first, second) + &more)).await
}

/// Transfers bytes both ways in a tunnel. Returns its closing line, and the circuits' lines before it.
async fn transfers_one(world: &World) -> (Value, Vec<Value>) {
    drop(greet(world).await);
    let mut circuits = Vec::new();
    loop {
        let line = world.next_line().await;
        let message = line["message"].as_str().unwrap_or_default();
        if message == "transfer ended" {
            return (line, circuits);
        }
        if message.starts_with("circuit ") {
            circuits.push(line);
        }
    }
}

#[tokio::test]
async fn a_dead_hop_costs_one_transfer_and_the_others_say_why_they_went_around_it() {
    let (first, second) = (MoodyHop::new(Mood::Dead), MoodyHop::new(Mood::Healthy));
    let world = daemon(&first, &second, "1h", "").await;
    let (ended, circuits) = transfers_one(&world).await;
    assert_eq!(
        (&ended["upstream"], &ended["attempts"]),
        (&"second".into(), &3.into())
    );
    assert_eq!(ended["circuit"], Value::Null, "it went as the config says");
    let [opened] = &circuits[..] else {
        panic!("{circuits:?}")
    };
    assert_eq!(opened["message"], "circuit opened");
    assert_eq!(opened["upstream"], "first");
    assert_eq!(opened["host"], "origin.test");
    assert_eq!(
        (&opened["failures"], &opened["probe_in_ms"]),
        (&1.into(), &3_600_000.into())
    );
    assert!(
        opened["code"]
            .as_str()
            .unwrap()
            .starts_with("hop/greeting/"),
        "{opened}"
    );
    for _ in 0..3 {
        let (ended, circuits) = transfers_one(&world).await;
        assert_eq!(
            (&ended["upstream"], &ended["attempts"]),
            (&"second".into(), &1.into())
        );
        let circuit = ended["circuit"].as_str().unwrap();
        assert!(circuit.starts_with("first open for "), "{circuit}");
        assert!(
            circuit.contains(", failures 1, last hop/greeting/"),
            "{circuit}"
        );
        assert_eq!(circuits.len(), 0, "{circuits:?}");
    }
    let status = world.page("/-/status").await;
    assert!(status.contains("\"state\": \"open\""), "{status}");
    let metrics = world.page("/-/metrics").await;
    for line in [
        "gitferry_circuits_open{route=\"origin.test\",upstream=\"first\"} 1\n",
        "gitferry_circuits_opened_total{route=\"origin.test\",upstream=\"first\"} 1\n",
        "gitferry_transfers_rerouted_total{route=\"origin.test\"} 3\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!((first.answered(), second.answered()), (0, 4));
}

#[tokio::test]
async fn a_hop_that_came_back_is_found_by_a_probe_and_used_by_the_next_transfer() {
    let (first, second) = (MoodyHop::new(Mood::Dead), MoodyHop::new(Mood::Healthy));
    let world = daemon(&first, &second, "20ms", "").await;
    transfers_one(&world).await;
    first.becomes(Mood::Healthy);
    let closed = soon("a probe", async {
        loop {
            // After the wait, a transfer has the hop probed, and avoids it itself.
            let (ended, circuits) = transfers_one(&world).await;
            let said = |message: &str| {
                let mut circuits = circuits.iter();
                circuits.find(|event| event["message"] == message).cloned()
            };
            if said("circuit probing").is_some() {
                assert_eq!(ended["upstream"], "second", "{ended}");
                return match said("circuit closed") {
                    Some(closed) => closed,
                    None => world.says("circuit closed").await,
                };
            }
        }
    })
    .await;
    assert_eq!(closed["by"], "probe");
    assert_eq!(first.answered(), 0, "no transfer found out");
    let (ended, _) = transfers_one(&world).await;
    assert_eq!(
        (&ended["upstream"], &ended["circuit"]),
        (&"first".into(), &Value::Null)
    );
    assert_eq!(first.answered(), 1);
}

#[tokio::test]
async fn where_a_probe_proves_little_one_transfer_tries() {
    let (first, second) = (
        MoodyHop::new(Mood::ResetsLater),
        MoodyHop::new(Mood::Healthy),
    );
    let world = daemon(&first, &second, "20ms", "").await;
    let (ended, circuits) = transfers_one(&world).await;
    assert_eq!(ended["upstream"], "second");
    assert_eq!(circuits[0]["code"], "hop/handshaking/reset");
    for (mood, upstream, after) in [
        (Mood::ResetsLater, "second", "circuit stays open"),
        (Mood::Healthy, "first", "circuit closed"),
    ] {
        first.becomes(mood);
        soon("a trial", async {
            loop {
                let (_, circuits) = transfers_one(&world).await;
                let said = |message: &str| circuits.iter().any(|event| event["message"] == message);
                if said("circuit probing") {
                    if !said("circuit on trial") {
                        world.says("circuit on trial").await;
                    }
                    return;
                }
            }
        })
        .await;
        let (ended, circuits) = transfers_one(&world).await;
        assert_eq!(ended["upstream"], upstream, "{ended}");
        let outcome = circuits.iter().find(|event| event["message"] == after);
        assert_eq!(outcome.unwrap()["by"], "transfer");
    }
    assert_eq!(first.answered(), 1);
}

#[tokio::test]
async fn a_tunnel_that_stalls_is_held_against_its_hop() {
    let (first, second) = (MoodyHop::new(Mood::Stuck), MoodyHop::new(Mood::Healthy));
    let stall = "stall = { after = \"300ms\", action = \"fail\" }\n";
    let world = daemon(&first, &second, "1h", stall).await;
    let mut client = greet(&world).await;
    let uploading = tokio::task::spawn(async move {
        let chunk = vec![0; 1 << 20];
        while client.0.write_all(&chunk).await.is_ok() {}
    });
    let opened = world.says("circuit opened").await;
    let code = opened["code"].as_str().unwrap();
    assert!(code.contains("/receiving-body/stalled"), "{opened}");
    soon("the end of the upload", uploading).await.unwrap();
    let (ended, _) = transfers_one(&world).await;
    assert!(
        ended["result"].as_str().unwrap().contains("stalled"),
        "the upload's own end"
    );
    let (ended, _) = transfers_one(&world).await;
    assert_eq!(ended["upstream"], "second", "{ended}");
}

#[tokio::test]
async fn a_hop_that_a_reload_mended_is_used_at_once() {
    let (dead, well) = (MoodyHop::new(Mood::Dead), MoodyHop::new(Mood::Healthy));
    let mended = MoodyHop::new(Mood::Healthy);
    let world = World::with(&routes(&dead, &well)).await;
    drop(greet(&world).await);
    let open = world.shared().health.snapshot();
    assert_eq!(open.len(), 1, "{open:?}");
    world.reload(&routes(&mended, &well));
    drop(greet(&world).await);
    assert_eq!((mended.answered(), well.answered()), (1, 1));
}
