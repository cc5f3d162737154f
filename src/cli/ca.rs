//! `gitferry ca`: the local CA.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Subcommand, ValueHint};
use serde_json::json;

use super::{Failure, printed};
use crate::{
    config::Config,
    model::HostPattern,
    tls::{
        Authority, CaCertificate,
        certificate::date,
        files::{BUNDLE_FILE, CERTIFICATE_FILE, OLD_FILE},
        trust::Roots,
    },
};

/// `gitferry ca`.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  gitferry ca show\n  gitferry ca rotate")]
pub(crate) enum CaCommand {
    /// Show which hosts the CA may sign for, and until when.
    #[command(after_help = "Examples:\n  gitferry ca show\n  gitferry ca show --json")]
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the path of the certificate, or of the bundle that clients use.
    #[command(
        after_help = "Examples:\n  gitferry ca path\n  curl --cacert \"$(gitferry ca path --bundle)\" https://huggingface.co/"
    )]
    Path {
        /// The bundle: the system's roots and the certificate of the CA in one file.
        #[arg(long)]
        bundle: bool,
    },
    /// Print the certificate, or write it to a file; never the key.
    #[command(
        after_help = "Examples:\n  gitferry ca export\n  gitferry ca export --output gitferry-ca.pem"
    )]
    Export {
        /// The file to write.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Replace the CA by a new one for the hosts that the config names now.
    #[command(after_help = "Examples:\n  gitferry ca rotate")]
    Rotate,
}

/// Runs `command` on the CA of `config`'s state directory.
///
/// All but `rotate` read only public files and create nothing: a CA that the wrong user created is one that the
/// daemon cannot use.
pub(super) fn run(command: &CaCommand, config: &Config) -> Result<(), Failure> {
    let hosts: Vec<HostPattern> = config.terminated_hosts().cloned().collect();
    let directory = &config.state_directory;
    match command {
        CaCommand::Show { json } => {
            let text = show(&certificate(directory)?, &hosts, directory, *json);
            printed(io::stdout().write_all(text.as_bytes()))
        }
        CaCommand::Path { bundle } => {
            let file = directory.join(if *bundle {
                BUNDLE_FILE
            } else {
                CERTIFICATE_FILE
            });
            if !file.exists() {
                certificate(directory)?;
                return Err(Failure::new(format!("{} does not exist", file.display()))
                    .hint("`gitferry run` and `gitferry setup` write it"));
            }
            printed(writeln!(io::stdout(), "{}", file.display()))
        }
        CaCommand::Export { output: None } => {
            printed(io::stdout().write_all(certificate(directory)?.pem().as_bytes()))
        }
        CaCommand::Export { output: Some(file) } => {
            fs::write(file, certificate(directory)?.pem()).map_err(Failure::cannot("write", file))
        }
        CaCommand::Rotate => rotate(config, &hosts),
    }
}

fn certificate(directory: &Path) -> Result<CaCertificate, Failure> {
    let certificate = CaCertificate::read(directory).map_err(Failure::new)?;
    certificate.ok_or_else(|| {
        Failure::new(format!("no local CA in {} yet", directory.display()))
            .hint("start the daemon with `gitferry run`: it creates the CA")
    })
}

fn rotate(config: &Config, hosts: &[HostPattern]) -> Result<(), Failure> {
    let directory = &config.state_directory;
    let before = CaCertificate::read(directory).ok().flatten();
    let before = before.map(|before| before.pem().to_owned());
    let ca = Authority::rotate(directory, hosts).map_err(Failure::ca)?;
    Roots::load(&config.trust)
        .write_bundle_with(directory, &ca, before.as_deref().unwrap_or_default())
        .map_err(Failure::new)?;
    printed(writeln!(
        io::stdout(),
        "new CA: {}\ncertificate: {}\nprevious certificate: {}\n\
         A running daemon loads it within seconds and logs `config reloaded`.\n\
         Clients that read {} need no change: it contains both certificates until then.\n\
         If you imported the certificate elsewhere, import the new one.",
        ca.certificate().subject(),
        directory.join(CERTIFICATE_FILE).display(),
        directory.join(OLD_FILE).display(),
        directory.join(BUNDLE_FILE).display()
    ))
}

fn show(ca: &CaCertificate, hosts: &[HostPattern], directory: &Path, json: bool) -> String {
    let missing: Vec<String> = ca.missing(hosts).iter().map(ToString::to_string).collect();
    let addresses: Vec<String> = ca
        .permitted()
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let (begin, end) = (date(ca.not_before()), date(ca.not_after()));
    if json {
        let value = json!({
            "subject": ca.subject(),
            "sha256": ca.fingerprint(),
            "not_before": begin,
            "not_after": end,
            "days_left": days_left(ca),
            "permitted_names": ca.permitted().names,
            "permitted_addresses": addresses,
            "not_covered": missing,
            "certificate": directory.join(CERTIFICATE_FILE),
            "bundle": directory.join(BUNDLE_FILE),
        });
        return format!("{value:#}\n");
    }
    let mut text = format!(
        "subject  {}\nsha256   {}\nvalid    {begin} to {end}, {} days left\n",
        ca.subject(),
        ca.fingerprint(),
        days_left(ca)
    );
    for name in &ca.permitted().names {
        text.push_str(&format!("permits  {name} and its subdomains\n"));
    }
    for address in addresses {
        text.push_str(&format!("permits  {address}\n"));
    }
    for host in missing {
        text.push_str(&format!(
            "missing  {host}: `gitferry ca rotate` creates a CA that covers it\n"
        ));
    }
    text
}

fn days_left(ca: &CaCertificate) -> u64 {
    ca.not_after()
        .duration_since(SystemTime::now())
        .unwrap_or_default()
        .as_secs()
        / 86_400
}
