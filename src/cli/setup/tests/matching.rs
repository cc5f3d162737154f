//! What git makes of the settings, host by host.

use super::*;

#[test]
fn git_uses_the_daemon_for_the_hosts_of_the_routes_and_for_no_other() {
    for git in gits() {
        let world = World::new(&git);
        world.setup("all").ok();
        let bundle = world.bundle();
        for (url, proxied, trusted) in [
            ("https://huggingface.co/me/model", true, true),
            ("https://hf.co/", true, true),
            ("https://cdn-lfs.huggingface.co/o", true, true),
            ("https://cdn-lfs-us-1.huggingface.co/o", true, true),
            ("https://cdn-lfs.hf.co/o", true, true),
            ("https://cas-server.xethub.hf.co/o", true, true),
            ("https://git.example/x.git", true, false),
            ("https://storage.example/o", true, true),
            ("https://forbidden.example/o", false, false),
            ("https://example.org/", false, false),
            ("https://huggingface.co.example/", false, false),
            ("https://git.example:8443/", false, false),
        ] {
            let ask = |key| world.git(&["config", "--get-urlmatch", key, url]);
            assert_eq!(ask("http.proxy"), if proxied { PROXY } else { "" }, "{url}");
            assert_eq!(
                ask("http.sslCAInfo"),
                if trusted { bundle.as_str() } else { "" },
                "{url}"
            );
        }
    }
}

#[test]
fn each_client_gets_its_own_hosts() {
    let world = World::new(&gits()[0]);
    world.setup("lfs").ok();
    let ask = |url| world.git(&["config", "--get-urlmatch", "http.proxy", url]);
    assert_eq!(ask("https://storage.example/"), PROXY);
    assert_eq!(ask("https://huggingface.co/"), "");
    world.setup("git").ok();
    assert_eq!(ask("https://huggingface.co/"), PROXY);
    world.setup("lfs --undo").ok();
    assert_eq!(ask("https://storage.example/"), "");
    assert_eq!(ask("https://huggingface.co/"), PROXY);
}

#[test]
fn tunnelled_hosts_need_no_bundle() {
    let mut world = World::new(&gits()[0]);
    world.config = |directory| Config {
        routes: vec![route(Role::MainSite, TlsMode::Tunnel, &["git.example"])],
        ..config(directory)
    };
    fs::remove_file(world.bundle()).unwrap();
    world.setup("all").ok();
    let files = [".config/gitferry/git.config", ".config/gitferry/hf.sh"];
    let [settings, exports] = files.map(|file| fs::read_to_string(world.home(file)).unwrap());
    assert!(!settings.contains("sslCAInfo"), "{settings}");
    assert!(!exports.contains("SSL_CERT_FILE"), "{exports}");
    assert!(exports.contains("export HTTPS_PROXY="), "{exports}");
}

#[test]
fn the_unspecified_address_becomes_loopback_and_ports_are_in_the_urls() {
    let mut world = World::new(&gits()[0]);
    world.config = |directory| {
        let mut config = config(directory);
        config.listen.addresses = vec!["[::]:4000".parse().unwrap()];
        config.listen.credentials = Some(crate::model::secret::Credentials {
            username: "a b".into(),
            password: crate::model::Secret::new("hunter2"),
        });
        let mut route = Arc::into_inner(route(
            Role::MainSite,
            TlsMode::Terminate,
            &["git.example", "192.0.2.1"],
        ))
        .unwrap();
        route.ports = Some(vec![22, 80, 8443]);
        config.routes = vec![Arc::new(route)];
        config
    };
    let said = world.setup("git").ok();
    assert!(!said.out.contains("hunter2"), "{}", said.out);
    for (url, proxy) in [
        (
            "https://git.example:8443/",
            "http://a%20b:hunter2@[::1]:4000",
        ),
        ("https://192.0.2.1:8443/", "http://a%20b:hunter2@[::1]:4000"),
        ("http://git.example/", "http://a%20b:hunter2@[::1]:4000"),
        ("https://git.example/", ""),
    ] {
        assert_eq!(
            world.git(&["config", "--get-urlmatch", "http.proxy", url]),
            proxy,
            "{url}"
        );
    }
    let plain = [
        "config",
        "--get-urlmatch",
        "http.sslCAInfo",
        "http://git.example/",
    ];
    assert_eq!(world.git(&plain), "");
}

#[test]
fn without_a_ca_urls_are_rewritten_and_a_note_lists_the_wildcards() {
    for git in gits() {
        let mut world = World::new(&git);
        // A hop for plain HTTP must not get the requests to this machine.
        world.set_variable("http_proxy", "http://hop.example:3128");
        let said = world.setup("all --no-ca").ok();
        assert_eq!(said.err, "");
        let noted = "bypass it: cdn-lfs*.huggingface.co, *.hf.co";
        assert_eq!(said.out.matches(noted).count(), 1, "{}", said.out);
        for (url, becomes) in [
            (
                "https://huggingface.co/me/model",
                "http://127.0.0.1:4483/huggingface.co/me/model",
            ),
            (
                "https://storage.example/o",
                "http://127.0.0.1:4483/storage.example/o",
            ),
            ("https://git.example/x", "https://git.example/x"),
        ] {
            assert_eq!(world.git(&["ls-remote", "--get-url", url]), becomes);
        }
        assert_eq!(
            world.git(&["config", "lfs.transfer.enablehrefrewrite"]),
            "true"
        );
        let front = [
            "config",
            "--get-urlmatch",
            "http.proxy",
            "http://127.0.0.1:4483/x",
        ];
        assert!(git::found(&world.host, &front).unwrap().is_some());
        assert_eq!(world.git(&front), "");
        assert!(!said.out.contains("sslCAInfo"), "{}", said.out);
        // Tunnelled hosts show their own certificate: the proxy setting is enough for them.
        let ask = [
            "config",
            "--get-urlmatch",
            "http.proxy",
            "https://git.example/",
        ];
        assert_eq!(world.git(&ask), PROXY);
    }
}
