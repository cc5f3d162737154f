//! Headless Chromium with an empty profile, by the DevTools protocol over a pipe (`--remote-debugging-pipe`): no port, no other crate.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::skip;

/// The limit of every wait.
const DEADLINE: Duration = Duration::from_secs(30);

/// A screen.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    width: u32,
    height: u32,
    scheme: &'static str,
}

impl Look {
    pub(crate) const DESK: Self = Self {
        width: 1280,
        height: 1180,
        scheme: "light",
    };
    pub(crate) const DARK: Self = Self {
        scheme: "dark",
        ..Self::DESK
    };
    /// Half of a desktop's screen.
    pub(crate) const HALF: Self = Self {
        width: 800,
        ..Self::DESK
    };
    pub(crate) const PHONE: Self = Self {
        width: 390,
        height: 844,
        scheme: "light",
    };
}

/// A browser with one page; killed on drop.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// Messages that are not answers.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it; `None`, with a message, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        if !skip::has_programs(&["chromium"]) {
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        // The protocol wants descriptors 3 and 4; the shell makes them of its stdin and stdout.
        let flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
             --disable-component-update --disable-sync --no-proxy-server --remote-debugging-pipe";
        let script = format!(
            "exec chromium {flags} --user-data-dir=\"$HOME\" about:blank 3<&0 4>&1 </dev/null >/dev/null"
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, from) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let _ = sender.send(serde_json::from_slice(&message).unwrap_or_default());
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            session: None,
            last: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens `url` on a screen of this size and colour scheme.
    pub(crate) fn open(&mut self, url: &str, look: Look) {
        let phone = look.width < 600;
        let screen = json!({
            "width": look.width, "height": look.height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone,
        });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        let scheme =
            json!({ "features": [{ "name": "prefers-color-scheme", "value": look.scheme }] });
        self.call("Emulation.setEmulatedMedia", scheme);
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// Opens the page with scripts disabled.
    pub(crate) fn without_scripts(&mut self, url: &str) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        );
        self.call("Page.navigate", json!({ "url": url }));
        self.wait(
            "the plain page",
            "document.querySelector('.plain table') !== null",
        );
    }

    /// The value of a JavaScript expression.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let what = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", what);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer:#}"
        );
        answer["result"]["value"].take()
    }

    /// The text of the first element that `selector` finds.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!(
            "document.querySelector({selector:?})?.textContent.trim()"
        ));
        text.as_str()
            .unwrap_or_else(|| panic!("no {selector}"))
            .to_owned()
    }

    /// Waits until `expression` is true.
    pub(crate) fn wait(&mut self, what: &str, expression: &str) {
        let began = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            if began.elapsed() > DEADLINE {
                self.picture("failed");
                panic!("timed out waiting for {what}; see target/page/failed.png");
            }
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// The processor time of the page's main thread, in seconds.
    pub(crate) fn processor_time(&mut self) -> f64 {
        self.call("Performance.enable", json!({ "timeDomain": "threadTicks" }));
        let metrics = self.call("Performance.getMetrics", json!({}));
        let mut metrics = metrics["metrics"].as_array().unwrap().iter();
        let used = metrics.find(|metric| metric["name"] == "TaskDuration");
        used.unwrap()["value"].as_f64().unwrap()
    }

    /// Takes a picture.
    pub(crate) fn picture(&mut self, name: &str) {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let picture = BASE64_STANDARD
            .decode(picture["data"].as_str().unwrap())
            .unwrap();
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/page");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }

    /// Fails where the console has a message, or the page sent a request to another server.
    pub(crate) fn assert_clean(&mut self, page: &str) {
        self.value("0");
        let mut requests = 0;
        for event in &self.events {
            let (method, about) = (
                event["method"].as_str().unwrap_or_default(),
                &event["params"],
            );
            match method {
                "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => {
                    panic!("{about:#}")
                }
                "Network.requestWillBeSent" => {
                    let url = about["request"]["url"].as_str().unwrap_or_default();
                    assert!(url.starts_with(page), "an outside request: {url}");
                    requests += 1;
                }
                _ => {}
            }
        }
        assert!(requests >= 4, "only {requests} requests were seen");
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        write!(self.to, "{message}\0").unwrap();
        loop {
            let mut answer = self
                .from
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("no answer to {method}"));
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer:#}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
