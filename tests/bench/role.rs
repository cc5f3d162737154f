//! This program in another part: the origin or the load generator, in a process of its own, spoken to in lines of JSON.
//!
//! A child ends when its standard input does, so it cannot outlive the bench.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, load, origin};

/// The hidden argument; the role and its directory follow.
pub(crate) const FLAG: &str = "--in-the-role-of";
/// Longer than any one piece of work takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a child's part to its end.
pub(crate) fn play(role: &str, rest: &[String]) -> Result<()> {
    let [directory] = rest else {
        return Err("a role needs one directory".into());
    };
    match role {
        "origin" => origin::play(Path::new(directory)),
        "load" => load::play(),
        other => Err(format!("no role is named {other}").into()),
    }
}

/// A child and the two ends of the talk with it.
pub(crate) struct Actor {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Actor {
    /// Starts this program in `role`.
    pub(crate) fn start(role: &str, directory: &Path) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args([FLAG, role])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let output = child.stdout.take().ok_or("a child without output")?;
        let (send, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    /// Gives an order; its answer is waited for apart.
    pub(crate) fn order(&mut self, order: &impl Serialize) -> Result<()> {
        let orders = self.orders.as_mut().ok_or("the child's input is closed")?;
        serde_json::to_writer(&mut *orders, order)?;
        orders.write_all(b"\n")?;
        Ok(orders.flush()?)
    }

    /// Waits for the next answer; `meanwhile` runs about every `period` until it is there.
    pub(crate) fn answer_while<T: DeserializeOwned>(
        &self,
        period: Duration,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.answers.recv_timeout(period) {
                Ok(line) => return Ok(serde_json::from_str(&line)?),
                Err(RecvTimeoutError::Timeout) if tokio::time::Instant::now() < deadline => {
                    meanwhile()?;
                }
                Err(error) => return Err(format!("no answer from a child: {error}").into()),
            }
        }
    }

    /// Waits for the next answer.
    pub(crate) fn answer<T: DeserializeOwned>(&self) -> Result<T> {
        self.answer_while(PATIENCE, || Ok(()))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
