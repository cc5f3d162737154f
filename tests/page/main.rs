//! The status page in a real browser: Debian's Chromium, driven by its own protocol over a pipe.
//!
//! Pictures go to `target/page/`. A machine without Chromium says so aloud and skips the tests; `.ci/install-test-deps` installs it.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "threads and clocks of a test without a runtime of its own"
)]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod world;

use std::time::{Duration, Instant};

use browser::{Browser, Look};
use world::World;

const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

/// A page of `world` in a browser of its own; `None` where there is no browser here.
fn page(world: &World, look: Look) -> Option<Browser> {
    let mut browser = Browser::start()?;
    browser.open(&world.page(), look);
    // The page draws an event in its next frame.
    browser.wait(
        "the first event",
        "document.querySelector('#live.on') !== null && document.querySelector('#verdict-text').textContent !== ''",
    );
    Some(browser)
}

#[test]
fn a_running_upload_shows_its_progress_and_is_listed_as_finished_afterwards() {
    let world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    let text = browser.text("#verdict-text");
    assert_eq!(text, "All healthy");
    let upload = world.upload(&format!("/repos/steady/{OID}"), 6 << 20);
    browser.wait(
        "its row",
        "document.querySelectorAll('#transfers .row').length === 1",
    );
    assert_eq!(browser.text("#transfers .what"), "PUTLFS 4d7a214614");
    let done = "parseFloat(document.querySelector('#transfers .bar i')?.style.width || 0)";
    browser.wait("the first percents", &format!("{done} > 0"));
    let first = browser.value(done).as_f64().unwrap();
    browser.wait("more of them", &format!("{done} > {first}"));
    browser.wait(
        "a rate",
        "/\\/s$/.test(document.querySelector('#transfers .pace .s').textContent)",
    );
    browser.wait(
        "the time left",
        "/ left$/.test(document.querySelector('#transfers .stage .num').textContent)",
    );
    let said = "document.querySelector('#transfers .stage').textContent.startsWith('sending')";
    assert!(browser.value(said).as_bool().unwrap());
    world.let_go();
    upload.join().unwrap();
    browser.wait(
        "its end",
        "document.querySelectorAll('#finished .row').length === 1 && !document.querySelector('#transfers .row')",
    );
    assert_eq!(browser.text("#finished .amount .b"), "↑\u{a0}6.0\u{a0}MiB");
    browser.assert_clean(&world.page());
}

#[test]
fn a_stall_is_shown_within_its_limit_with_its_verdict_and_disappears() {
    let world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    let upload = world.upload(&format!("/repos/freeze/{OID}"), 16 << 20);
    browser.wait(
        "its row",
        "document.querySelector('#transfers .row') !== null",
    );
    let began = Instant::now();
    browser.wait(
        "the stall",
        "document.querySelector('#transfers .row.stalled .why') !== null",
    );
    // The limit, one tick of the watchdog, one event of the stream, and a busy machine.
    let limit = world::STALL + Duration::from_secs(6);
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    let why = browser.text("#transfers .why");
    assert!(why.starts_with("the server stopped reading: "), "{why}");
    assert!(why.contains("upstreams"), "no advice: {why}");
    let verdict = browser.text("#verdict-text");
    assert!(
        verdict.starts_with("1 transfer is stalled: cdn-lfs"),
        "{verdict}"
    );
    assert!(
        browser
            .value("document.querySelector('.verdict.failing') !== null")
            .as_bool()
            .unwrap()
    );
    browser.picture("stalled");
    world.let_go();
    upload.join().unwrap();
    browser.wait("the all-clear", "document.querySelector('.verdict.healthy') !== null && !document.querySelector('.stalled')");
    browser.assert_clean(&world.page());
}

/// How many frames the page draws in three seconds.
fn frames(browser: &mut Browser) -> f64 {
    let frames = browser.value(
        "new Promise(done => { let count = 0, from = performance.now(); const frame = now => { count += 1; \
         if (now - from < 3000) requestAnimationFrame(frame); else done(count); }; requestAnimationFrame(frame); })",
    );
    frames.as_f64().unwrap()
}

