//! Sends bodies to a path that changes nothing, and measures what the peer's kernel acknowledges.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};

use super::{CheckResult, Probe, RemoteProtocol, Stream, shown};
use crate::{
    doctor::Outcome,
    io::TcpMonitor,
    model::{Fault, FaultKind, Leg, Stage, classify},
};

/// No server has anything there, and every server says so without credentials.
const PATH: &str = "/.gitferry-probe";

/// With fewer bytes, a rate means nothing.
const MEASURABLE: u64 = 64 * 1024;

/// How long nothing may be acknowledged.
const IDLE: Duration = Duration::from_secs(4);

/// How long a body may take in all.
const LONGEST: Duration = Duration::from_secs(8);

pub(in crate::doctor) async fn kibibyte(probe: &Probe) -> CheckResult {
    post(probe, 1024).await
}

/// Two packets of 1,500 bytes and more.
pub(in crate::doctor) async fn beyond_mtu(probe: &Probe) -> CheckResult {
    post(probe, 3 * 1024).await
}

pub(in crate::doctor) async fn quarter_mebibyte(probe: &Probe) -> CheckResult {
    post(probe, 256 * 1024).await
}

pub(in crate::doctor) async fn measured(probe: &Probe) -> CheckResult {
    let Some(path) = probe.evidence().path.clone() else {
        return Ok(Outcome::skipped(""));
    };
    let lost = match path.segments {
        0 => String::new(),
        sent => format!(
            ", {}.{} % lost",
            path.retransmitted * 100 / sent,
            path.retransmitted * 1000 / sent % 10
        ),
    };
    let control = path.congestion.map(|name| format!(", {name}"));
    let words = format!(
        "rtt {}{lost}{}",
        shown(Duration::from_micros(path.rtt_us.into())),
        control.unwrap_or_default()
    );
    let whom = if probe.hop().is_some() {
        "hop"
    } else {
        "origin"
    };
    Ok(Outcome::passed(words).detail(format!("TCP to the {whom}; path MTU {}", path.pmtu)))
}

async fn post(probe: &Probe, size: usize) -> CheckResult {
    if probe.protocol == RemoteProtocol::Ssh {
        return Ok(Outcome::skipped(""));
    }
    if probe.is_withheld() {
        return Ok(Outcome::skipped("mirror gets none"));
    }
    let stream = probe.open().await?;
    let begun = Instant::now();
    let tcp = stream.tcp.clone();
    let head = head(probe, &stream, size);
    let sent = send(stream, &head, size).await;
    if let Some(path) = tcp.path() {
        probe.evidence().path = Some(path);
    }
    judge(probe, &sent, size, begun.elapsed())
}

