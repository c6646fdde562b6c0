//! The storm: a thousand requests are with the upstream when the token is revoked. How many tokens are asked for, and how
//! soon has everybody an answer?

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::Plan;
use super::child::{Child, Cpu};
use super::load::{self, length_of};
use super::serve::{listen, token};

/// As long as the token endpoint thinks.
const RENEWAL: Duration = Duration::from_millis(100);

/// Who has no answer so long after the renewal's end was slow.
const GRACE: Duration = Duration::from_millis(50);

/// Runs it as often as there are rounds, and prints a line for each.
pub fn run(plan: &Plan) {
    println!("{} requests in flight, token revoked; milliseconds after the revocation", plan.connections);
    println!(
        "{:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}",
        "tokens", "errors", "refused", "renewed", "first", "median", "last", "slow", "proxy cpu", "others'"
    );
    for _ in 0..plan.rounds {
        once(plan);
    }
}

fn once(plan: &Plan) {
    let (first, second) = if plan.pinned { (Some(0), Some(1)) } else { (None, None) };
    let upstream = Child::start(&["storm".to_owned(), plan.connections.to_string()], second);
    let (workers, model) = (plan.workers.to_string(), plan.model.clone());
    let arguments = ["proxy".to_owned(), upstream.address.to_string(), workers, model, "asked".to_owned()];
    let proxy = Child::start(&arguments, first);
    let request = load::request(proxy.address, 0, false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..plan.connections {
            let stream = TcpStream::connect(proxy.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        // Everybody once, so that all connections are there, the upstream's too.
        let (mut streams, warm) = all(streams, &request).await;
        assert!(warm.iter().all(|answer| answer.is_good), "an error before the storm");
        let before = (proxy.cpu(), upstream.cpu());
        let (_, answers) = all(std::mem::take(&mut streams), &request).await;
        let cpu = (proxy.cpu() - before.0, upstream.cpu() - before.1);
        let moments = Moments::ask(upstream.address).await;
        report(&answers, &moments, cpu);
    });
}

/// One request's end.
struct Answer {
    is_good: bool,
    at: SystemTime,
}

/// Sends the request on all of them, and waits for all answers.
async fn all(streams: Vec<TcpStream>, request: &[u8]) -> (Vec<TcpStream>, Vec<Answer>) {
    let mut asking = JoinSet::new();
    for mut stream in streams {
        let request = request.to_vec();
        asking.spawn(async move {
            let is_good = exchange(&mut stream, &request).await.is_some_and(|text| text.starts_with("HTTP/1.1 200 "));
            (stream, Answer { is_good, at: SystemTime::now() })
        });
    }
    asking.join_all().await.into_iter().unzip()
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<String> {
    stream.write_all(request).await.ok()?;
    let message = message(stream).await?;
    Some(String::from_utf8_lossy(&message).into_owned())
}

/// The next message, head and body; none at the end.
async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        if length_of(&buffer).is_some_and(|length| buffer.len() >= length) {
            return Some(buffer);
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn report(answers: &[Answer], moments: &Moments, cpu: (Cpu, Cpu)) {
    let mut after: Vec<f64> = answers.iter().map(|answer| moments.since_revoked(answer.at)).collect();
    after.sort_by(f64::total_cmp);
    let errors = answers.iter().filter(|answer| !answer.is_good).count();
    let limit = (RENEWAL + GRACE).as_secs_f64() * 1e3;
    let slow = after.iter().filter(|milliseconds| **milliseconds > limit).count();
    let milliseconds = |cpu: Cpu| (cpu.user + cpu.system) * 1e3;
    println!(
        "{:>6} {errors:>6} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {slow:>8} {:>9.0} {:>9.0}",
        moments.tokens - 1,
        moments.since_revoked(moments.refused),
        moments.since_revoked(moments.renewed),
        after[0],
        after[after.len() / 2],
        after[after.len() - 1],
        milliseconds(cpu.0),
        milliseconds(cpu.1),
    );
}

/// What the upstream has seen.
#[derive(Clone, Copy)]
struct Moments {
    /// Tokens that were given out, the first one too.
    tokens: usize,
    /// When all requests were there, and their token stopped being good.
    revoked: SystemTime,
    /// When the last refusal was sent.
    refused: SystemTime,
    /// When the last token was sent.
    renewed: SystemTime,
}

impl Moments {
    async fn ask(upstream: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(upstream).await.unwrap();
        let text = exchange(&mut stream, b"GET /moments HTTP/1.1\r\n\r\n").await.unwrap();
        let numbers: Vec<u64> =
            text.rsplit_once("\r\n\r\n").unwrap().1.split(' ').map(|number| number.parse().unwrap()).collect();
        let moment = |at: usize| UNIX_EPOCH + Duration::from_micros(numbers[at]);
        Self { tokens: numbers[0] as usize, revoked: moment(1), refused: moment(2), renewed: moment(3) }
    }

    fn text(&self) -> String {
        let number = |moment: SystemTime| moment.duration_since(UNIX_EPOCH).unwrap().as_micros();
        format!("{} {} {} {}", self.tokens, number(self.revoked), number(self.refused), number(self.renewed))
    }

    fn since_revoked(&self, moment: SystemTime) -> f64 {
        moment.duration_since(self.revoked).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

/// The upstream, and the token endpoint beside it.
struct Upstream {
    callers: usize,
    /// Requests with the first token. The first of each caller are answered 200, the second 401.
    come: AtomicUsize,
    together: Barrier,
    moments: Mutex<Moments>,
}

/// Serves `/token`, `/moments`, and everything else that bears a token.
pub async fn upstream(callers: usize) -> SocketAddr {
    let moments = Moments { tokens: 0, revoked: UNIX_EPOCH, refused: UNIX_EPOCH, renewed: UNIX_EPOCH };
    let together = Barrier::new(callers);
    let upstream = Upstream { callers, come: AtomicUsize::new(0), together, moments: Mutex::new(moments) };
    let upstream = Arc::new(upstream);
    listen(move |stream| Arc::clone(&upstream).serve(stream)).await
}

impl Upstream {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        while let Some(message) = message(&mut stream).await {
            let request = String::from_utf8_lossy(&message);
            let refuses = request.contains(&format!(": Bearer {}\r\n", numbered(1))) && self.refuses().await;
            let answer = if request.starts_with("POST /token ") {
                self.token().await
            } else if request.starts_with("GET /moments ") {
                answer("200 OK", &self.moments.lock().unwrap().text())
            } else if refuses {
                answer("401 Unauthorized", "{\"error\":\"invalid_token\"}")
            } else {
                answer("200 OK", &"x".repeat(200))
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if refuses {
                self.moments.lock().unwrap().refused = SystemTime::now();
            }
        }
    }

    /// Holds a request with the first token until all are here.
    async fn refuses(&self) -> bool {
        let turn = self.come.fetch_add(1, Ordering::Relaxed);
        let is_last = self.together.wait().await.is_leader();
        let refuses = turn >= self.callers;
        if refuses && is_last {
            self.moments.lock().unwrap().revoked = SystemTime::now();
        }
        refuses
    }

    async fn token(&self) -> String {
        let number = {
            let mut moments = self.moments.lock().unwrap();
            moments.tokens += 1;
            moments.tokens
        };
        if number > 1 {
            tokio::time::sleep(RENEWAL).await;
        }
        self.moments.lock().unwrap().renewed = SystemTime::now();
        let token = numbered(number);
        answer("200 OK", &format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}"))
    }
}

fn numbered(number: usize) -> String {
    format!("{}{number:04}", token())
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}