#[test]
fn a_hundred_concurrent_transfers_keep_the_page_responsive() {
    let world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    let uploads: Vec<_> = (0..100)
        .map(|number| world.upload(&format!("/repos/steady/{number:064x}"), 6 << 20))
        .collect();
    browser.wait(
        "their rows",
        "document.querySelectorAll('#transfers .row').length === 100",
    );
    // By processor time: on a busy machine the page gets a part of a core. A page that does a new layout at each event freezes for
    // seconds at a time.
    let before = browser.processor_time();
    let frames = frames(&mut browser);
    let used = browser.processor_time() - before;
    println!("{frames:.0} frames in {used:.2} s of processor time with a hundred transfers");
    assert!(frames > 20.0 * used, "{frames} frames in {used} s");
    world.let_go();
    for upload in uploads {
        upload.join().unwrap();
    }
    browser.wait("their end", "!document.querySelector('#transfers .row')");
    assert_eq!(
        browser.value("document.querySelectorAll('#finished .row').length"),
        50
    );
    browser.assert_clean(&world.page());
}

#[test]
fn the_page_fits_a_desktop_and_a_phone_in_light_and_dark_and_works_without_scripts() {
    let world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    for path in [
        "/me/model.git/info/refs?service=git-receive-pack",
        "/me/model.git/info/lfs/objects/batch",
    ] {
        world.fetch(path);
    }
    let uploads = [world.upload(&format!("/repos/steady/{OID}"), 64 << 20)];
    for (name, look) in [
        ("healthy", Look::DESK),
        ("phone", Look::PHONE),
        ("dark", Look::DARK),
    ] {
        browser.open(&world.page(), look);
        browser.wait("the rows", "document.querySelector('#transfers .row .spark path')?.getAttribute('d') && document.querySelectorAll('#finished .row').length === 2");
        let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert!(
            browser.value(wide).as_bool().unwrap(),
            "{name} scrolls sideways"
        );
        let broken = "[...document.querySelectorAll('.num')].filter(it => it.getClientRects().length > 1).length";
        assert_eq!(browser.value(broken), 0, "{name} breaks a number");
        // The keyboard reaches each control, and screen readers have a name for each timeline.
        let named = "[...document.querySelectorAll('summary, a, input')].every(it => it.tabIndex >= 0) && \
             [...document.querySelectorAll('.fall')].every(it => it.getAttribute('aria-label'))";
        browser.wait("a name for everything", named);
        browser.picture(name);
    }
    browser.value("document.querySelector('#finished details').open = true");
    browser.wait(
        "the details",
        "document.querySelector('#finished .more-of')?.textContent.includes('Stages')",
    );
    browser.assert_clean(&world.page());
    browser.without_scripts(&world.page());
    let plain = browser.text(".plain");
    for part in ["All healthy", "Running transfers", "PUT /repos/steady/"] {
        assert!(plain.contains(part), "{part}: {plain}");
    }
    world.let_go();
    for upload in uploads {
        upload.join().unwrap();
    }
}

#[test]
fn half_a_screen_shows_whole_fault_codes_and_the_route_that_fails() {
    let world = World::new();
    let Some(mut browser) = page(&world, Look::HALF) else {
        return;
    };
    world.fetch("/me/model.git/info/refs?service=git-receive-pack");
    world.fail(&format!("/cut/{OID}"));
    browser.wait(
        "both rows",
        "document.querySelectorAll('#finished .row').length === 2",
    );
    let code = "[...document.querySelectorAll('#finished .stage span')].map(it => it.textContent).join(' ')";
    let shown = browser.value(code);
    let shown = shown.as_str().unwrap();
    assert!(shown.contains("origin/awaiting-head/"), "{shown}");
    let cut = "[...document.querySelectorAll('.stage span')].filter(it => it.scrollWidth > it.clientWidth + 1 && it.getClientRects().length).length";
    assert_eq!(browser.value(cut), 0);
    // The connection works for the other route: it is not broken as a whole.
    browser.wait(
        "the route that fails",
        "document.querySelector('#map svg').textContent.includes('failing for hf-lfs')",
    );
    let nodes = "[...document.querySelectorAll('#map circle')].map(it => it.getAttribute('class')).sort().join(' ')";
    assert_eq!(browser.value(nodes), "degraded failing healthy");
    browser.picture("half");
    browser.assert_clean(&world.page());
}

