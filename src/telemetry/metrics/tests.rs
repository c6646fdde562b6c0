use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

/// Reads an exposition as a scraper does: families in one piece, samples of the right kind, an end.
fn read(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), Vec::<(String, String)>::new());
    let body = text.strip_suffix("# EOF\n").expect("an OpenMetrics text has an end");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match what {
                "HELP" => {
                    assert!(families.iter().all(|(known, _)| known != name), "{name} comes twice");
                    assert!(rest.ends_with('.'));
                }
                "TYPE" => families.push((name.to_owned(), rest.to_owned())),
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (family, kind) = families.last().unwrap();
        assert!(family.starts_with("bearer_proxy_"));
        let suffix = series.split('{').next().unwrap().strip_prefix(family.as_str()).expect(line);
        match kind.as_str() {
            "counter" => assert_eq!(suffix, "_total"),
            "gauge" => assert_eq!(suffix, ""),
            "info" => assert_eq!(suffix, "_info"),
            "histogram" => assert!(["_sum", "_count", "_bucket"].contains(&suffix)),
            _ => panic!("{line}"),
        }
        assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} comes twice");
    }
    samples
}

fn scraped(metrics: &Metrics) -> BTreeMap<String, f64> {
    read(&metrics.exposition(Vec::new()))
}

