//! The control: the clients and the Hub without the daemon. What fails here is the fault of this world, not the daemon's.

use crate::{
    scenes,
    support::{
        ca::TestCa,
        hf::Hf,
        hop::Hop,
        hub::{Hub, NAMES},
    },
};

struct Direct {
    hub: Hub,
    hf: Hf,
    dir: tempfile::TempDir,
    // Stands for the network: it knows where the Hub's names are.
    _hop: Hop,
}

fn direct(start: impl FnOnce(&TestCa) -> Hub) -> Direct {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new(dir.path().join("ca"));
    let hub = start(&ca);
    let names = NAMES.map(|name| format!("{name}:443"));
    let hop = Hop::reaches(&names.each_ref().map(|name| (&**name, hub.address)));
    let hf = Hf::new(&dir.path().join("home"))
        .with("HTTPS_PROXY", &hop.url)
        .with("SSL_CERT_FILE", ca.pem_file());
    Direct {
        hub,
        hf,
        dir,
        _hop: hop,
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
