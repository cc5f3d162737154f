//! An origin that takes a connection for a user: NTLM and Negotiate (RFC 4559).

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::world::{Client, World, origin, read_until};

/// As IIS does it: three requests on one connection, and then the connection is bob's.
async fn ntlm(mut stream: TcpStream) {
    let mut bob = false;
    loop {
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n").await).unwrap();
        if head.is_empty() {
            return;
        }
        if head.contains("Content-Length: 4") || head.contains("content-length: 4") {
            assert_eq!(read_until(&mut stream, b"push").await, b"push");
        }
        bob |= head.contains("NTLM type3");
        let (status, body) = match bob {
            true => ("200 OK", "you are bob"),
            false if head.contains("NTLM type1") => {
                ("401 Unauthorized\r\nWWW-Authenticate: NTLM type2", "go on")
            }
            false => ("401 Unauthorized\r\nWWW-Authenticate: NTLM", "who?"),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn ask(client: &mut Client, method: &str, authorization: &str, body: &str) -> String {
    let length = match body {
        "" => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    client
        .send(format!(
            "{method} http://origin.test/x.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n{authorization}{length}\r\n{body}"
        ))
        .await;
    let head = client.head().await.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut body)
        .await
        .unwrap();
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn an_identity_that_an_origin_gave_to_a_connection_stays_with_its_client() {
    let (address, _served) = origin(|connections| async move {
        loop {
            tokio::spawn(ntlm(connections.next().await));
        }
        #[expect(unreachable_code, reason = "the type of a script")]
        ()
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut bob = world.client().await;
    assert_eq!(ask(&mut bob, "GET", "", "").await, "who?");
    let type1 = "Authorization: NTLM type1\r\n";
    assert_eq!(ask(&mut bob, "GET", type1, "").await, "go on");
    let type3 = "Authorization: NTLM type3\r\n";
    assert_eq!(ask(&mut bob, "GET", type3, "").await, "you are bob");
    // A push goes on as bob, although it may not be repeated.
    assert_eq!(ask(&mut bob, "POST", "", "push").await, "you are bob");
    let mut eve = world.client().await;
    assert_eq!(ask(&mut eve, "GET", "", "").await, "who?");
    assert_eq!(ask(&mut eve, "POST", "", "push").await, "who?");
    assert_eq!(ask(&mut bob, "GET", "", "").await, "you are bob");
}
