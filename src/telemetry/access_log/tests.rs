mod reference;

use std::sync::mpsc;
use std::sync::{Condvar, Mutex};
use std::time::{Instant, UNIX_EPOCH};

use super::*;

const RECORD: Record<'static> = Record {
    method: "GET",
    route: Some("zpax"),
    path: "/zpax/orders/7",
    status: 200,
    bytes_sent: 1234,
    bytes_received: 0,
    duration: Duration::from_micros(12_345),
    ended: UNIX_EPOCH,
    attempts: 1,
    token: TokenAction::Cached,
    request_id: None,
    error: None,
};

fn text(record: &Record<'_>) -> String {
    formatted(record, line::text)
}

fn json(record: &Record<'_>) -> String {
    formatted(record, line::json)
}

fn formatted(record: &Record<'_>, format: fn(&Record<'_>, clock::Time<'_>, &mut Vec<u8>)) -> String {
    let (mut clock, mut out) = (Clock::default(), Vec::new());
    format(record, clock.at(UNIX_EPOCH + Duration::from_millis(1_795_298_711_023)), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_of_text_is_logfmt() {
    assert_eq!(
        text(&RECORD),
        "time=2026-11-21T22:05:11.023Z method=GET route=zpax path=/zpax/orders/7 status=200 bytes_sent=1234 \
         bytes_received=0 duration_ms=12.345 attempts=1 token=cached\n"
    );
    let failed = Record {
        route: None,
        status: 503,
        duration: Duration::from_nanos(999),
        attempts: 0,
        token: TokenAction::Failed,
        request_id: Some("a b"),
        error: Some("invalid_client"),
        ..RECORD
    };
    assert_eq!(
        text(&failed),
        "time=2026-11-21T22:05:11.023Z method=GET path=/zpax/orders/7 status=503 bytes_sent=1234 bytes_received=0 \
         duration_ms=0.000 attempts=0 token=failed request_id=\"a b\" error=invalid_client\n"
    );
}

#[test]
fn a_line_of_json_is_an_object_with_the_same_keys() {
    assert_eq!(
        json(&RECORD),
        "{\"time\":\"2026-11-21T22:05:11.023Z\",\"method\":\"GET\",\"route\":\"zpax\",\"path\":\"/zpax/orders/7\",\
         \"status\":200,\"bytes_sent\":1234,\"bytes_received\":0,\"duration_ms\":12.345,\"attempts\":1,\
         \"token\":\"cached\"}\n"
    );
    let full = Record { request_id: Some("7f"), error: Some("upstream_timeout"), ..RECORD };
    assert!(json(&full).ends_with(",\"token\":\"cached\",\"request_id\":\"7f\",\"error\":\"upstream_timeout\"}\n"));
}

/// Log injection: one request is one line, and its values end where they seem to.
#[test]
fn whatever_stands_in_a_path_a_line_stays_one_line_and_its_values_whole() {
    for odd in [
        "/a\nstatus=200",
        "/\r\n\0\u{7f}",
        "/\"quoted\" \\",
        "/ümläut/\u{9b}2J/\u{202e}/\u{2028}",
        "/😀",
        "/a=b",
        "",
        "/ ",
    ] {
        let record = Record { path: odd, request_id: Some(odd), ..RECORD };
        let (text, json) = (text(&record), json(&record));
        for line in [&text, &json] {
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        }
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["path"], odd);
        assert_eq!(read["request_id"], odd);
        // What is quoted in logfmt is a JSON string.
        let quoted = text.split_once(" path=").unwrap().1.split_once(" status=200 bytes").unwrap().0;
        assert_eq!(serde_json::from_str::<String>(quoted).unwrap(), odd, "{text}");
    }
}

#[test]
fn a_long_path_is_cut_between_characters() {
    let path = format!("/{}", "ü".repeat(2000));
    let read: serde_json::Value = serde_json::from_str(&json(&Record { path: &path, ..RECORD })).unwrap();
    let kept = read["path"].as_str().unwrap();
    assert!(kept.ends_with("ü...") && kept.len() <= 2048 + 3, "{}", kept.len());
    assert!(text(&Record { path: &"a".repeat(5000), ..RECORD }).len() < 2500);
}

#[test]
fn numbers_have_no_smallest_or_largest_that_breaks_them() {
    let largest = Record {
        status: u16::MAX,
        bytes_sent: u64::MAX,
        bytes_received: 10,
        duration: Duration::MAX,
        attempts: u32::MAX,
        ..RECORD
    };
    assert!(text(&largest).contains(
        "status=65535 bytes_sent=18446744073709551615 bytes_received=10 duration_ms=18446744073709551.615 \
         attempts=4294967295 "
    ));
}

#[test]
fn a_file_gets_its_lines_and_is_opened_again_after_being_moved_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let settings = LogSettings { access: settings::AccessLog::File(path.clone()), ..LogSettings::default() };
    let log = AccessLog::open(&settings, &Metrics::default()).unwrap();
    log.record(&RECORD);
    log.flush();
    let old = directory.path().join("access.log.1");
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    log.flush();
    log.record(&Record { path: "/later", ..RECORD });
    log.flush();
    assert!(std::fs::read_to_string(old).unwrap().ends_with("token=cached\n"));
    let new = std::fs::read_to_string(path).unwrap();
    assert!(new.contains("path=/later ") && new.lines().count() == 1, "{new}");
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let settings = LogSettings {
        access: settings::AccessLog::File("/no/such/directory/access.log".into()),
        ..LogSettings::default()
    };
    let error = AccessLog::open(&settings, &Metrics::default()).err().unwrap();
    assert!(error.to_string().starts_with("/no/such/directory/access.log: "), "{error}");
}

