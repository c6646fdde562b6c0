//! Files that are large, deep, or meant to harm.

use std::time::Instant;

use super::*;

#[test]
fn ten_thousand_routes_load() {
    let mut text =
        "listeners: [{address: 127.0.0.1:1}]\ncredentials: {one: {grant: static, token: x}}\nroutes:\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!(
            "  - path: /api/service-{n}/\n    host: h{}.example.com\n    methods: [GET, POST]\n    headers: {{X-Tenant: t{n}}}\n    \
             upstream:\n      url: https://service-{n}.internal.example/v1/\n      connections: {{max: 10}}\n    credential: one\n    \
             timeouts: {{connect: 5s, response_head: 60s}}\n    retry: {{statuses: [401, 403], max_body: 64KiB}}\n",
            n % 7
        ));
    }
    let start = Instant::now();
    let config = right(&text);
    assert_eq!(config.routes.len(), 10_000);
    // Takes a tenth of this, without optimization.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn ten_thousand_routes_of_one_path_get_names_quickly() {
    let mut text = "listeners: [{address: 127.0.0.1:1}]\nroutes:\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!("  - {{headers: {{X-A: v{n}}}, upstream: https://a.example, credential: none}}\n"));
    }
    let config = right(&text);
    assert_eq!(config.routes[0].target.name, "default");
    assert_eq!(config.routes[9_999].target.name, "default-10000");
}

#[test]
fn a_billion_laughs_are_cut_short() {
    let mut text = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let error = parse_text(&text).unwrap_err();
    assert!(error.to_string().contains("counting aliases as what they stand for"), "{error}");
}

#[test]
fn nesting_is_bounded_in_every_way_it_can_be_written() {
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for n in 1..1000 {
        chain.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    let flow = format!("a: {}", "[".repeat(100_000));
    let dashes = format!("a:\n  {}x", "- ".repeat(100_000));
    let block: String = (0..1000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let values: String = "a: {".repeat(50_000);
    for text in [chain, flow, dashes, block, values] {
        let error = parse_text(&text).unwrap_err();
        assert!(error.to_string().contains("nested more than 32 levels deep"), "{error}");
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_looked_at() {
    let text = "#".repeat(MAX_FILE + 1);
    assert_eq!(parse_text(&text).unwrap_err().to_string(), "proxy.yaml: the file is larger than 16 MiB");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    assert!(load(file.path()).unwrap_err().to_string().contains("larger than 16 MiB"));
}

#[test]
fn too_many_values_are_refused() {
    let text = format!("a: [{}]", "x, ".repeat(600_000));
    assert!(parse_text(&text).unwrap_err().to_string().contains("more than 500000 values"));
}

#[test]
fn a_hundred_thousand_keys_are_looked_at_once() {
    let keys: String = (0..100_000).map(|n| format!("    k{n}: v\n")).collect();
    let start = Instant::now();
    let error = parse_text(&format!("listeners:\n  - address: 127.0.0.1:1\n{keys}")).unwrap_err();
    assert!(error.to_string().contains("more mistakes"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s)[-a-z0-9:{}\\[\\]$,#&*!|>'\"%@` \n\t./]{0,200}") {
        let _ = parse_text(&text);
        let _ = parse_text(&format!("{}{text}", top_with("")));
        let _ = parse_text(&credential_with(&text));
    }
}
