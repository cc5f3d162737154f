//! The control: the clients and the Hub without the daemon. What fails here is the fault of this world, not the daemon's.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};

use crate::{
    scenes,
    support::{
        background::Background,
        ca::TestCa,
        hf::Hf,
        hub::{Hub, NAMES},
    },
};

/// Stands for the network: a CONNECT hop that knows where the Hub's names are.
struct Wire {
    url: String,
    _background: Background,
}

impl Wire {
    fn to(hub: SocketAddr) -> Self {
        let background = Background::new();
        let address = background.serve(move |mut client, _| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match client.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let known = NAMES.map(|name| format!("CONNECT {name}:443 "));
            if !known.iter().any(|start| head.starts_with(start)) {
                let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
                return;
            }
            let mut origin = tokio::net::TcpStream::connect(hub).await.unwrap();
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = copy_bidirectional(&mut client, &mut origin).await;
        });
        Self {
            url: format!("http://{address}"),
            _background: background,
        }
    }
}

struct Direct {
    hub: Hub,
    hf: Hf,
    dir: tempfile::TempDir,
    _wire: Wire,
}

fn direct(start: impl FnOnce(&TestCa) -> Hub) -> Direct {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new(dir.path().join("ca"));
    let hub = start(&ca);
    let wire = Wire::to(hub.address);
    let hf = Hf::new(&dir.path().join("home"))
        .with("HTTPS_PROXY", &wire.url)
        .with("SSL_CERT_FILE", ca.pem_file());
    Direct {
        hub,
        hf,
        dir,
        _wire: wire,
    }
}

#[test]
fn the_library_uploads_and_downloads_a_folder() {
    let world = direct(Hub::start);
    let hf = world.hf.clone().without_xet();
    scenes::a_folder_goes_up_and_down(&world.hub, &hf, world.dir.path());
    scenes::assert_lfs_legs(&world.hub);
}

#[test]
fn the_command_uploads_and_downloads_a_folder() {
    let world = direct(Hub::start);
    let hf = world.hf.clone().without_xet();
    scenes::the_command_takes_a_folder_up_and_down(&world.hub, &hf, world.dir.path());
    scenes::assert_the_token_stays(&world.hub);
}

#[test]
fn xet_uploads_and_downloads_a_folder() {
    let world = direct(Hub::with_xet);
    scenes::a_folder_goes_up_and_down(&world.hub, &world.hf, world.dir.path());
    scenes::assert_xet_legs(&world.hub);
}
