//! `gitferry status`: live transfers and upstream health, from the running daemon.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::{Failure, printed};

/// `gitferry status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// What the daemon says, as it says it.
    #[arg(long)]
    pub json: bool,
    /// Again every second, until interrupted.
    #[arg(long)]
    pub watch: bool,
    /// Where the daemon listens; without it, what the config says.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<SocketAddr>,
}

/// Longer than a daemon of this machine ever takes.
const DEADLINE: Duration = Duration::from_secs(5);

/// Prints the status of the daemon at `address`.
pub(super) fn run(args: &StatusArgs, address: SocketAddr) -> Result<(), Failure> {
    loop {
        let body = fetch(address).map_err(|error| {
            Failure::during(format!("no gitferry answers at {address}"), error)
                .hint("start it with `gitferry run`, or say where it is with `--address`")
        })?;
        let text = if args.json {
            body
        } else {
            let status = serde_json::from_str(&body)
                .map_err(|error| Failure::during("cannot read the daemon's answer", error))?;
            render(&status)
        };
        if args.watch && io::stdout().is_terminal() {
            // Home, and clear what is below (ECMA-48: CUP, ED).
            printed(io::stdout().write_all(b"\x1b[H\x1b[J"))?;
        }
        printed(
            io::stdout()
                .write_all(text.as_bytes())
                .and_then(|()| io::stdout().flush()),
        )?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// One HTTP/1.0 request: the answer ends with the connection.
fn fetch(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    write!(stream, "GET /-/status HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        )),
    }
}

fn render(status: &Value) -> String {
    let list = |key: &str| {
        status
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut page = format!(
        "gitferry {}, up {} s\n\n",
        text(status, "version"),
        text(status, "uptime_s")
    );
    let transfers = list("transfers");
    let _ = writeln!(page, "{} running", transfers.len());
    for transfer in &transfers {
        let _ = writeln!(
            page,
            "  #{} {} {}:{} {} via {}: {} for {} ms, {} up, {} down",
            text(transfer, "id"),
            text(transfer, "method"),
            text(transfer, "host"),
            text(transfer, "port"),
            text(transfer, "path"),
            text(transfer, "upstream"),
            text(transfer, "stage"),
            text(transfer, "stage_ms"),
            text(transfer, "up"),
            text(transfer, "down")
        );
        if let Some(circuit) = transfer.get("circuit").and_then(Value::as_str) {
            let _ = writeln!(page, "    goes another way: {circuit}");
        }
        if let Some(verdict) = transfer.get("stall").and_then(Value::as_str) {
            let _ = writeln!(
                page,
                "    stalled for {} ms: {verdict}",
                text(transfer, "idle_ms")
            );
        }
    }
    page.push_str("\nupstreams\n");
    for upstream in list("upstreams") {
        let name = format!(
            "{} via {}",
            text(&upstream, "route"),
            text(&upstream, "upstream")
        );
        let circuits = upstream.get("circuits").and_then(Value::as_array);
        let circuits = circuits.map(Vec::as_slice).unwrap_or_default();
        if circuits.is_empty() {
            let _ = writeln!(page, "  {name}: well");
        }
        for circuit in circuits {
            let _ = writeln!(
                page,
                "  {name}: {} for {}, failures {}, the last {} s ago: {}",
                text(circuit, "state"),
                text(circuit, "host"),
                text(circuit, "failures"),
                text(circuit, "failed_s_ago"),
                text(circuit, "code")
            );
        }
    }
    render_stalls(&mut page, &list("stalls"));
    let faults = list("faults");
    if !faults.is_empty() {
        page.push_str("\nlast faults\n");
    }
    for fault in faults.iter().take(10) {
        let _ = writeln!(
            page,
            "  {} s ago: {}{}, {}",
            text(fault, "s_ago"),
            text(fault, "code"),
            on_the_way(fault),
            text(fault, "next")
        );
        let cause = text(fault, "cause");
        // The cause begins with the code, which stands above.
        let cause = cause.strip_prefix(&text(fault, "code")).unwrap_or(&cause);
        if !cause.is_empty() {
            let _ = writeln!(page, "    {}", cause.trim_start_matches([':', ' ']));
        }
        if let Some(advice) = fault.get("advice").and_then(Value::as_str) {
            let _ = writeln!(page, "    advice: {advice}");
        }
    }
    page
}

/// ` huggingface.co:443 via office`, as far as there is such a thing.
fn on_the_way(fault: &Value) -> String {
    let mut way = String::new();
    if text(fault, "host") != "-" {
        let _ = write!(way, " {}:{}", text(fault, "host"), text(fault, "port"));
    }
    if let Some(upstream) = fault.get("upstream").and_then(Value::as_str) {
        let _ = write!(way, " via {upstream}");
    }
    way
}

/// A field as text; `-` where there is none.
fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".into(),
        Some(other) => other.to_string(),
    }
}

fn render_stalls(page: &mut String, stalls: &[Value]) {
    if !stalls.is_empty() {
        page.push_str("\nlast stalls\n");
    }
    for stall in stalls.iter().take(10) {
        let _ = writeln!(
            page,
            "  {} s ago: {}/{}{}, {} after {} ms: {}",
            text(stall, "s_ago"),
            text(stall, "leg"),
            text(stall, "verdict"),
            on_the_way(stall),
            text(stall, "phase"),
            text(stall, "idle_ms"),
            text(stall, "evidence")
        );
        let _ = writeln!(page, "    advice: {}", text(stall, "advice"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_is_shown_with_its_time_cause_and_advice() {
        let status = json!({
            "version": "1", "uptime_s": 2,
            "faults": [
                {
                    "s_ago": 3, "code": "hop/greeting/refused", "host": "hf.co", "port": 443, "upstream": "office",
                    "next": "give up", "cause": "hop/greeting/refused with 192.0.2.1:3128: connection refused",
                    "advice": "check `url`"
                },
                {
                    "s_ago": 4, "code": "client/accepted/not-http", "host": "-", "port": 0, "upstream": null,
                    "next": "give up", "cause": "client/accepted/not-http (a TLS hello)", "advice": null
                },
            ],
        });
        let page = render(&status);
        let shown = "last faults\n  \
             3 s ago: hop/greeting/refused hf.co:443 via office, give up\n    \
             with 192.0.2.1:3128: connection refused\n    \
             advice: check `url`\n  \
             4 s ago: client/accepted/not-http, give up\n    \
             (a TLS hello)\n";
        assert!(page.ends_with(shown), "{page}");
    }
}
