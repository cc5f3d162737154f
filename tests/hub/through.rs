//! Up and down through the daemon, in each of the three ways.

use crate::{
    scenes::{self, Store},
    ways::{CONNECT, MIRRORED, REVERSE, Through, Way},
};

#[test]
fn the_library_goes_through_the_connect_front() {
    let world = Through::new(CONNECT, Store::Lfs);
    world.library();
    scenes::assert_lfs_legs(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn the_command_goes_through_the_connect_front() {
    let world = Through::new(CONNECT, Store::Lfs);
    world.command();
    scenes::assert_the_token_stays(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn xet_is_terminated_on_the_connect_front() {
    let world = Through::new(CONNECT, Store::Xet);
    world.library();
    scenes::assert_xet_legs(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn xet_is_tunnelled_through_the_connect_front() {
    let way = Way {
        xet: "tunnel",
        ..CONNECT
    };
    let world = Through::new(way, Store::Xet);
    world.library();
    scenes::assert_xet_legs(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn the_library_goes_through_the_reverse_front() {
    let world = Through::new(REVERSE, Store::Lfs);
    world.library();
    scenes::assert_lfs_legs(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn the_command_goes_through_the_reverse_front() {
    let world = Through::new(REVERSE, Store::Lfs);
    world.command();
    scenes::assert_the_token_stays(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn xet_goes_through_the_reverse_front() {
    let world = Through::new(REVERSE, Store::Xet);
    world.library();
    scenes::assert_xet_legs(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn the_library_goes_onto_a_mirror() {
    let world = Through::new(MIRRORED, Store::Lfs);
    world.library();
    scenes::assert_lfs_legs(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn xet_goes_onto_a_mirror() {
    let world = Through::new(MIRRORED, Store::Xet);
    world.library();
    scenes::assert_xet_legs(&world.hub);
    world.assert_nothing_went_past();
}
