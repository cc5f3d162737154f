//! A host is added, the CA does not cover it, the CA is rotated, the daemon takes it up.

use std::{fs, path::Path};

use crate::support::{
    client::PATIENCE,
    ferry::{Ferry, SOON},
    process::{Finished, Running, clean_command, wait_until},
    world::{MAIN, STORAGE, World},
};

fn gitferry(world: &World, ferry: &Ferry, arguments: &[&str]) -> Finished {
    let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), world.root());
    command.args(arguments).arg("--config").arg(ferry.config());
    Running::start(&mut command).finish(PATIENCE)
}

/// True where curl, which believes `roots` alone, gets an answer from `host`.
fn answers(world: &World, ferry: &Ferry, host: &str, roots: &Path) -> bool {
    let roots = roots.to_str().unwrap();
    let url = format!("https://{host}/none");
    let arguments = [
        "-o",
        "/dev/null",
        "--proxy",
        &ferry.proxy(),
        "--cacert",
        roots,
        &url,
    ];
    world.git().curl(&arguments).status.success()
}

#[test]
fn a_host_that_the_ca_does_not_cover_is_tunnelled_until_the_ca_is_rotated() {
    let world = World::new();
    let one = world
        .settings()
        .route(MAIN, "terminate", &["direct"], world.host.https);
    let mut ferry = Ferry::start(&one);
    let (ca, origins) = (world.path("ferry/state/ca.pem"), world.ca.pem_file());
    assert!(answers(&world, &ferry, MAIN, &ca));

    let both = world.plain_settings();
    ferry.reload(&both);
    let warning = ferry.wait_for_event("local CA does not cover all hosts");
    assert_eq!(warning["hosts"], STORAGE);
    assert!(
        warning["advice"]
            .as_str()
            .unwrap()
            .contains("`gitferry ca rotate`")
    );
    ferry.wait_for_event("config reloaded");
    assert!(
        answers(&world, &ferry, STORAGE, &origins),
        "it is not tunnelled"
    );
    assert!(!answers(&world, &ferry, STORAGE, &ca));
    let shown = gitferry(&world, &ferry, &["ca", "show", "--json"]).well();
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["not_covered"][0], STORAGE);

    let old = fs::read_to_string(&ca).unwrap();
    gitferry(&world, &ferry, &["ca", "rotate"]).well();
    let new = fs::read_to_string(&ca).unwrap();
    assert_ne!(old, new);
    assert_eq!(
        fs::read_to_string(world.path("ferry/state/ca.old.pem")).unwrap(),
        old
    );
    let held = || fs::read_to_string(ferry.bundle()).unwrap();
    assert!(held().contains(&new), "the bundle lacks the new CA");
    // Whichever the daemon signs with: nobody is cut off between the two.
    let bundle = ferry.bundle();
    assert!(answers(&world, &ferry, MAIN, &bundle));

    // It takes the new one up by itself.
    assert!(wait_until(SOON, || ferry.events("config reloaded").len() == 2));
    assert!(answers(&world, &ferry, MAIN, &bundle));
    assert!(!held().contains(&old), "the old CA is still trusted");
    for host in [MAIN, STORAGE] {
        assert!(
            answers(&world, &ferry, host, &ca),
            "{host} is not terminated with the new CA"
        );
    }
    let exported = gitferry(&world, &ferry, &["ca", "export"]).well();
    assert_eq!(exported.stdout, new);
}

#[test]
fn a_damaged_ca_is_named_with_the_command_that_mends_it() {
    let world = World::new();
    let mut ferry = Ferry::start(&world.plain_settings());
    let key = world.path("ferry/state/ca-key.pem");
    fs::write(&key, "damaged").unwrap();
    ferry.terminate();
    ferry.ended(SOON);
    let failed = gitferry(&world, &ferry, &["run"]).badly();
    let said = failed.stderr;
    assert!(
        said.contains("ca-key.pem") && said.contains("`gitferry ca rotate`"),
        "{said}"
    );
    // What everybody may read needs no key.
    gitferry(&world, &ferry, &["ca", "show"]).well();
    gitferry(&world, &ferry, &["ca", "rotate"]).well();
    let again = Ferry::start(&world.plain_settings());
    assert!(answers(
        &world,
        &again,
        MAIN,
        &world.path("ferry/state/ca.pem")
    ));
}

/// libcurl with GnuTLS looks at the certificate when the handshake is over, and closes without a message.
#[test]
fn a_git_that_does_not_trust_the_ca_leaves_a_line_with_what_to_do() {
    let world = World::new();
    world.host.repository("lfs");
    let ferry = Ferry::start(&world.plain_settings());
    let git = world.git().with("http.proxy", ferry.proxy());
    let url = format!("https://{MAIN}/lfs.git");
    let failed = git.run(world.root(), &["ls-remote", &url]).badly();
    assert!(
        failed.stderr.contains("certificate verification failed"),
        "{failed}"
    );
    let fault = ferry.wait_for_fault("client/handshaking/closed-early");
    assert_eq!(fault["host"], MAIN);
    let advice = fault["advice"].as_str().unwrap();
    assert!(advice.contains("`gitferry setup all`"), "{advice}");
    let ended = ferry.wait_for_transfer(MAIN, |_| true);
    assert_eq!(
        ended["agent"]
            .as_str()
            .map(|agent| agent.starts_with("git/")),
        Some(true),
        "{ended:#}"
    );
    // One that does trust it leaves none.
    let trusting = world.git_through(&ferry);
    trusting.run(world.root(), &["ls-remote", &url]).well();
    assert_eq!(ferry.faults().len(), 1, "{:?}", ferry.fault_codes());
}

/// Shakes hands inside a CONNECT of a client that calls itself `agent`, wholly or until the server has spoken, and closes.
const RESERVE: &str = r#"
import socket, ssl, sys
port, roots, host, agent, whole = sys.argv[1:]
def connect():
    peer = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    peer.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nUser-Agent: {agent}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    assert head.startswith(b"HTTP/1.1 200"), head
    return peer
context = ssl.create_default_context(cafile=roots)
peer = connect()
if whole == "whole":
    context.wrap_socket(peer, server_hostname=host).close()
else:
    said = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), said, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        peer.sendall(said.read())
    assert peer.recv(1 << 16), "no data arrived"
    peer.close()
"#;

/// git-lfs dials more than it uses: Go takes whichever connection is ready first.
#[test]
fn a_connection_in_reserve_is_no_fault() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let idle = ferry.descriptors();
    let shakes_hands = |agent: &str, whole: &str| {
        let mut command = clean_command("/usr/bin/python3", world.root());
        command.args(["-c", RESERVE, &ferry.address.port().to_string()]);
        command.arg(world.path("ferry/state/ca.pem"));
        command.args([MAIN, agent, whole]);
        Running::start(&mut command).finish(PATIENCE).well();
        let settled = wait_until(SOON, || {
            ferry.transfers().is_empty() && ferry.descriptors() <= idle
        });
        assert!(settled, "{agent}, {whole}: {:?}", ferry.transfers());
    };
    shakes_hands("Go-http-client/1.1", "whole");
    shakes_hands("Go-http-client/1.1", "half");
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
    shakes_hands("git/2.39.5", "whole");
    ferry.wait_for_fault("client/handshaking/closed-early");
    shakes_hands("git/2.39.5", "half");
    let both = wait_until(SOON, || ferry.faults().len() == 2);
    assert!(both, "{:?}", ferry.fault_codes());
}
