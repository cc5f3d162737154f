//! Reports of real logs, compared with golden files; and of damaged and hostile ones.
//!
//! `tests/fixtures/report` has the log of a real daemon with one hop that refuses a host and one that drops connections, and
//! the output of a real journalctl for it. `UPDATE_FIXTURES=1` updates the golden files: read the diff.

use std::{collections::BTreeMap, env, fs, path::Path};

use super::{Roles, data, page, reader, summary::LogSummary, verdict::verdicts};
use crate::model::Role;

mod lines;
mod round_trip;
mod stalls;

fn roles() -> Roles {
    BTreeMap::from([
        ("main".into(), Role::MainSite),
        ("lfs".into(), Role::LfsStorage),
        ("alone".into(), Role::LfsStorage),
    ])
}

fn fixture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report");
    fs::read(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares `text` with a file of `tests/fixtures`.
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    if env::var_os("UPDATE_FIXTURES").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(text, expected, "{name}");
}

fn summarised(logs: &[&[u8]]) -> LogSummary {
    let mut summary = LogSummary::default();
    for log in logs {
        reader::read(*log, &mut summary).unwrap();
    }
    summary
}

fn paged(logs: &[&[u8]]) -> String {
    page::page(&summarised(logs), &roles())
}

/// The page without the head's count of lines, which tells the formats apart.
fn without_lines(page: &str) -> String {
    let lines = page.lines().filter(|line| !line.starts_with("lines "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_logfmt_log_of_a_real_run_is_summarised() {
    let summary = summarised(&[&fixture("text.log")]);
    golden("report/text.page", &page::page(&summary, &roles()));
    golden(
        "report/text.json",
        &format!("{:#}\n", data::data(&summary, &roles())),
    );
}

#[test]
fn a_json_log_of_a_real_run_is_summarised() {
    golden("report/json.page", &paged(&[&fixture("json.log")]));
}

#[test]
fn the_output_of_journalctl_is_summarised_like_the_log_itself() {
    let plain = without_lines(&paged(&[&fixture("text.log")]));
    for form in [
        "journal-short.log",
        "journal-json.log",
        "journal-export.log",
    ] {
        let summary = summarised(&[&fixture(form)]);
        assert_eq!(
            (summary.lines.events, summary.lines.advice),
            (20, 5),
            "{form}"
        );
        assert_eq!(
            (summary.lines.foreign, summary.lines.unreadable),
            (2, 0),
            "{form}"
        );
        assert_eq!(
            without_lines(&page::page(&summary, &roles())),
            plain,
            "{form}"
        );
    }
}

#[test]
fn journal_entries_that_contain_json_are_summarised_like_the_log_itself() {
    let log = String::from_utf8(fixture("json.log")).unwrap();
    let plain = without_lines(&paged(&[log.as_bytes()]));
    let short: String = log
        .lines()
        .map(|line| format!("Nov 23 16:00:00 host gitferry[7]: {line}\n"))
        .collect();
    let entry = |line: &str| serde_json::json!({ "_PID": "7", "MESSAGE": line }).to_string() + "\n";
    let json: String = log.lines().map(entry).collect();
    let export: String = log
        .lines()
        .map(|line| format!("__CURSOR=s=0\n_PID=7\nMESSAGE={line}\n\n"))
        .collect();
    for form in [short, json, export] {
        assert_eq!(without_lines(&paged(&[form.as_bytes()])), plain);
    }
}

#[test]
fn rotated_logs_are_one_log_wherever_they_are_split() {
    let log = fixture("text.log");
    let plain = paged(&[&log]);
    let ends: Vec<usize> = (0..log.len()).filter(|at| log[*at] == b'\n').collect();
    assert!(ends.len() > 20);
    for end in ends {
        let (first, second) = log.split_at(end + 1);
        assert_eq!(paged(&[first, second]), plain);
    }
}

#[test]
fn a_log_that_is_cut_at_any_byte_has_no_unreadable_line_and_no_extra_host_or_code() {
    for name in [
        "text.log",
        "json.log",
        "journal-export.log",
        "journal-json.log",
    ] {
        let log = fixture(name);
        let full = summarised(&[&log]);
        for end in (0..log.len()).step_by(7) {
            let cut = summarised(&[&log[..end]]);
            assert_eq!(cut.lines.unreadable, 0, "{name} at {end}");
            assert!(cut.lines.cut <= 1, "{name} at {end}");
            for (host, part) in &cut.hosts {
                let whole = full.hosts.get(host);
                let whole = whole.unwrap_or_else(|| panic!("{name} at {end} has host {host}"));
                assert!(part.ended <= whole.ended);
                assert!(
                    part.rows.keys().all(|code| whole.rows.contains_key(code)),
                    "{name} at {end}"
                );
            }
        }
    }
}

#[test]
fn logfmt_and_json_may_be_mixed_with_lines_of_other_programs() {
    let mut log = fixture("text.log");
    log.extend_from_slice(b"panic somewhere\n\xff\xfe\n{\"a\":1}\nNov 23 host sshd[1]: x\n\n");
    log.extend(fixture("json.log"));
    let summary = summarised(&[&log]);
    assert_eq!(summary.transfers.ended, 22);
    assert_eq!(summary.lines.foreign, 5);
    assert_eq!(summary.starts, 2);
}

fn fault(id: u64, host: &str, upstream: &str, next: &str) -> String {
    format!(
        "2026-11-23T16:00:00.000Z  WARN fault id={id} code=hop/greeting/timed-out leg=hop stage=greeting kind=timed-out \
         host={host} port=443 route=r upstream={upstream} attempt=1 elapsed_ms=1000 next={next} cause=x\n"
    )
}

fn ended(id: u64, host: &str, upstream: &str, result: &str) -> String {
    format!(
        "2026-11-23T16:00:01.000Z  INFO transfer ended id={id} front=tunnel method=CONNECT host={host} port=443 route=r \
         upstream={upstream} attempts=1 result={result} up=1 down=2 total_ms=2000\n"
    )
}

#[test]
fn a_failed_transfer_counts_once_with_and_without_its_fault_line() {
    let code = "hop/greeting/timed-out";
    for log in [
        ended(1, "a", "u", code),
        fault(1, "a", "u", "give-up") + &ended(1, "a", "u", code),
    ] {
        let summary = summarised(&[log.as_bytes()]);
        assert_eq!(summary.hosts["a"].rows[code].times, 1, "{log}");
        assert_eq!(summary.hosts["a"].upstreams["u"].failed, 1);
        assert_eq!(summary.transfers.failed, 1);
    }
}

#[test]
fn the_wait_before_a_retry_is_lost_time_and_counted_once() {
    let log = fault(1, "a", "u", "again wait_ms=500") + &ended(1, "a", "u", "closed");
    let summary = summarised(&[log.as_bytes()]);
    assert_eq!(summary.lost_ms(), 1500);
    assert_eq!(summary.transfers.means, [1, 0, 0, 0]);
    let log = log.replace("wait_ms=500", "wait_ms=500 rescue=replay");
    assert_eq!(summarised(&[log.as_bytes()]).transfers.means, [0, 0, 1, 0]);
    assert_eq!(summary.hosts["a"].rows["hop/greeting/timed-out"].rescued, 1);
}

#[test]
fn transfer_numbers_restart_with_the_daemon() {
    let started = "2026-11-23T16:00:02.000Z  INFO config loaded config=x routes=1\n";
    let log = fault(1, "a", "u", "again wait_ms=5") + started + &ended(1, "a", "u", "closed");
    let summary = summarised(&[log.as_bytes()]);
    assert_eq!((summary.transfers.rescued, summary.open_ended()), (0, 1));
}

/// As the daemon writes it, with fewer fields.
fn stall(message: &str) -> String {
    format!(
        "2026-11-23T16:00:00.000Z  WARN {message} id=1 verdict=path-drops leg=origin stage=sending-body idle_ms=7000 host=a \
         port=443 route=r role=lfs-storage upstream=u attempt=1 up=0 down=0 action=report evidence=\"a b\"\n"
    )
}

const STALLED: &str = "origin/sending-body/stalled-path-drops";

#[test]
fn a_stall_and_the_fault_that_acts_on_it_count_once() {
    let acted = fault(1, "a", "u", "next-upstream next_upstream=v")
        .replace("hop/greeting/timed-out", STALLED);
    let log = [
        stall("stall"),
        stall("stall goes on"),
        acted,
        stall("stall over"),
        ended(1, "a", "v", "closed"),
    ];
    let summary = summarised(&[log.concat().as_bytes()]);
    let row = &summary.hosts["a"].rows[STALLED];
    assert_eq!(
        (row.times, row.stalls, row.faults, row.rescued, row.lost_ms),
        (1, 1, 1, 1, 1000)
    );
    assert_eq!(summary.hosts["a"].role, Some(Role::LfsStorage));
}

#[test]
fn the_time_of_a_stall_is_counted_once_however_it_ends() {
    let over = [
        stall("stall"),
        stall("stall over"),
        ended(1, "a", "u", "closed"),
    ]
    .concat();
    assert_eq!(summarised(&[over.as_bytes()]).lost_ms(), 7000);
    let gone = ended(1, "a", "u", "client/sending-body/gone")
        .replace("total_ms=2000", "total_ms=9000")
        .replace("tunnel", "intercept");
    let ended = [stall("stall"), stall("stall ended with its transfer"), gone].concat();
    let summary = summarised(&[ended.as_bytes()]);
    assert_eq!(summary.hosts["a"].rows[STALLED].lost_ms, 7000);
    assert_eq!(summary.lost_ms(), 9000);
}

#[test]
fn beyond_the_limits_hosts_and_codes_are_counted_as_others() {
    let mut log = String::new();
    for id in 0..30_000 {
        log += &fault(
            id,
            &format!("h{}.test", id % 3000),
            &format!("u{}", id / 3000),
            "give-up",
        );
    }
    let summary = summarised(&[log.as_bytes()]);
    assert_eq!(summary.hosts.len(), 1001);
    assert_eq!(
        summary.hosts["(others)"].rows["hop/greeting/timed-out"].times,
        20_000
    );
    assert_eq!(summary.open_ended(), 30_000);
    let mut long = "x".repeat(5 << 20);
    long += "\n";
    long += &ended(1, "a", "u", "closed");
    let summary = summarised(&[long.as_bytes()]);
    assert_eq!((summary.lines.foreign, summary.lines.events), (1, 1));
}

#[test]
fn the_report_of_a_hostile_log_has_no_secret_no_control_character_and_no_wide_line() {
    let host = "\"\\u001b[2Jevil.test\"";
    let mut log = fault(1, host, "\"https://me:SECRET@hop?x=SECRET\"", "give-up");
    log += "                         advice: see https://me:SECRET@h/?X-Amz-Signature=SECRET \u{9b}31m \u{202e}x hf_SECRETSECRETSECRET\n";
    log += &fault(2, &"w".repeat(900), "u\u{85}u", "give-up");
    let summary = summarised(&[log.as_bytes()]);
    let page = page::page(&summary, &roles());
    let data = data::data(&summary, &roles()).to_string();
    assert!(page.contains("evil.test") && data.contains("evil.test"));
    for text in [&page, &data] {
        assert!(!text.contains("SECRET"), "{text}");
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'),
            "{text:?}"
        );
    }
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
}

#[test]
fn a_client_that_disconnects_is_not_a_failure_of_the_upstream() {
    let gone = "client/receiving-body/gone";
    let log = [
        ended(1, "a", "u", gone),
        ended(2, "a", "v", gone),
        ended(3, "a", "u", "closed"),
    ];
    let summary = summarised(&[log.concat().as_bytes()]);
    assert!(
        summary.hosts["a"]
            .upstreams
            .values()
            .all(|counts| counts.failed == 0)
    );
    let verdicts = verdicts(&summary, &roles());
    let sentences: Vec<&str> = verdicts.iter().map(|verdict| &*verdict.sentence).collect();
    assert_eq!(
        sentences,
        ["host a: the client side fails at client/receiving-body/gone, 2 times"]
    );
}

#[test]
fn a_compressed_log_is_refused_with_the_command_that_decompresses_it() {
    let error = reader::read(&[0x1f, 0x8b, 8, 0][..], &mut LogSummary::default()).unwrap_err();
    assert!(error.to_string().contains("zcat"), "{error}");
}

#[test]
fn a_damaged_log_is_read_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(4);
    let logs: Vec<Vec<u8>> = [
        "text.log",
        "json.log",
        "journal-export.log",
        "journal-json.log",
    ]
    .map(fixture)
    .to_vec();
    for _ in 0..400 {
        let mut log = random.choice(&logs).unwrap().clone();
        for _ in 0..random.usize(1..40) {
            let at = random.usize(0..log.len());
            match random.u8(0..3) {
                0 => log[at] = random.u8(..),
                1 => drop(log.remove(at)),
                _ => log.insert(at, *b"\n\"{=\\ ".get(random.usize(0..6)).unwrap()),
            }
        }
        let page = paged(&[&log]);
        assert!(
            page.lines().all(|line| line.chars().count() <= 80),
            "{page}"
        );
    }
}

#[test]
fn each_upstream_gets_its_own_advice() {
    let line = |id: u32, upstream: &str| {
        format!(
            "2026-11-23T16:00:00.000Z  WARN fault id={id} code=hop/greeting/bad-answer leg=hop stage=greeting kind=bad-answer \
             host=main.test port=443 route=main upstream={upstream} attempt=1 elapsed_ms=1 next=give-up cause=x\n\
             {:25}advice: check `{upstream}`\n",
            ""
        )
    };
    let log = line(1, "h3") + &line(2, "s5");
    let page = paged(&[log.as_bytes()]);
    for upstream in ["h3", "s5"] {
        let said = page
            .split("over upstream ")
            .find(|part| part.starts_with(upstream));
        assert!(
            said.unwrap().contains(&format!("check `{upstream}`")),
            "{page}"
        );
    }
}