#[test]
fn a_download_in_segments_shows_each_connection() {
    const ROWS: &str = "[...document.querySelectorAll('.more-of td:first-child')].filter(it => it.textContent === 'for later ranges')";
    let world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    let download = world.download(&format!("/large/{OID}"));
    browser.wait(
        "its connections",
        "document.querySelector('#transfers .row')?.textContent.includes('over 8 connections')",
    );
    for (name, look) in [
        ("segments", Look::DESK),
        ("segments-phone", Look::PHONE),
        ("segments-dark", Look::DARK),
    ] {
        browser.open(&world.page(), look);
        browser.wait(
            "its row",
            "document.querySelector('#transfers details') !== null",
        );
        browser.value("document.querySelector('#transfers details').open = true");
        // Each with its congestion control and its bytes.
        let each = "/^[a-z0-9]+ · [1-9][0-9.]*\\s[KM]iB$/";
        browser.wait(
            "the seven others",
            &format!(
                "{ROWS}.length === 7 && {ROWS}.every(it => {each}.test(it.nextSibling.textContent))"
            ),
        );
        let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert!(
            browser.value(wide).as_bool().unwrap(),
            "{name} scrolls sideways"
        );
        browser.value(&format!("{ROWS}[0].scrollIntoView({{ block: 'center' }})"));
        browser.picture(name);
        let inside = "[...document.querySelectorAll('.more-of table')].every(it => it.getBoundingClientRect().right <= it.closest('details').getBoundingClientRect().right)";
        assert!(
            browser.value(inside).as_bool().unwrap(),
            "{name} cuts a table off"
        );
    }
    world.let_go();
    download.join().unwrap();
    browser.wait(
        "its end",
        "document.querySelectorAll('#finished details').length === 1",
    );
    browser.value("document.querySelector('#finished details').open = true");
    browser.wait(
        "the bytes of each connection",
        &format!("{ROWS}.length >= 7"),
    );
    browser.assert_clean(&world.page());
}

#[test]
fn the_page_reports_a_stopped_daemon() {
    let mut world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    assert_eq!(browser.text("#verdict-text"), "All healthy");
    world.stop();
    browser.wait(
        "the end of the stream",
        "document.querySelector('#live.off') !== null",
    );
    assert_eq!(browser.text("#verdict-text"), "The daemon does not answer");
    let more = browser.text("#verdict-more");
    assert!(
        more.starts_with("Everything below is from ") && more.contains("gitferry run"),
        "{more}"
    );
    let green = "document.querySelector('.verdict').className";
    assert_eq!(browser.value(green), "verdict degraded");
    browser.picture("stopped");
}

#[test]
fn the_stages_of_an_open_row_have_the_colours_of_the_legend() {
    let world = World::new();
    let Some(mut browser) = page(&world, Look::DESK) else {
        return;
    };
    let upload = world.upload(&format!("/repos/steady/{OID}"), 4 << 20);
    browser.wait("its row", "document.querySelector('#transfers .row')");
    let open = "document.querySelector('#transfers details').open = true";
    browser.value(open);
    let colour = |selector: &str| {
        format!("getComputedStyle(document.querySelector({selector:?})).backgroundColor")
    };
    browser.wait("its stages", "document.querySelector('.dot.sending')");
    let (dot, legend) = (colour(".dot.sending"), colour("#legend i.sending"));
    assert_eq!(browser.value(&dot), browser.value(&legend));
    world.let_go();
    upload.join().unwrap();
}
