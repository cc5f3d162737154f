//! Runs the cells, prints the table, and fails with the wrong ones.

use std::{
    collections::VecDeque,
    env, fmt,
    io::{self, Write as _},
    sync::Mutex,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    causes::{After, CAUSES, Cause, WAITS},
    clients::{self, Client},
    faults::BrokenPath,
    scene::{Exposure, Scene, Victim},
    support::{ferry::Ferry, process::wait_until, settings::Settings},
};

/// The limits of the test: a tenth of the defaults.
const SCALED: &str = "[stall]\nafter = \"2s\"\nconnect_after = \"2s\"\nanswer_after = \"12s\"\nclient_after = \"6s\"\n";
const SCALED_DIAL: &str =
    "connect_timeout = \"1s\"\ngreet_timeout = \"1500ms\"\nhandshake_timeout = \"1s\"";
/// How much later than due a line may be on a busy machine.
const SLACK: Duration = Duration::from_secs(10);
/// The time until the client's first request, also on a busy machine.
const START: Duration = Duration::from_secs(60);
/// The row that always runs with the default limits.
const ON_DEFAULTS: &str = "an upload without an answer";
/// The number of concurrent cells; nearly all of them wait.
const AT_ONCE: usize = 10;

/// One cell.
struct Cell {
    cause: &'static Cause,
    client: Client,
    defaults: bool,
}

/// The first line of the log about the fault, and how long its transfer ran or stood still before it.
#[derive(Debug)]
struct FirstLine {
    code: String,
    after: Duration,
}

struct Outcome {
    cell: Cell,
    first_line: Option<FirstLine>,
    log: String,
}

#[test]
fn the_first_line_of_the_log_names_the_cause() {
    let scene = Scene::new();
    let outcomes = run(&scene, cells());
    let mut table = String::new();
    for outcome in &outcomes {
        table += &format!("{outcome}\n");
    }
    let _ = writeln!(io::stdout(), "\n{table}");
    let wrong: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| !outcome.is_right())
        .collect();
    for outcome in &wrong {
        eprintln!("--- {outcome}\n{}", outcome.log);
    }
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cells are wrong:\n{}",
        wrong.len(),
        outcomes.len(),
        wrong.join("\n")
    );
    let rows = CAUSES
        .iter()
        .filter(|cause| cause.expected.iter().any(Option::is_some))
        .count();
    assert!(rows >= 25, "{rows} causes");
}

/// Every cell that the environment asks for.
fn cells() -> VecDeque<Cell> {
    let asked = env::var("GITFERRY_TRUTH").unwrap_or_default();
    let all = asked == "defaults";
    let wanted = |cell: &Cell| {
        asked.is_empty()
            || all
            || format!("{} {}", cell.cause.name, cell.client.as_str()).contains(&asked)
    };
    let cells = CAUSES
        .iter()
        .flat_map(|cause| Client::ALL.map(|client| (cause, client)));
    let cells = cells
        .filter(|(cause, client)| cause.expected(*client).is_some() || cause.expected == [None; 3]);
    cells
        .map(|(cause, client)| Cell {
            cause,
            client,
            defaults: all || cause.name == ON_DEFAULTS,
        })
        .filter(wanted)
        .collect()
}

