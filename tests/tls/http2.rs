//! HTTP/2 on both sides: curl to gitferry, gitferry to nginx. What arrives is what was sent.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, time::Duration};

use crate::support::{
    ca::Flaw,
    client::write_noise,
    ferry::Ferry,
    process::{Server, clean_command},
    world::{MAIN, World},
};

const SIZE: u64 = 24 * 1024 * 1024;

/// nginx that speaks HTTP/2, files below `dir/files`.
fn nginx(world: &World, dir: &Path) -> (Server, SocketAddr) {
    fs::create_dir_all(dir.join("files")).unwrap();
    let leaf = world.ca.files("h2", &world.ca.leaf(&[MAIN], Flaw::None));
    Server::start_on_a_port("nginx-h2", dir, |address| {
        let at = dir.display();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr info; events {{}}
            http {{
              log_format h2 '$request_method $server_protocol $status $connection'; access_log {at}/access h2;
              client_max_body_size 0; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
              fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
              server {{
                listen {address} ssl http2; ssl_certificate {}; ssl_certificate_key {};
                root {at}/files; dav_methods PUT;
              }}
            }}",
            leaf.certificate.display(),
            leaf.key.display()
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = clean_command("/usr/sbin/nginx", dir);
        command.arg("-c").arg(file).arg("-e").arg("stderr");
        command
    })
}

#[test]
fn http2_carries_a_download_and_an_upload_byte_by_byte() {
    let world = World::new();
    let dir = world.path("h2");
    fs::create_dir_all(dir.join("files")).unwrap();
    write_noise(&dir.join("files/down"), SIZE);
    write_noise(&dir.join("up"), SIZE);
    let (_nginx, address) = nginx(&world, &dir);
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], address)
        .route_line("http = \"2\"");
    let ferry = Ferry::start(&settings);
    let (proxy, bundle) = (ferry.proxy(), ferry.bundle());
    let curl = |arguments: &[&str]| {
        let bundle = bundle.to_str().unwrap();
        let own = [
            "--http2",
            "--proxy",
            &proxy,
            "--cacert",
            bundle,
            "-w",
            "%{http_version} %{http_code}",
        ];
        world.git().curl(&[&own, arguments].concat()).well().stdout
    };
    let (got, up) = (dir.join("got"), dir.join("up"));
    let down = curl(&["-o", got.to_str().unwrap(), &format!("https://{MAIN}/down")]);
    assert_eq!(down, "2 200");
    assert!(fs::read(&got).unwrap() == fs::read(dir.join("files/down")).unwrap());
    let put = curl(&["-T", up.to_str().unwrap(), &format!("https://{MAIN}/put")]);
    assert_eq!(put, "2 201");
    assert!(fs::read(&up).unwrap() == fs::read(dir.join("files/put")).unwrap());
    let seen = fs::read_to_string(dir.join("access")).unwrap();
    let seen: Vec<&str> = seen
        .lines()
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .collect();
    assert_eq!(seen, ["GET HTTP/2.0 200", "PUT HTTP/2.0 201"]);
}

/// `pool.idle_timeout` is 2 s here.
#[test]
fn a_connection_in_steady_use_outlives_its_idle_time() {
    let world = World::new();
    let dir = world.path("h2");
    let (_nginx, address) = nginx(&world, &dir);
    fs::write(dir.join("files/x"), "x").unwrap();
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], address)
        .route_line("http = \"2\"");
    let ferry = Ferry::start(&settings);
    let (proxy, bundle) = (ferry.proxy(), ferry.bundle());
    let url = format!("https://{MAIN}/x");
    let begun = tokio::time::Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        let bundle = bundle.to_str().unwrap();
        let ask = ["--proxy", &proxy, "--cacert", bundle, &url];
        assert_eq!(world.git().curl(&ask).well().stdout, "x");
        asked += 1;
    }
    let seen = fs::read_to_string(dir.join("access")).unwrap();
    let connections: BTreeSet<_> = seen
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(
        (seen.lines().count(), connections.len()),
        (asked, 1),
        "{seen}"
    );
}
