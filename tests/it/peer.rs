//! `roots`, `client_certificate` and `client_key`: servers with certificates of their own, and servers that want to know who asks.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    support::{ferry::Ferry, process, skip::has_programs},
    world::{World, route, soon},
};

/// `openssl s_server`, which answers every GET with what it knows of the session.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(identity: &Identity, arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(&identity.certificate)
            .arg("-key")
            .arg(&identity.key)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accepts =
            lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.to_owned()));
        let address = accepts.unwrap().parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

/// A self-signed certificate as openssl makes it by default, with CA:TRUE.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Identity {
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let identity = Self {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args(["-subj", &format!("/CN={name}"), "-addext"])
            .arg(format!("subjectAltName=DNS:{name}"))
            .arg("-out")
            .arg(&identity.certificate)
            .arg("-keyout")
            .arg(&identity.key)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        fs::set_permissions(&identity.key, fs::Permissions::from_mode(0o600)).unwrap();
        identity
    }

    pub(crate) fn roots(&self) -> String {
        format!("roots = [\"{}\"]\n", self.certificate.display())
    }

    pub(crate) fn client(&self) -> String {
        format!(
            "client_certificate = \"{}\"\nclient_key = \"{}\"\n",
            self.certificate.display(),
            self.key.display()
        )
    }
}

pub(crate) fn openssl() -> bool {
    has_programs(&["openssl"])
}

async fn world(server: &Server, more: &str) -> World {
    World::with(&route("git.test", server.address, "terminate", more)).await
}