fn run(scene: &Scene, cells: VecDeque<Cell>) -> Vec<Outcome> {
    let (todo, done) = (Mutex::new(cells), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(cell) = next(&todo) {
                    let outcome = run_cell(scene, cell);
                    done.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap();
    let place = |outcome: &Outcome| {
        let row = CAUSES
            .iter()
            .position(|cause| cause.name == outcome.cell.cause.name);
        (row, outcome.cell.client as usize)
    };
    outcomes.sort_by_key(place);
    outcomes
}

fn next(todo: &Mutex<VecDeque<Cell>>) -> Option<Cell> {
    todo.lock().unwrap().pop_front()
}

fn run_cell(scene: &Scene, cell: Cell) -> Outcome {
    let (cause, client) = (cell.cause, cell.client);
    let name = format!(
        "{}-{}",
        client.as_str(),
        cause
            .name
            .replace(|letter: char| !letter.is_alphanumeric(), "-")
    );
    let victim = scene.victim(client, cause.what);
    let broken = (cause.inject)(scene, &name, victim);
    let ferry = Ferry::start(&settings(scene, &name, victim, &broken, cell.defaults));
    let mut running = clients::start(scene, &name, &ferry, client, cause.what);
    let mut first_line: Option<FirstLine> = None;
    let mut look = || {
        first_line = first(&ferry, victim.name);
        let expected = cause.expected(client);
        first_line
            .as_ref()
            .is_some_and(|first_line| first_line.code != WAITS || expected == Some(WAITS))
    };
    if cause.what == Exposure::Killed {
        wait_until(START, || uploads(&ferry));
        running.end();
    }
    wait_until(START + cell.deadline() + SLACK, || {
        look() || !running.runs()
    });
    // The closing lines follow the response to the client; what a killed client sent is passed on first.
    if !running.runs() {
        wait_until(cell.after_its_end(), look);
    }
    running.vanish();
    let log = ferry.log();
    Outcome {
        cell,
        first_line,
        log,
    }
}

/// True while a body is on its way to the origin.
fn uploads(ferry: &Ferry) -> bool {
    let mut transfers = ferry.transfers().into_iter();
    transfers.any(|transfer| {
        transfer["stage"] == "sending-body" && transfer["up"].as_u64() > Some(50_000)
    })
}

/// Every name at its own server, and the victim behind its fault.
fn settings(
    scene: &Scene,
    name: &str,
    victim: Victim,
    broken: &BrokenPath,
    defaults: bool,
) -> Settings {
    let mut settings = scene.settings(name);
    if !defaults {
        settings = settings.section(SCALED).dial(SCALED_DIAL);
    }
    settings = settings.section(&broken.sections);
    if let Some(url) = &broken.hop {
        settings = settings.hop_without_credentials("office", url);
    }
    for (host, origin) in scene.names() {
        let (to, via) = match (host == victim.name, &broken.hop) {
            (false, _) => (Some(origin), "direct"),
            (true, None) => (broken.at, "direct"),
            (true, Some(_)) => (broken.at, "office"),
        };
        settings = settings.route_to(host, "terminate", &[via], to);
        if host == victim.name {
            settings = settings.route_line(&broken.lines);
        }
    }
    settings
}

/// The first line about a fault of the host; where there is none, the line that its answer is awaited.
fn first(ferry: &Ferry, host: &str) -> Option<FirstLine> {
    let log = ferry.log();
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut lines: Vec<FirstLine> = events
        .filter(|event| event["host"] == host)
        .filter_map(|event| {
            let (code, after) = (code(&event)?, after(&event));
            Some(FirstLine { code, after })
        })
        .collect();
    let telling = lines.iter().position(|line| line.code != WAITS);
    (!lines.is_empty()).then(|| lines.swap_remove(telling.unwrap_or(0)))
}

/// By the daemon's own clock: the start of the client on a busy machine does not count.
fn after(event: &Value) -> Duration {
    let mut times = ["elapsed_ms", "idle_ms", "total_ms"].into_iter();
    let ms = times.find_map(|name| event[name].as_u64());
    Duration::from_millis(ms.unwrap_or_default())
}

fn code(event: &Value) -> Option<String> {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    match event["message"].as_str()? {
        "fault" => Some(text("code")),
        "stall" | "no answer yet" => Some(format!(
            "{}/{}/stalled-{}",
            text("leg"),
            text("stage"),
            text("verdict")
        )),
        "waiting for the answer" => Some(text("message")),
        "upload no longer kept for replay" => Some(text("message")),
        "transfer ended" if text("result").ends_with("/gone") => Some(text("result")),
        "transfer ended" => {
            let status = event["status"].as_u64().filter(|status| *status >= 400)?;
            (event["result"] == "answered").then(|| format!("status {status}"))
        }
        _ => (event["level"] == "warn").then(|| text("message")),
    }
}

impl Cell {
    /// How long a line may follow the client's end.
    fn after_its_end(&self) -> Duration {
        Duration::from_secs(if self.cause.what == Exposure::Killed {
            30
        } else {
            2
        })
    }

    /// How soon the cause must be named.
    fn deadline(&self) -> Duration {
        let seconds = match (self.cause.after, self.defaults) {
            (After::AtOnce, _) => 0.0,
            (After::Drain, _) => 30.0,
            (After::Dial, true) => 15.0,
            (After::Dial, false) => 1.5,
            (After::Stall, true) => 26.0,
            (After::Stall, false) => 2.6,
        };
        Duration::from_secs_f64(seconds)
    }
}

impl Outcome {
    fn is_right(&self) -> bool {
        let expected = self.cell.cause.expected(self.cell.client);
        match (&self.first_line, expected) {
            (None, None) => true,
            (Some(first_line), Some(code)) => {
                // What a killed client sent is passed on first: the stage may be the next one by then.
                let gone = self.cell.cause.what == Exposure::Killed
                    && first_line.code.starts_with("client/")
                    && first_line.code.ends_with("/gone");
                (first_line.code == code || gone)
                    && first_line.after <= self.cell.deadline() + SLACK
            }
            _ => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell {
            cause,
            client,
            defaults,
        } = &self.cell;
        let (code, after) = match &self.first_line {
            Some(first_line) => (
                first_line.code.as_str(),
                format!("{:5.1} s", first_line.after.as_secs_f64()),
            ),
            None => ("-", String::new()),
        };
        let mark = match (self.is_right(), defaults) {
            (false, _) => "WRONG",
            (true, true) => "defaults",
            (true, false) => "",
        };
        write!(
            f,
            "{:<36} {:<8} {code:<46} {after:>8} {mark}",
            cause.name,
            client.as_str()
        )
    }
}
