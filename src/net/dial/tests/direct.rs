//! Without a hop.

use super::*;

#[tokio::test]
async fn a_refused_first_address_is_followed_by_the_next() {
    let origin = play(vec![vec![
        HopBehaviour::Write(BANNER.into()),
        HopBehaviour::Stay,
    ]])
    .await;
    let (_reserved, closed) = closed_port();
    let route = overriding("git.example", &[closed, origin.address]);
    let (result, stages) = dial_as(&Via::Direct, "git.example:22", Scheme::Https, &route).await;
    let mut connection = result.unwrap();
    assert_eq!(connection.peer, origin.address);
    assert_eq!(read(&mut connection, BANNER.len()).await, BANNER);
    assert_eq!(stages, [Stage::Connecting]);
    assert!(connection.tcp.socket().nodelay().unwrap());
    let socket = socket2::SockRef::from(connection.tcp.socket());
    assert_eq!(
        socket.tcp_keepalive_time().unwrap(),
        Duration::from_secs(30)
    );
}

#[tokio::test]
async fn a_closed_port_is_a_refusal_on_the_origins_leg() {
    let (_reserved, address) = closed_port();
    let fault = err(tunnel(&Via::Direct, &address.to_string(), &route()).await);
    assert_eq!(fault.code(), "origin/connecting/refused");
    assert_eq!(fault.peer, Some(address.to_string().into()));
    assert!(fault.unsent);
}

#[tokio::test]
async fn a_name_that_the_resolver_refuses_is_unknown() {
    let target = invalid_name();
    let (result, stages) = dial_target(&Via::Direct, &target, Scheme::Https, &route()).await;
    let fault = err(result);
    assert_eq!(fault.code(), "origin/resolving/name-unknown");
    assert!(fault.source.is_some());
    assert_eq!(stages, [Stage::Resolving]);
}

#[tokio::test]
async fn an_environment_without_a_hop_dials_directly() {
    let origin = play(vec![vec![HopBehaviour::Stay]]).await;
    let via = Via::Environment(Arc::new(Environment::default()));
    let connection = tunnel(&via, &origin.address.to_string(), &route()).await;
    assert_eq!(connection.unwrap().peer, origin.address);
}
