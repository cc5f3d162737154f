//! Looks for a captive portal where the port is closed, TLS fails or the certificate is not trusted: does a log-in page answer in plain HTTP?

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{CheckResult, Probe, http};
use crate::{
    config::Via,
    doctor::Outcome,
    model::{Scheme, Target},
};

/// Enough for a head and a title.
const LIMIT: u64 = 16 * 1024;

/// A portal is in the local network.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

pub(in crate::doctor) async fn run(probe: &Probe) -> CheckResult {
    let (suspicious, connected) = {
        let evidence = probe.evidence();
        let connected = evidence.chain.is_some() || evidence.handshake.is_some();
        let suspicious = evidence.handshake.is_some() || evidence.distrusted;
        (suspicious || !connected, connected)
    };
    // For a hop, the check `hop` reads its pages.
    if !suspicious || !probe.is_tls() || probe.hop().is_some() {
        return Ok(Outcome::skipped(""));
    }
    let target = probe.origin().1;
    let plain = Target::new(target.host.clone(), 80);
    // A portal speaks plain HTTP on the TLS port, or closes that port and redirects port 80 to its page.
    for target in [Some(target).filter(|_| connected), Some(&plain)]
        .into_iter()
        .flatten()
    {
        if let Some(head) = ask(probe, target).await
            && let Some(outcome) = judge(probe, &head, target.port == 80)
        {
            return Ok(outcome);
        }
    }
    Ok(Outcome::skipped("none seen"))
}

/// The head of the response to a plain request, if any.
async fn ask(probe: &Probe, target: &Target) -> Option<Vec<u8>> {
    let asking = async {
        let mut connection = probe
            .dial_to(&Via::Direct, Scheme::Http, target)
            .await
            .ok()?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: gitferry-doctor/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            target.host,
            env!("CARGO_PKG_VERSION")
        );
        connection.io.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        // Bytes before an error count.
        let _ = (&mut connection.io)
            .take(LIMIT)
            .read_to_end(&mut answer)
            .await;
        Some(answer)
    };
    timeout(TIMEOUT, asking).await.ok().flatten()
}

/// The status of an answer, and where it redirects to; `None` for what is not HTTP.
pub(crate) fn read(answer: &[u8]) -> Option<(u16, Option<String>)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(answer).ok()?;
    let mut fields = response.headers.iter();
    let location = fields.find(|field| field.name.eq_ignore_ascii_case("location"));
    let location = location.and_then(|field| http::redirect_target(field.value));
    Some((response.code?, location))
}

/// Plain HTTP on the TLS port is a portal's; on port 80 only a redirect to another host is.
fn judge(probe: &Probe, answer: &[u8], on_port_80: bool) -> Option<Outcome> {
    let (status, location) = read(answer)?;
    let elsewhere = http::redirects_elsewhere(probe, location.as_deref());
    // nginx and Go answer plain HTTP on a TLS port with 400: that is the site itself.
    let portal = status == 511 || elsewhere || !on_port_80 && status != 400;
    portal.then(|| {
        let words = location.as_deref().unwrap_or("plain HTTP").to_owned();
        Outcome::failed(words.clone())
            .detail(format!(
                "plain HTTP answers for {} with {status}: the log-in page of a network",
                probe.origin().1.host
            ))
            .fact(|facts| facts.portal = Some(location))
    })
}
