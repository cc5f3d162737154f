//! Proxies that speak HTTP, from Debian.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use super::{Bench, start};
use crate::support::{
    ca::{Flaw, LeafFiles},
    hop::{Hop, PASSWORD, USER},
    process::{Running, Server, clean_command},
};

/// squid with `rules`.
pub(crate) fn squid(bench: &Bench<'_>, rules: &str) -> Hop {
    squid_on(bench, "http_port ADDRESS", rules)
}

/// squid that asks for [`USER`] and [`PASSWORD`].
pub(crate) fn squid_with_password(bench: &Bench<'_>) -> Hop {
    let accounts = bench.at("squid").join("accounts");
    // crypt(3) of the password.
    let mut passwd = clean_command("/usr/bin/openssl", &bench.dir);
    passwd.args(["passwd", "-1", PASSWORD]);
    let hash = Running::start(&mut passwd)
        .finish(Duration::from_secs(20))
        .well()
        .stdout;
    fs::write(&accounts, format!("{USER}:{hash}")).unwrap();
    let rules = format!(
        "auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\nacl known proxy_auth REQUIRED\nhttp_access allow known",
        accounts.display()
    );
    squid(bench, &rules)
}

/// squid that accepts NTLM only. Its helper believes everybody.
pub(crate) fn squid_with_ntlm(bench: &Bench<'_>) -> Hop {
    let rules = "auth_param ntlm program /usr/lib/squid/ntlm_fake_auth\nacl known proxy_auth REQUIRED\n\
                 http_access allow known";
    squid(bench, rules)
}

/// squid inside TLS, with a certificate of a CA that `[trust]` names.
pub(crate) fn squid_in_tls(bench: &Bench<'_>) -> Hop {
    let (ca, leaf) = bench.leaf(Flaw::None);
    squid_with_leaf(bench, &leaf).trusting(ca.pem_file())
}

/// squid inside TLS, with a self-signed certificate that stands in `roots` of the hop.
pub(crate) fn self_signed_squid_in_tls(bench: &Bench<'_>) -> Hop {
    let (_, leaf) = bench.leaf(Flaw::SelfSigned);
    let roots = format!("roots = [\"{}\"]", leaf.certificate.display());
    squid_with_leaf(bench, &leaf).key(roots)
}

fn squid_with_leaf(bench: &Bench<'_>, leaf: &LeafFiles) -> Hop {
    let port = format!(
        "https_port ADDRESS tls-cert={} tls-key={}",
        leaf.certificate.display(),
        leaf.key.display()
    );
    let mut hop = squid_on(bench, &port, "http_access allow all");
    hop.url = format!("https://localhost:{}", hop.address().port());
    hop
}

/// squid that reads the TLS of everybody, with certificates of its own CA.
pub(crate) fn squid_that_intercepts(bench: &Bench<'_>) -> Hop {
    let dir = bench.at("squid");
    let file = |name: &str| dir.join(name).display().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = clean_command(program, &dir);
        command.args(arguments);
        Running::start(&mut command)
            .finish(Duration::from_secs(30))
            .well();
    };
    let (certificate, key, database) = (file("bump.crt"), file("bump.key"), file("certificates"));
    run(
        "/usr/bin/openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=Office Inspection CA",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    );
    let generator = "/usr/lib/squid/security_file_certgen";
    run(generator, &["-c", "-s", &database, "-M", "4MB"]);
    let owner = nix::unistd::geteuid().is_root();
    if owner {
        run("/usr/bin/chown", &["-R", "proxy", &database]);
    }
    let port = format!(
        "http_port ADDRESS ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert={certificate} tls-key={key}"
    );
    let rules = format!(
        "sslcrtd_program {generator} -s {database} -M 4MB\nsslcrtd_children 1\nacl hello at_step SslBump1\n\
         ssl_bump peek hello\nssl_bump bump all\ntls_outgoing_options cafile={}\nhttp_access allow all",
        bench.world.ca.pem_file().display()
    );
    squid_on(bench, &port, &rules)
}

/// The CA of [`squid_that_intercepts`] in `[trust]`.
pub(crate) fn trusted_squid_that_intercepts(bench: &Bench<'_>) -> Hop {
    let hop = squid_that_intercepts(bench);
    hop.trusting(bench.at("squid").join("bump.crt"))
}