/// What `GET https://HOST/` comes to by the reverse front.
pub(crate) async fn get(ferry: &Ferry, host: &str) -> String {
    let mut client = ferry
        .sends(format!(
            "GET /{host}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ))
        .await;
    String::from_utf8_lossy(&client.rest().await).into_owned()
}

/// The code and the advice of the last fault.
pub(crate) fn fault(ferry: &Ferry) -> (String, String) {
    let last = ferry.faults().pop().unwrap();
    (last.code, last.advice.unwrap_or_default())
}

#[tokio::test]
async fn a_self_signed_certificate_is_taken_where_a_route_lists_it_and_only_by_its_name() {
    if !openssl() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let own = Identity::new(directory.path(), "git.test");
    let server = Server::start(&own, &[]);
    let refused = world(&server, "").await;
    assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
    let (code, advice) = fault(&refused);
    assert_eq!(code, "origin/handshaking/unknown-issuer");
    // The advice as it stands: the key, and the route.
    assert!(advice.contains("`roots` of route `git.test`"), "{advice}");
    let taken = world(&server, &own.roots()).await;
    let answer = get(&taken, "git.test").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    // In `extra_roots` it is a CA, and a CA's certificate is no server's.
    let world_of_files = World::new();
    let settings = world_of_files.settings().extra_root(&own.certificate);
    let settings = settings.route("git.test", "terminate", &["direct"], server.address);
    let listed = Ferry::start(&settings);
    assert!(get(&listed, "git.test").await.starts_with("HTTP/1.1 502"));
    let (code, advice) = fault(&listed);
    assert_eq!(code, "origin/handshaking/unknown-issuer");
    let cause = listed.faults().pop().unwrap().cause;
    assert!(cause.contains("certificate is in `extra_roots`"), "{cause}");
    assert!(
        advice.starts_with("move the certificate from `extra_roots` of `[trust]` to `roots` of "),
        "{advice}"
    );
    let other = Identity::new(directory.path(), "other.test");
    let server = Server::start(&other, &[]);
    let wrong = world(&server, &other.roots()).await;
    assert!(get(&wrong, "git.test").await.starts_with("HTTP/1.1 502"));
    assert_eq!(fault(&wrong).0, "origin/handshaking/name-mismatch");
}

#[tokio::test]
async fn a_site_that_wants_a_client_certificate_gets_it_and_nobody_else_does() {
    if !openssl() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (own, client) = (
        Identity::new(directory.path(), "git.test"),
        Identity::new(directory.path(), "client.test"),
    );
    let trust = client.certificate.to_str().unwrap();
    let wants = ["-Verify", "1", "-verify_return_error", "-CAfile", trust];
    let server = Server::start(&own, &wants);
    let refused = world(&server, &own.roots()).await;
    assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
    let (code, advice) = fault(&refused);
    assert!(code.contains("alert-certificate-required"), "{code}");
    assert!(
        advice.contains("`client_certificate` and `client_key` of route `git.test`"),
        "{advice}"
    );
    let shown = world(&server, &(own.roots() + &client.client())).await;
    let answer = get(&shown, "git.test").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(
        answer.replace(' ', "").contains("CN=client.test"),
        "{answer}"
    );

    // One that takes a certificate and does not need one: a mirror sees it only where it is trusted with credentials.
    let mirror = Server::start(&own, &["-verify", "1", "-CAfile", trust]);
    for (credentials, sees) in [("withhold", false), ("pass", true)] {
        let upstream = format!(
            "{{ via = \"direct\", mirror = \"https://git.test:{}\", credentials = \"{credentials}\" }}",
            mirror.address.port()
        );
        let text = format!(
            "[[route]]\nname = \"site.test\"\nhosts = [\"site.test\"]\ntls = \"terminate\"\nupstreams = [{upstream}]\n\
             resolve = {{ \"git.test\" = \"127.0.0.1\" }}\n{}{}",
            own.roots(),
            client.client()
        );
        let world = World::with(&text).await;
        let answer = get(&world, "site.test").await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert_eq!(
            answer.replace(' ', "").contains("CN=client.test"),
            sees,
            "{credentials}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_server_with_old_tls_only_is_reached_by_the_tunnel_that_the_advice_names() {
    if !openssl() || Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let own = Identity::new(directory.path(), "git.test");
    // RSA key exchange and CBC: rustls has neither.
    let server = Server::start(&own, &["-tls1_2", "-cipher", "AES128-SHA"]);
    let refused = world(&server, &own.roots()).await;
    assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
    let (code, advice) = fault(&refused);
    assert_eq!(code, "origin/handshaking/alert-handshake-failure");
    assert!(
        advice.contains("`tls = \"tunnel\"` of route `git.test`"),
        "{advice}"
    );
    let tunnel = World::with(&route("git.test", server.address, "tunnel", "")).await;
    let (proxy, roots) = (
        format!("http://{}", tunnel.address),
        own.certificate.clone(),
    );
    let curl = tokio::task::spawn_blocking(move || {
        Command::new("curl")
            .args([
                "-qsS",
                "--max-time",
                "20",
                "--ciphers",
                "AES128-SHA",
                "--tls-max",
                "1.2",
            ])
            .args(["--proxy", &proxy, "--cacert"])
            .arg(roots)
            .arg("https://git.test/")
            .output()
            .unwrap()
    });
    let output = soon("curl", curl).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_client_key_that_others_can_read_is_refused_and_a_servers_own_root_is_named() {
    if !openssl() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let own = Identity::new(directory.path(), "git.test");
    fs::set_permissions(&own.key, fs::Permissions::from_mode(0o640)).unwrap();
    let file = directory.path().join("gitferry.toml");
    let route = route(
        "git.test",
        "127.0.0.1:1".parse().unwrap(),
        "terminate",
        &own.client(),
    );
    fs::write(
        &file,
        format!("[trust]\nextra_roots = [\"git.test.pem\"]\n{route}"),
    )
    .unwrap();
    let load = || gitferry::testing::load(Some(&file), &|_| Some("/nowhere".into()));
    let told = load().unwrap_err().to_string();
    let mend = format!("chmod 600 {}", own.key.display());
    assert!(
        told.contains("others can read the key") && told.contains(&mend),
        "{told}"
    );
    fs::set_permissions(&own.key, fs::Permissions::from_mode(0o600)).unwrap();
    let warnings: Vec<String> = load()
        .unwrap()
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    let warned = warnings
        .iter()
        .find(|told| told.contains("a CA for all hosts"));
    assert!(
        warned.is_some_and(|told| told.contains("`roots`")),
        "{warnings:?}"
    );
}

/// nginx, which wants a certificate of `client` and says whose it saw.
fn nginx(directory: &Path, own: &Identity, client: &Identity) -> (process::Server, SocketAddr) {
    process::Server::start_on_a_port("nginx", directory, |address| {
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .into_iter()
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", directory.display()))
            .collect();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{paths}server {{\nlisten {address} ssl;\nssl_certificate {1};\nssl_certificate_key {2};\n\
             ssl_client_certificate {3};\nssl_verify_client on;\nreturn 200 \"seen $ssl_client_s_dn\";\n}}\n}}\n",
            directory.display(),
            own.certificate.display(),
            own.key.display(),
            client.certificate.display()
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = process::clean_command("/usr/sbin/nginx", directory);
        command.arg("-c").arg(&file).arg("-e").arg("stderr");
        command
    })
}

#[tokio::test]
async fn nginx_that_verifies_clients_sees_the_certificate_of_its_route_alone() {
    if !has_programs(&["openssl", "nginx"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (own, client) = (
        Identity::new(directory.path(), "git.test"),
        Identity::new(directory.path(), "client.test"),
    );
    let (_nginx, address) = nginx(directory.path(), &own, &client);
    // Two routes to one server: a connection of the one is never used for the other.
    let with = route(
        "git.test",
        address,
        "terminate",
        &(own.roots() + &client.client()),
    );
    let without = format!(
        "[[route]]\nname = \"bare\"\nhosts = [\"bare.test\"]\ntls = \"terminate\"\n\
         upstreams = [{{ via = \"direct\", mirror = \"https://git.test:{}\", credentials = \"pass\" }}]\n\
         resolve = {{ \"git.test\" = \"127.0.0.1\" }}\n{}",
        address.port(),
        own.roots()
    );
    let world = World::with(&(with + &without)).await;
    for _ in 0..2 {
        let answer = get(&world, "git.test").await;
        assert!(answer.contains("seen CN=client.test"), "{answer}");
        let answer = get(&world, "bare.test").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}
