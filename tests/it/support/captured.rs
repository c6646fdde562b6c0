//! What is told through `tracing`, at its most talkative.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;

/// Everything that this thread tells, spans included, until dropped: of all that a test does, unless it runs on
/// several threads.
pub struct Captured {
    lines: Lines,
}

/// What one test has captured.
type Lines = Arc<Mutex<Vec<u8>>>;

thread_local! {
    static LISTENING: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

impl Captured {
    /// Listens from now on; one at a time on a thread.
    pub fn start() -> Self {
        listen();
        let lines = Lines::default();
        LISTENING.set(Some(Arc::clone(&lines)));
        Self { lines }
    }

    /// What has been told so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.lock().unwrap()).into_owned()
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        LISTENING.set(None);
    }
}

/// One subscriber for the whole process. With one for each thread, `tracing` takes a place in the code for silent
/// when the first thread that comes by happens to have none.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let somebody_listens = dynamic_filter_fn(|_, _| LISTENING.with_borrow(Option::is_some));
        let lines = tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| ToListener)
            .with_filter(somebody_listens.with_max_level_hint(Level::TRACE));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines)).unwrap();
        tracing::callsite::rebuild_interest_cache();
    });
}

struct ToListener;

impl Write for ToListener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LISTENING.with_borrow(|listening| {
            if let Some(lines) = listening {
                lines.lock().unwrap().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