#[test]
fn lines_of_many_threads_all_arrive_whole() {
    let (to, lines) = mpsc::channel();
    let log = AccessLog::to(Channel(to), LogFormat::Json, &Metrics::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5000).for_each(|_| log.record(&RECORD)));
        }
    });
    drop(log);
    let written: Vec<u8> = lines.iter().flatten().collect();
    let written = String::from_utf8(written).unwrap();
    assert_eq!(written.lines().filter(|line| line.starts_with('{') && line.ends_with('}')).count(), 20_000);
    assert_eq!(written.lines().count(), 20_000);
}

#[test]
fn a_stalled_sink_holds_nobody_up_and_what_is_lost_is_counted() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (to, lines) = mpsc::channel();
    let metrics = Metrics::default();
    let log = AccessLog::to(Gated(Arc::clone(&gate), Channel(to)), LogFormat::Text, &metrics).unwrap();
    let dropped = metrics.access_log_dropped();

    let long = "a".repeat(2000);
    let recorded: u64 = 2 * u64::try_from(spool::MAX_BYTES / 2000).unwrap();
    let began = Instant::now();
    for _ in 0..recorded {
        log.record(&Record { path: &long, ..RECORD });
    }
    // Far more than memory takes, and far less than any stall.
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(dropped.value() > 0);

    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    drop(log);
    let written = lines.iter().flatten().filter(|byte| *byte == b'\n').count();
    assert_eq!(u64::try_from(written).unwrap() + dropped.value(), recorded);
}

#[test]
fn a_reader_that_has_gone_away_is_survived_and_its_lines_counted() {
    let metrics = Metrics::default();
    let (to, lines) = mpsc::channel();
    drop(lines);
    let log = AccessLog::to(Channel(to), LogFormat::Text, &metrics).unwrap();
    for _ in 0..3 {
        log.record(&RECORD);
        log.flush();
    }
    assert_eq!(metrics.access_log_dropped().value(), 3);
}

#[test]
fn after_a_torn_line_the_next_begins_on_a_line_of_its_own() {
    let (to, lines) = mpsc::channel();
    let metrics = Metrics::default();
    let log = AccessLog::to(Full(0, Channel(to)), LogFormat::Text, &metrics).unwrap();
    log.record(&RECORD);
    log.flush();
    log.record(&Record { path: "/second", ..RECORD });
    drop(log);
    let written: Vec<u8> = lines.iter().flatten().collect();
    let written = String::from_utf8(written).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], &lines[1][..9], "the nine bytes that were written");
    assert!(lines[1].contains("path=/second"));
    assert_eq!(metrics.access_log_dropped().value(), 1);
}

#[test]
fn no_log_is_no_thread_and_no_line() {
    let settings = LogSettings { access: settings::AccessLog::Off, ..LogSettings::default() };
    let log = AccessLog::open(&settings, &Metrics::default()).unwrap();
    log.record(&RECORD);
    log.flush();
    log.reopen();
    assert!(log.0.is_none());
}

/// A pipe whose reader is the test.
struct Channel(mpsc::Sender<Vec<u8>>);

impl io::Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that is full until the gate opens.
struct Gated(Arc<(Mutex<bool>, Condvar)>, Channel);

impl io::Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk that takes nine bytes, is full once, and then has room again.
struct Full(u32, Channel);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        match self.0 {
            1 => self.1.write(&bytes[..9]),
            2 => Err(io::ErrorKind::StorageFull.into()),
            _ => self.1.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
