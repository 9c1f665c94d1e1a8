//! A server on loopback that refuses or lacks everything, or everything but the question who we are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

const DENIED: Answer = ("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
const LACKING: Answer =
    ("501 Not Implemented", "<Error><Code>NotImplemented</Code><Message>not in this emulator</Message></Error>");

/// Status and body.
type Answer = (&'static str, &'static str);
const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
    <Arn>arn:aws:iam::230372904534:user/gate</Arn><UserId>AIDAEXAMPLE</UserId><Account>230372904534</Account>\
    </GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>";

/// The server; it ends with the test.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    puts: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers 403 to everything; with `knows_us`, `GetCallerIdentity` is answered.
    pub fn that_denies(knows_us: bool) -> Self {
        Self::that_says(knows_us, DENIED)
    }

    /// Knows who we are, and has nothing else of AWS.
    pub fn that_lacks_all() -> Self {
        Self::that_says(true, LACKING)
    }

    fn that_says(knows_us: bool, otherwise: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, puts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&puts));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A client that hangs up is none of the test's concern.
                let _ = stream.and_then(|stream| answer(stream, knows_us, otherwise, &counted));
            }
        });
        Self { address, stop, puts, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many writes it was asked for.
    pub fn puts(&self) -> usize {
        self.puts.load(Ordering::SeqCst)
    }

    /// A port on which nothing listens.
    pub fn closed_port() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, knows_us: bool, otherwise: Answer, puts: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut head) = (String::new(), String::new());
    let mut length = 0;
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if head.starts_with("PUT ") {
        puts.fetch_add(1, Ordering::SeqCst);
    }
    let asks_who = String::from_utf8_lossy(&body).contains("Action=GetCallerIdentity");
    let (status, text) = if knows_us && asks_who { ("200 OK", IDENTITY) } else { otherwise };
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    )?;
    if !head.starts_with("HEAD ") {
        stream.write_all(text.as_bytes())?;
    }
    stream.flush()
}