#[test]
fn requests_are_told_by_route_and_class_with_two_histograms() {
    let metrics = Metrics::default();
    let route = metrics.route("zpax");
    (0..5).for_each(|_| route.begin());
    route.first_byte(Duration::from_millis(3));
    route.finish(200, Duration::from_millis(7), 100, 20);
    route.finish(204, Duration::from_millis(70), 1, 0);
    route.finish(404, Duration::from_micros(1), 0, 0);
    route.finish(777, Duration::from_secs(100), 0, 0);
    route.unauthorized();
    route.retried(RetryOutcome::Success);
    route.retried(RetryOutcome::Cooldown);
    route.retried(RetryOutcome::Cooldown);
    metrics.refused(431);
    metrics.refused(431);
    metrics.refused(200);
    metrics.access_log_dropped().add(5);

    let samples = scraped(&metrics);
    let is = |series: &str, value: f64| assert_eq!(samples.get(series), Some(&value), "{series}");
    is(&format!("bearer_proxy_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0);
    is("bearer_proxy_requests_total{route=\"zpax\",class=\"1xx\"}", 0.0);
    is("bearer_proxy_requests_total{route=\"zpax\",class=\"2xx\"}", 2.0);
    is("bearer_proxy_requests_total{route=\"zpax\",class=\"4xx\"}", 1.0);
    is("bearer_proxy_requests_total{route=\"zpax\",class=\"5xx\"}", 1.0);
    is("bearer_proxy_requests_in_flight{route=\"zpax\"}", 1.0);
    is("bearer_proxy_request_duration_seconds_count{route=\"zpax\"}", 4.0);
    is("bearer_proxy_request_duration_seconds_sum{route=\"zpax\"}", 100.077_001);
    is("bearer_proxy_request_duration_seconds_bucket{le=\"0.0005\",route=\"zpax\"}", 1.0);
    is("bearer_proxy_request_duration_seconds_bucket{le=\"0.005\",route=\"zpax\"}", 1.0);
    is("bearer_proxy_request_duration_seconds_bucket{le=\"0.01\",route=\"zpax\"}", 2.0);
    is("bearer_proxy_request_duration_seconds_bucket{le=\"60.0\",route=\"zpax\"}", 3.0);
    is("bearer_proxy_request_duration_seconds_bucket{le=\"+Inf\",route=\"zpax\"}", 4.0);
    is("bearer_proxy_response_first_byte_seconds_count{route=\"zpax\"}", 1.0);
    is("bearer_proxy_sent_bytes_total{route=\"zpax\"}", 101.0);
    is("bearer_proxy_received_bytes_total{route=\"zpax\"}", 20.0);
    is("bearer_proxy_upstream_unauthorized_total{route=\"zpax\"}", 1.0);
    is("bearer_proxy_retries_total{route=\"zpax\",outcome=\"success\"}", 1.0);
    is("bearer_proxy_retries_total{route=\"zpax\",outcome=\"cooldown\"}", 2.0);
    is("bearer_proxy_retries_total{route=\"zpax\",outcome=\"not_replayable\"}", 0.0);
    is("bearer_proxy_requests_refused_total{status=\"431\"}", 2.0);
    is("bearer_proxy_log_lines_dropped_total{log=\"access\"}", 5.0);
    route.finish(200, Duration::ZERO, 0, 0);
    assert_eq!(scraped(&metrics)["bearer_proxy_requests_in_flight{route=\"zpax\"}"], 0.0);
}

#[test]
fn connections_are_told_by_upstream_and_by_listener() {
    let metrics = Metrics::default();
    let upstream = metrics.upstream("api.example:443");
    let first = upstream.opened();
    let _second = upstream.opened();
    upstream.reused();
    upstream.failed(UpstreamFailure::Refused);
    drop(first);
    let listener = metrics.listener("127.0.0.1:8080");
    drop(listener.accepted());
    let _open = listener.accepted();

    let samples = scraped(&metrics);
    let is = |series: &str, value: f64| assert_eq!(samples.get(series), Some(&value), "{series}");
    is("bearer_proxy_upstream_connections_opened_total{upstream=\"api.example:443\"}", 2.0);
    is("bearer_proxy_upstream_connections_reused_total{upstream=\"api.example:443\"}", 1.0);
    is("bearer_proxy_upstream_connections_open{upstream=\"api.example:443\"}", 1.0);
    is("bearer_proxy_upstream_failures_total{upstream=\"api.example:443\",kind=\"refused\"}", 1.0);
    is("bearer_proxy_upstream_failures_total{upstream=\"api.example:443\",kind=\"tls\"}", 0.0);
    is("bearer_proxy_connections_accepted_total{listener=\"127.0.0.1:8080\"}", 2.0);
    is("bearer_proxy_connections_open{listener=\"127.0.0.1:8080\"}", 1.0);
}

#[test]
fn credentials_are_told_as_they_were_handed_in() {
    let credentials = vec![
        CredentialFigures {
            name: "zpax".to_owned(),
            expires_in: Some(Duration::from_millis(59_999)),
            requests: vec![("success".to_owned(), 3), ("invalid_client".to_owned(), 1)],
        },
        CredentialFigures { name: "fixed".to_owned(), expires_in: None, requests: Vec::new() },
    ];
    let samples = read(&Metrics::default().exposition(credentials));
    assert_eq!(samples["bearer_proxy_token_requests_total{credential=\"zpax\",outcome=\"success\"}"], 3.0);
    assert_eq!(samples["bearer_proxy_token_requests_total{credential=\"zpax\",outcome=\"invalid_client\"}"], 1.0);
    assert_eq!(samples["bearer_proxy_token_expires_seconds{credential=\"zpax\"}"], 59.0);
    assert!(!samples.keys().any(|series| series.contains("fixed")));
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let metrics = Metrics::default();
    let route = metrics.route("a\"b\\\nc");
    route.finish(200, Duration::ZERO, 0, 0);
    let samples = scraped(&metrics);
    assert_eq!(samples["bearer_proxy_requests_total{route=\"a\\\"b\\\\\\nc\",class=\"2xx\"}"], 1.0);
}

#[test]
fn a_reload_goes_on_counting_and_forgets_what_nobody_holds() {
    let metrics = Metrics::default();
    let old = metrics.route("kept");
    let gone = metrics.route("gone");
    old.finish(200, Duration::ZERO, 0, 0);
    gone.finish(200, Duration::ZERO, 0, 0);
    let new = metrics.route("kept");
    drop((old, gone));
    new.finish(200, Duration::ZERO, 0, 0);

    let samples = scraped(&metrics);
    assert_eq!(samples["bearer_proxy_requests_total{route=\"kept\",class=\"2xx\"}"], 2.0);
    assert!(!samples.keys().any(|series| series.contains("gone")));
}

#[test]
fn a_route_that_nobody_called_is_not_shown() {
    let metrics = Metrics::default();
    let route = metrics.route("idle");
    assert!(!scraped(&metrics).keys().any(|series| series.contains("idle")));
    route.finish(500, Duration::ZERO, 0, 0);
    assert!(scraped(&metrics).keys().any(|series| series.contains("idle")));
}

#[test]
fn what_many_threads_count_is_all_told_and_nothing_is_in_flight_before_it_has_begun() {
    const REQUESTS: u32 = 500;
    const ALL: u32 = 20 * REQUESTS;
    let metrics = Metrics::default();
    let (route, upstream) = (metrics.route("busy"), metrics.upstream("api.example:443"));
    route.begin();
    let in_flight = || scraped(&metrics)["bearer_proxy_requests_in_flight{route=\"busy\"}"];
    let request = || {
        route.begin();
        upstream.reused();
        route.first_byte(Duration::from_millis(1));
        route.finish(200, Duration::from_millis(2), 3, 4);
    };
    std::thread::scope(|scope| {
        let workers = [(); 20].map(|()| scope.spawn(|| (0..REQUESTS).for_each(|_| request())));
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert!((1.0..=f64::from(ALL)).contains(&in_flight()));
        }
    });
    assert_eq!(in_flight(), 1.0);
    let (samples, all) = (scraped(&metrics), f64::from(ALL));
    assert_eq!(samples["bearer_proxy_requests_total{route=\"busy\",class=\"2xx\"}"], all);
    assert_eq!(samples["bearer_proxy_response_first_byte_seconds_count{route=\"busy\"}"], all);
    assert_eq!(samples["bearer_proxy_request_duration_seconds_bucket{le=\"0.0025\",route=\"busy\"}"], all);
    assert_eq!(samples["bearer_proxy_request_duration_seconds_sum{route=\"busy\"}"].round(), all * 0.002);
    assert_eq!(samples["bearer_proxy_sent_bytes_total{route=\"busy\"}"], all * 3.0);
    assert_eq!(samples["bearer_proxy_received_bytes_total{route=\"busy\"}"], all * 4.0);
    assert_eq!(samples["bearer_proxy_upstream_connections_reused_total{upstream=\"api.example:443\"}"], all);
}
