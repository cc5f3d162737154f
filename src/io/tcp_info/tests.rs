use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::*;

#[tokio::test]
async fn bytes_that_the_peer_does_not_read_stay_unacknowledged_and_its_window_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut near, mut far) = (Tcp::new(near.unwrap()), far.unwrap().0);
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    far.write_all(b"hi").await.unwrap();
    near.read_exact(&mut [0; 2]).await.unwrap();
    let flow = near.detailed_flow();
    assert_eq!((flow.read, flow.acknowledged(), flow.queued), (2, 5, 0));
    assert!(flow.reports_acks && !flow.is_pending());
    let kernel = flow.kernel.unwrap();
    assert!(
        kernel.mss > 500 && kernel.pmtu > 500 && kernel.rto_ms >= 200,
        "{kernel:?}"
    );
    assert!(kernel.window.unwrap() > 0, "{kernel:?}");
    // Writes until both buffers are full: the writer blocks, and the reader's window is closed.
    let block = vec![7; 1 << 20];
    let fill = async {
        loop {
            let mut write = |cx: &mut Context<'_>| Pin::new(&mut near).poll_write(cx, &block);
            if poll_fn(|cx| Poll::Ready(write(cx))).await.is_ready() {
                continue;
            }
            let flow = near.detailed_flow();
            let kernel = flow.kernel.unwrap();
            if kernel.window.unwrap() < kernel.mss {
                return flow;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let flow = timeout(Duration::from_secs(20), fill).await.unwrap();
    assert!(
        flow.blocked && flow.queued > 0 && flow.acknowledged() < flow.written,
        "{flow:?}"
    );
    let kernel = flow.kernel.unwrap();
    assert!(kernel.window.unwrap() < kernel.mss, "{kernel:?}");
    assert!(kernel.retransmits == 0, "{kernel:?}");
    // `flow` does not query `TCP_INFO`.
    assert_eq!(near.flow().kernel, None);
}