fn head(probe: &Probe, stream: &Stream, size: usize) -> String {
    let (scheme, target) = probe.origin();
    let authority = target.authority(scheme);
    let base = probe
        .upstream
        .mirror
        .as_ref()
        .map_or("", |mirror| &mirror.base_path);
    let form = match stream.absolute_form {
        Some(_) => format!("http://{authority}"),
        None => String::new(),
    };
    let authorization = stream
        .absolute_form
        .as_ref()
        .and_then(|form| form.authorization.as_ref())
        .and_then(|value| value.to_str().ok())
        .map(|value| format!("Proxy-Authorization: {value}\r\n"))
        .unwrap_or_default();
    format!(
        "POST {form}{base}{PATH} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: gitferry-doctor/{}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {size}\r\nConnection: close\r\n{authorization}\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// How far a body got.
#[derive(Debug)]
struct PostProgress {
    /// Bytes of the request that the TCP peer acknowledged.
    acknowledged: u64,
    /// Retransmitted segments.
    retransmitted: u32,
    /// The status of the response, if one came.
    status: Option<u16>,
    /// What ended the connection.
    error: Option<FaultKind>,
    /// How long nothing was acknowledged at the end.
    idle: Duration,
}

/// Writes the request and reads at the same time, until a response comes or nothing is acknowledged any more.
async fn send(stream: Stream, head: &str, size: usize) -> PostProgress {
    let monitor = stream.tcp.monitor();
    let before = monitor.flow().acknowledged();
    let mut request = head.as_bytes().to_vec();
    request.resize(head.len() + size, b'.');
    let (mut reader, mut writer) = tokio::io::split(stream.io);
    let writing = async {
        writer.write_all(&request).await?;
        writer.flush().await
    };
    let writing = async {
        // A response says more than the error of the closed connection after it.
        let written = writing.await;
        match written {
            Ok(()) => std::future::pending().await,
            Err(error) => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                classify::io(&error)
            }
        }
    };
    let (status, error, idle) = tokio::select! {
        biased;
        answer = status(&mut reader) => match answer {
            Ok(status) => (Some(status), None, Duration::ZERO),
            Err(kind) => (None, Some(kind), Duration::ZERO),
        },
        kind = writing => (None, Some(kind), Duration::ZERO),
        idle = stands_still(&monitor) => (None, None, idle),
    };
    // Bytes in flight at the response may still be acknowledged.
    let goal = before + request.len() as u64;
    let settled = async {
        while monitor.flow().acknowledged() < goal {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(Duration::from_millis(300), settled).await;
    let flow = monitor.detailed_flow();
    PostProgress {
        acknowledged: flow.acknowledged().saturating_sub(before),
        retransmitted: flow.kernel.map_or(0, |kernel| kernel.retransmitted),
        status,
        error,
        idle,
    }
}

/// The status, or why none came.
async fn status(reader: &mut (impl AsyncRead + Unpin)) -> Result<u16, FaultKind> {
    let mut head = Vec::new();
    let mut piece = [0_u8; 1024];
    loop {
        let count = match reader.read(&mut piece).await {
            Ok(0) => return Err(FaultKind::ClosedEarly),
            Ok(count) => count,
            Err(error) => return Err(classify::io(&error)),
        };
        head.extend(piece.get(..count).unwrap_or_default());
        if head.len() >= 12 {
            let text = String::from_utf8_lossy(&head);
            let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
            return match (text.starts_with("HTTP/1."), status) {
                (true, Some(status)) => Ok(status),
                _ => Err(FaultKind::BadAnswer),
            };
        }
    }
}

/// Ends when nothing was acknowledged for [`IDLE`], or after [`LONGEST`].
async fn stands_still(monitor: &TcpMonitor) -> Duration {
    let begun = Instant::now();
    let (mut seen, mut since) = (0, begun);
    loop {
        sleep_until(Instant::now() + Duration::from_millis(50)).await;
        let acknowledged = monitor.flow().acknowledged();
        if acknowledged != seen {
            (seen, since) = (acknowledged, Instant::now());
        }
        if since.elapsed() >= IDLE || begun.elapsed() >= LONGEST {
            return since.elapsed();
        }
    }
}

fn judge(probe: &Probe, sent: &PostProgress, size: usize, took: Duration) -> CheckResult {
    let all = size as u64;
    let whole = sent.acknowledged >= all;
    let leg = if probe.hop().is_some() {
        Leg::Hop
    } else {
        Leg::Origin
    };
    let fault = |leg, stage, kind| Fault::new(leg, stage, kind).peer(probe.origin().1);
    let got = format!(
        "{} of {} acknowledged, {} segments retransmitted",
        kib(sent.acknowledged.min(all)),
        kib(all),
        sent.retransmitted
    );
    match (sent.status, &sent.error) {
        // Many servers respond before they have read the whole body, and close.
        (Some(status), _) if whole || all < MEASURABLE => {
            Ok(Outcome::passed(format!("{status}, {}", shown(took))))
        }
        (Some(status), _) if sent.acknowledged >= MEASURABLE => Ok(Outcome::passed(format!(
            "{status} after {}, {}",
            kib(sent.acknowledged),
            shown(took)
        ))),
        (Some(status), _) => Ok(Outcome::unmeasured(format!("{status} at once"))
            .detail(format!("the response came early: {got}"))),
        // Every byte reached the origin: it does not want this body, and the path carries an upload.
        (None, Some(FaultKind::ClosedEarly | FaultKind::Reset))
            if whole && all >= MEASURABLE && probe.hop().is_none() =>
        {
            Ok(Outcome::passed("all acknowledged")
                .detail(format!("closed without a response: {got}")))
        }
        (None, Some(kind)) => {
            let stage = if whole {
                Stage::AwaitingHead
            } else {
                Stage::SendingBody
            };
            Err(fault(Leg::Origin, stage, kind.clone()).detail(got))
        }
        (None, None) if whole => Err(fault(Leg::Origin, Stage::AwaitingHead, FaultKind::TimedOut)
            .detail(format!(
                "the request arrived completely, and no response came within {}",
                shown(took)
            ))),
        // It makes progress, but too slowly to measure.
        (None, None) if sent.idle < IDLE => Ok(Outcome::unmeasured("slow").detail(got)),
        (None, None) => Err(fault(leg, Stage::SendingBody, FaultKind::TimedOut).detail(got)),
    }
}

fn kib(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        _ => format!("{} KiB", bytes / 1024),
    }
}