fn squid_on(bench: &Bench<'_>, port: &str, rules: &str) -> Hop {
    let dir = bench.at("squid");
    // Its shared memory has the name of the service, and stays where it is killed.
    let service = format!("gitferry{}", fastrand::u64(..));
    let (server, address) = Server::start_on_a_port("squid", &dir, |address| {
        let config = dir.join("squid.conf");
        let port = port.replace("ADDRESS", &address.to_string());
        let text = format!(
            "{port}\n{rules}\naccess_log none\ncache_log /dev/null\npid_filename none\ncoredump_dir /\n\
             pinger_enable off\ncache_mem 8 MB\nshutdown_lifetime 0 seconds\nvisible_hostname squid.test\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = clean_command("/usr/sbin/squid", &dir);
        command.args(["-N", "-n", &service, "-f"]).arg(config);
        command
    });
    let memory = SharedMemory(service);
    Hop::program(format!("http://{address}"), (server, memory))
}

/// What a squid leaves in `/dev/shm`.
struct SharedMemory(String);

impl Drop for SharedMemory {
    fn drop(&mut self) {
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.0) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// privoxy that lets CONNECT through to `ports`.
pub(crate) fn privoxy(bench: &Bench<'_>, ports: &str) -> Hop {
    let dir = bench.at("privoxy");
    let actions = dir.join("limit.action");
    fs::write(&actions, format!("{{+limit-connect{{{ports}}}}}\n/\n")).unwrap();
    let (server, address) = start(
        ("privoxy", "/usr/sbin/privoxy"),
        &dir,
        &["--no-daemon"],
        |address| {
            format!(
                "listen-address {address}\nactionsfile {}\nconfdir {}\ntempldir /etc/privoxy/templates\nlogdir {}\n",
                actions.display(),
                dir.display(),
                dir.display()
            )
        },
    );
    Hop::program(format!("http://{address}"), server)
}

/// Apache with mod_proxy_connect, `access` for all, and CONNECT to `ports`.
pub(crate) fn apache(bench: &Bench<'_>, access: &str, ports: &str) -> Hop {
    let dir = bench.at("apache");
    let modules: String = [
        "mpm_event",
        "authz_core",
        "proxy",
        "proxy_connect",
        "proxy_http",
    ]
    .iter()
    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
    .collect();
    let (server, address) = start(
        ("apache", "/usr/sbin/apache2"),
        &dir,
        &["-X", "-f"],
        |address| {
            let shown = dir.display();
            format!(
                "ServerRoot {shown}\nDefaultRuntimeDir {shown}\nPidFile {shown}/pid\nErrorLog /dev/null\n{modules}\
                 User www-data\nGroup www-data\nListen {address}\nServerName apache.test\nProxyRequests On\n\
                 AllowCONNECT {ports}\n<Proxy *>\n Require all {access}\n</Proxy>\n"
            )
        },
    );
    Hop::program(format!("http://{address}"), server)
}

/// HAProxy in `mode http` before another proxy.
pub(crate) fn haproxy_before(bench: &Bench<'_>, next: Hop) -> Hop {
    let dir = bench.at("haproxy");
    let to = next.authority().to_owned();
    let (server, address) = haproxy(&dir, |address| {
        format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 60s\n retries 0\n\
             frontend in\n bind {address}\n default_backend next\nbackend next\n server next {to}\n"
        )
    });
    Hop::program(format!("http://{address}"), server).with(next)
}

fn haproxy(dir: &Path, config: impl Fn(SocketAddr) -> String) -> (Server, SocketAddr) {
    start(
        ("haproxy", "/usr/sbin/haproxy"),
        dir,
        &["-db", "-f"],
        config,
    )
}

/// stunnel, which takes TLS off before another proxy.
pub(crate) fn stunnel_before(bench: &Bench<'_>, next: Hop) -> Hop {
    let dir = bench.at("stunnel");
    let (ca, leaf) = bench.leaf(Flaw::None);
    let to = next.authority().to_owned();
    let (server, address) = start(("stunnel", "/usr/bin/stunnel4"), &dir, &[], |address| {
        format!(
            "foreground = yes\npid =\nsyslog = no\n[hop]\naccept = {address}\nconnect = {to}\ncert = {}\nkey = {}\n",
            leaf.certificate.display(),
            leaf.key.display()
        )
    });
    let url = format!("https://localhost:{}", address.port());
    Hop::program(url, server).with(next).trusting(ca.pem_file())
}

/// cntlm, which logs in to a proxy that accepts NTLM only, in a dialect of NTLM.
pub(crate) fn cntlm_before(bench: &Bench<'_>, dialect: &str, next: Hop) -> Hop {
    let dir = bench.at("cntlm");
    let to = next.authority().to_owned();
    let (server, address) = start(
        ("cntlm", "/usr/sbin/cntlm"),
        &dir,
        &["-f", "-c"],
        |address| {
            format!(
                "Username {USER}\nDomain OFFICE\nPassword {PASSWORD}\nAuth {dialect}\nProxy {to}\nListen {address}\n"
            )
        },
    );
    Hop::program(format!("http://{address}"), server).with(next)
}

/// A web server that is no proxy.
pub(crate) fn nginx(bench: &Bench<'_>) -> Hop {
    let dir = bench.at("nginx");
    let (server, address) = start(
        ("nginx", "/usr/sbin/nginx"),
        &dir,
        &["-p", ".", "-e", "stderr", "-c"],
        |address| {
            let shown = dir.display();
            format!(
                "daemon off;\npid {shown}/pid;\nevents {{}}\nhttp {{\n access_log off;\n client_body_temp_path {shown}/a;\n \
             proxy_temp_path {shown}/b;\n fastcgi_temp_path {shown}/c;\n uwsgi_temp_path {shown}/d;\n scgi_temp_path {shown}/e;\n \
             server {{ listen {address}; }}\n}}\n"
            )
        },
    );
    Hop::program(format!("http://{address}"), server)
}
