//! `gitferry ca`: the local CA.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::{Subcommand, ValueHint};
use serde_json::json;

use super::{Failure, printed};
use crate::{
    config::Config,
    model::HostPattern,
    tls::{
        ca::{Authority, CERTIFICATE_FILE, OLD_FILE},
        trust::{BUNDLE_FILE, Roots},
    },
};

/// `gitferry ca`.
#[derive(Subcommand, Debug)]
pub enum CaCommand {
    /// What the CA may sign for, and until when.
    Show {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Where the certificate is; with --bundle, the file that clients are pointed at.
    Path {
        /// The system's roots and the CA's certificate, in one file.
        #[arg(long)]
        bundle: bool,
    },
    /// Print the certificate (never the key), or write it.
    Export {
        /// Write it here.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Make a new CA for the hosts that the config names now.
    Rotate,
}

/// Does what `command` says with the CA of `config`'s state directory; makes one where there is none.
pub(super) fn run(command: &CaCommand, config: &Config) -> Result<(), Failure> {
    let hosts: Vec<HostPattern> = config.terminated_hosts().cloned().collect();
    let directory = &config.state_directory;
    let open = || {
        Authority::open(directory, &hosts)
            .map(|(ca, _)| ca)
            .map_err(Failure::new)
    };
    let write_bundle = |ca: &Authority| {
        Roots::load(&config.trust)
            .write_bundle(directory, ca)
            .map_err(Failure::new)
    };
    match command {
        CaCommand::Show { json } => {
            let ca = open()?;
            printed(io::stdout().write_all(show(&ca, &hosts, *json).as_bytes()))
        }
        CaCommand::Path { bundle } => {
            write_bundle(&open()?)?;
            let file = directory.join(if *bundle {
                BUNDLE_FILE
            } else {
                CERTIFICATE_FILE
            });
            printed(writeln!(io::stdout(), "{}", file.display()))
        }
        CaCommand::Export { output: None } => {
            printed(io::stdout().write_all(open()?.pem().as_bytes()))
        }
        CaCommand::Export { output: Some(file) } => fs::write(file, open()?.pem())
            .map_err(|error| Failure::during(format!("cannot write {}", file.display()), error)),
        CaCommand::Rotate => {
            let ca = Authority::rotate(directory, &hosts).map_err(Failure::new)?;
            write_bundle(&ca)?;
            printed(writeln!(
                io::stdout(),
                "new CA: {}\nits certificate: {}\nthe one before: {}\n\
                 A running daemon takes it up at its next reload (SIGHUP, or `systemctl reload gitferry`).\n\
                 Clients that are pointed at {} need nothing; where you imported the certificate elsewhere, import the new one.",
                ca.subject(),
                directory.join(CERTIFICATE_FILE).display(),
                directory.join(OLD_FILE).display(),
                directory.join(BUNDLE_FILE).display()
            ))
        }
    }
}

fn show(ca: &Authority, hosts: &[HostPattern], json: bool) -> String {
    let missing: Vec<String> = ca.missing(hosts).iter().map(ToString::to_string).collect();
    let addresses: Vec<String> = ca
        .permitted()
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let left = ca
        .not_after()
        .duration_since(std::time::SystemTime::now())
        .unwrap_or_default()
        .as_secs()
        / 86_400;
    if json {
        let value = json!({
            "subject": ca.subject(),
            "sha256": ca.fingerprint(),
            "days_left": left,
            "permitted_names": ca.permitted().names,
            "permitted_addresses": addresses,
            "not_covered": missing,
        });
        return format!("{value:#}\n");
    }
    let mut text = format!(
        "subject  {}\nsha256   {}\nvalid    {left} days more\n",
        ca.subject(),
        ca.fingerprint()
    );
    for name in &ca.permitted().names {
        text.push_str(&format!("permits  {name} and names below\n"));
    }
    for address in addresses {
        text.push_str(&format!("permits  {address}\n"));
    }
    for host in missing {
        text.push_str(&format!(
            "missing  {host}: `gitferry ca rotate` makes a CA that covers it\n"
        ));
    }
    text
}
