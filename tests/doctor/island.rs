//! A network namespace of its own with one name server. Every address beyond it is a black hole: no router says so.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
    thread,
};

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{
    path::ip,
    process::clean_command,
    skip::{Need, skipped},
};

/// An address of the Internet that the island has itself.
pub(crate) const REACHED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// One that is lost beyond it.
pub(crate) const LOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 7);

/// The namespace and its name server, for as long as it lives.
pub(crate) struct Island {
    name: String,
    files: TempDir,
    name_server: UdpSocket,
    runtime: Option<Runtime>,
}

impl Island {
    /// Makes one, whose name server is silent; `None`, and the test is skipped, where this machine does not permit it.
    pub(crate) fn new() -> Option<Self> {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gfi-{}-{number}", std::process::id());
        if let Err(reason) = build(&name) {
            let _ = ip(&format!("netns del {name}"));
            skipped(
                Need::Namespaces,
                &format!("network namespaces, as root with iproute2: {reason}"),
            );
            return None;
        }
        let files = TempDir::new().unwrap();
        let resolver = "nameserver 127.0.0.1\n";
        fs::write(files.path().join("resolv.conf"), resolver).unwrap();
        fs::write(files.path().join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        Some(Self {
            name_server: inside(&name, || UdpSocket::bind("127.0.0.1:53").unwrap()),
            name,
            files,
            runtime: None,
        })
    }

    /// Every name resolves to these addresses.
    pub(crate) fn resolves_to(mut self, addresses: &[IpAddr]) -> Self {
        let runtime = Runtime::new().unwrap();
        let socket = self.name_server.try_clone().unwrap();
        socket.set_nonblocking(true).unwrap();
        let addresses = addresses.to_vec();
        runtime.spawn(async move {
            let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                if let Some(answer) = answer(&query[..length], &addresses) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        self.runtime = Some(runtime);
        self
    }

    /// A listening socket at [`REACHED`].
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        inside(&self.name, move || {
            TcpListener::bind(SocketAddr::from((REACHED, port))).unwrap()
        })
    }

    /// The command as it runs there.
    pub(crate) fn runs(&self, command: &Command) -> Command {
        let file = |name: &str| -> PathBuf { self.files.path().join(name) };
        let here = command.get_current_dir().unwrap_or(Path::new("/"));
        let mut there = clean_command("ip", here);
        there
            .args(["netns", "exec", &self.name, "sh", "-c"])
            .arg(r#"mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@""#)
            .arg("sh")
            .args([file("resolv.conf"), file("nsswitch.conf")])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(here);
        there
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = ip(&format!("netns del {}", self.name));
    }
}

/// A link whose far end belongs to nobody, and routes over it. The neighbours are known, so that nobody misses their answer.
fn build(name: &str) -> Result<(), String> {
    let mac = "02:00:00:00:00:01";
    let lines = [
        format!("netns add {name}"),
        format!("-n {name} link set lo up"),
        format!("-n {name} link add name near0 type veth peer name far0"),
        format!("-n {name} link set near0 up"),
        format!("-n {name} link set far0 up"),
        format!("-n {name} addr add {REACHED}/32 dev lo"),
        format!("-n {name} addr add 192.0.2.2/24 dev near0"),
        format!("-n {name} neigh add 192.0.2.1 lladdr {mac} dev near0 nud permanent"),
        format!("-n {name} route add default via 192.0.2.1"),
        format!("-n {name} -6 addr add 2001:db8:1::2/64 dev near0 nodad"),
        format!("-n {name} -6 neigh add 2001:db8:1::1 lladdr {mac} dev near0 nud permanent"),
        format!("-n {name} -6 route add default via 2001:db8:1::1"),
    ];
    lines.iter().try_for_each(|line| ip(line))
}

/// What `open` opens in the namespace. Only the thread that does it is moved, and it ends here.
fn inside<T: Send + 'static>(name: &str, open: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    let opening = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        open()
    });
    opening.join().unwrap()
}

/// The answer to a query for A or AAAA (RFC 1035, section 4).
fn answer(query: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..12 + name + 5)?;
    let kind = question[name + 2];
    let found: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (kind, address) {
            (1, IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
            (28, IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    // An answer, recursion available, no error; one question.
    let head = [
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(found.len()).ok()?,
        0,
        0,
        0,
        0,
    ];
    let mut answer = [query.get(..2)?, &head, question].concat();
    for data in found {
        // The name of the question, class IN, a minute.
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
        answer.push(u8::try_from(data.len()).ok()?);
        answer.extend(data);
    }
    Some(answer)
}
