//! The metrics as Debian's Prometheus takes them, and the alerts and the dashboard that are made of them.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Need, deploy, port::free_address, run, skipped};

const SOON: Duration = Duration::from_secs(60);

/// A child that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn daemon(directory: &Path) -> (Server, SocketAddr) {
    let address = free_address();
    let config = directory.join("gitferry.toml");
    let state = directory.join("state");
    let text = format!(
        "[listen]\naddress = \"{address}\"\n[state]\ndirectory = \"{}\"\n",
        state.display()
    );
    fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_gitferry"))
        .env_clear()
        .env("HOME", directory)
        .arg("--config")
        .arg(&config)
        .arg("run")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Server(child), address)
}

/// The answer to a GET, asked again until the server listens and `wanted` is in it.
fn get(address: SocketAddr, path: &str, accept: &str, wanted: &str) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.set_read_timeout(Some(SOON)).unwrap();
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let _ = stream.read_to_string(&mut answer);
            if answer.contains(wanted) {
                return answer;
            }
        }
        assert!(Instant::now() < deadline, "{wanted} is not in {answer}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("gitferry_"))
        .collect()
}

#[test]
fn the_metrics_are_what_promtool_and_prometheus_expect() {
    let directory = tempfile::tempdir().unwrap();
    let (_daemon, address) = daemon(directory.path());
    // A transfer, so that there are counters and histograms: refused by the reverse front.
    get(address, "/unknown.test/", "*/*", " 403 ");
    let answer = get(address, "/-/metrics", "*/*", "gitferry_faults_total{");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let open = get(
        address,
        "/-/metrics",
        "application/openmetrics-text",
        "gitferry_faults_total{",
    );
    assert!(
        open.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"),
        "{open}"
    );

    let file = directory.path().join("metrics");
    fs::write(&file, text).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file).unwrap());
    let Some(checked) = run(&mut promtool) else {
        return;
    };
    let said = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    // Named before there were histograms; the name is kept for the dashboards that use it.
    let complaints = said
        .lines()
        .filter(|line| !line.contains("gitferry_stalled_milliseconds_total"));
    assert_eq!(complaints.count(), 0, "{said}");

    let config = directory.path().join("prometheus.yml");
    let scrape = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: gitferry\n  metrics_path: /-/metrics\n  static_configs:\n  - targets: [\"{address}\"]\n"
    );
    fs::write(&config, scrape).unwrap();
    let web = free_address();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={web}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = match prometheus {
        Ok(child) => Server(child),
        Err(error) => return skipped(Need::Program, &format!("prometheus: {error}")),
    };
    get(
        web,
        "/api/v1/query?query=up%7Bjob%3D%22gitferry%22%7D",
        "*/*",
        ",\"1\"]",
    );
    get(
        web,
        "/api/v1/query?query=gitferry_faults_total",
        "*/*",
        "client/accepted/denied",
    );
}

#[test]
fn the_alerts_and_the_dashboard_use_metrics_that_exist() {
    let directory = tempfile::tempdir().unwrap();
    let (_daemon, address) = daemon(directory.path());
    let metrics = get(address, "/-/metrics", "*/*", "# TYPE");
    let known = names(&metrics);
    for file in ["prometheus/alerts.yml", "grafana/gitferry.json"] {
        let text = fs::read_to_string(deploy(file)).unwrap();
        let used = names(&text);
        assert!(used.len() > 3, "{used:?}");
        for name in used {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            assert!(known.contains(family.unwrap_or(name)), "{file}: {name}");
        }
    }
    let dashboard = fs::read_to_string(deploy("grafana/gitferry.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "rules"])
        .arg(deploy("prometheus/alerts.yml"));
    if let Some(checked) = run(&mut promtool) {
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}
