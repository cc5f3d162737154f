//! The service with a fake service manager: a datagram socket that the test reads.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl NotifySocket {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            path,
            _directory: directory,
        }
    }

    fn notifier(&self, watchdog: Option<Duration>) -> Notifier {
        Notifier::to(self.path.as_os_str(), watchdog).unwrap()
    }

    async fn receive(&self) -> String {
        let mut buffer = [0; 4096];
        let count = tokio::time::timeout(DEADLINE, self.socket.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }
}

#[tokio::test]
async fn a_notifier_without_a_manager_starts_no_task() {
    let (tasks, shutdown) = (Tasks::default(), Shutdown::default());
    let notifier = Notifier::default();
    notifier.watchdog(&tasks, &IoThreads::of_caller(), &shutdown);
    notifier.ready("listening");
    notifier.reloading();
    notifier.stopping("bye", Duration::from_secs(1));
    assert_eq!(tasks.running(), 0);
}

#[tokio::test]
async fn a_line_break_in_a_status_is_replaced() {
    let manager = NotifySocket::new();
    manager.notifier(None).ready("a\nSTOPPING=1");
    assert_eq!(manager.receive().await, "READY=1\nSTATUS=a STOPPING=1\n");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_socket_receives_notifications() {
    use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};

    let name = format!("gitferry-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    let notifier = Notifier::to(format!("@{name}").as_ref(), None).unwrap();
    notifier.ready("here");
    let mut buffer = [0; 64];
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"READY=1\nSTATUS=here\n");
}

#[tokio::test]
async fn a_named_socket_that_is_not_there_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Notifier::to(directory.path().join("none").as_os_str(), None).is_err());
}

#[tokio::test]
async fn watchdog_notifications_are_sent_until_draining_begins() {
    let manager = NotifySocket::new();
    let (tasks, shutdown) = (Tasks::default(), Shutdown::default());
    let notifier = manager.notifier(Some(Duration::from_millis(20)));
    notifier.watchdog(&tasks, &IoThreads::of_caller(), &shutdown);
    for _ in 0..3 {
        assert_eq!(manager.receive().await, "WATCHDOG=1\n");
    }
    shutdown.drain();
    tokio::time::timeout(DEADLINE, tasks.finished())
        .await
        .unwrap();
}

#[tokio::test]
async fn reloads_and_a_stop_are_notified_to_systemd() {
    let manager = NotifySocket::new();
    let notifier = manager.notifier(None);
    let (tasks, shutdown) = (Tasks::default(), Shutdown::default());
    let transfer = shutdown.clone();
    tasks.spawn(async move { transfer.ended().await });
    let (signal, mut signals) = Signals::channel();
    let mut reloads = 0;
    let service = Service {
        signals: &mut signals,
        notifier: &notifier,
        tasks: &tasks,
        threads: &IoThreads::of_caller(),
        shutdown: &shutdown,
        transfers: &|| 1,
    };
    let serving = serve(
        service,
        "listening on 127.0.0.1:4483",
        async || {
            reloads += 1;
            if reloads == 1 {
                Ok("9 routes".to_owned())
            } else {
                Err("line 3: unknown key".to_owned())
            }
        },
        async || std::future::pending().await,
        || Duration::from_secs(3600),
    );
    let manager_side = async {
        assert_eq!(
            manager.receive().await,
            "READY=1\nSTATUS=listening on 127.0.0.1:4483\n"
        );
        for status in ["9 routes", "reload refused: line 3: unknown key"] {
            signal.send(SignalRequest::Reload).unwrap();
            let reloading = manager.receive().await;
            assert!(
                reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
                "{reloading}"
            );
            assert_eq!(
                manager.receive().await,
                format!("READY=1\nSTATUS={status}\n")
            );
        }
        signal.send(SignalRequest::Stop).unwrap();
        let stopping = manager.receive().await;
        assert!(stopping.starts_with("STOPPING=1\nSTATUS="), "{stopping}");
        assert!(
            stopping.ends_with("EXTEND_TIMEOUT_USEC=3610000000\n"),
            "{stopping}"
        );
        assert!(shutdown.is_draining() && !shutdown.is_ended());
        // The second signal, long before the grace period ends.
        signal.send(SignalRequest::Stop).unwrap();
    };
    let (drained, ()) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(serving, manager_side) })
            .await
            .unwrap();
    assert_eq!(
        drained,
        DrainOutcome {
            finished: true,
            ended: 1
        }
    );
}

#[tokio::test]
async fn a_shutdown_begun_elsewhere_ends_serving() {
    let (tasks, shutdown) = (Tasks::default(), Shutdown::default());
    let (_signal, mut signals) = Signals::channel();
    shutdown.drain();
    let service = Service {
        signals: &mut signals,
        notifier: &Notifier::default(),
        tasks: &tasks,
        threads: &IoThreads::of_caller(),
        shutdown: &shutdown,
        transfers: &|| 1,
    };
    let serving = serve(
        service,
        "",
        async || Ok(String::new()),
        async || std::future::pending().await,
        || Duration::from_secs(1),
    );
    let drained = tokio::time::timeout(DEADLINE, serving).await.unwrap();
    assert!(drained.finished);
}
