//! The scan of an image with one layer of 400 MB, beside its digest alone, and the memory that the scan takes at most.
//!
//! `cargo bench --bench layers`, or with `--profile dev` as the gate is run. With `PHASEGATE_LAYERS=image.tar`, a file that `docker save`
//! wrote, that image is scanned. The made layer holds a file of program text, one of JSON, one of base64 and one of machine code in turn.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::fmt::Write as _;
use std::io::Read;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phasegate_support::image::layers::{Wanted, scan};
use sha2::{Digest as _, Sha256};

const FILES: usize = 6104;
const FILE: usize = 64 << 10;
const HEADER: usize = 512;
const LAYER: usize = FILES * (HEADER + FILE) + 2 * HEADER;

/// A generator of the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(count).collect()
    }
}

fn content(number: usize, numbers: &mut Numbers) -> Vec<u8> {
    let mut text = String::new();
    match number % 4 {
        0 => {
            while text.len() < FILE {
                let (name, value) = (numbers.next() % 997, numbers.next() % 9973);
                writeln!(text, "def read_{name}(token, session):\n    return session.get({value}, token=token)\n")
                    .unwrap();
            }
        }
        1 => {
            while text.len() < FILE {
                let (name, value) = (numbers.next() % 997, numbers.next());
                writeln!(text, "{{\"name\": \"entry-{name}\", \"key\": \"none\", \"count\": {value}}}").unwrap();
            }
        }
        2 => {
            for line in numbers.bytes(FILE).chunks(57) {
                writeln!(text, "{}", STANDARD.encode(line)).unwrap();
            }
        }
        _ => return numbers.bytes(FILE),
    }
    text.truncate(FILE);
    text.into_bytes()
}

fn header(name: &str, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_mode(0o644);
    header.set_size(size as u64);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// The layer, made while it is read.
struct Layer {
    numbers: Numbers,
    file: usize,
    made: std::io::Cursor<Vec<u8>>,
}

impl Layer {
    fn new() -> Self {
        Self { numbers: Numbers(0x9e37_79b9_7f4a_7c15), file: 0, made: std::io::Cursor::default() }
    }
}

impl Read for Layer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.made.position() == self.made.get_ref().len() as u64 && self.file <= FILES {
            let bytes = if self.file < FILES {
                let name = format!("usr/lib/{:02}/{}", self.file % 100, self.file);
                [header(&name, FILE), content(self.file, &mut self.numbers)].concat()
            } else {
                vec![0; 2 * HEADER]
            };
            self.file += 1;
            self.made = std::io::Cursor::new(bytes);
        }
        self.made.read(buffer)
    }
}

fn document(name: &str, value: &serde_json::Value) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    let head = header(name, bytes.len());
    bytes.resize(bytes.len().next_multiple_of(HEADER), 0);
    [head, bytes].concat()
}

/// The image that holds the layer.
fn image(diff_id: &str) -> impl Read {
    let config = serde_json::json!({ "rootfs": { "diff_ids": [format!("sha256:{diff_id}")] } });
    let manifest = serde_json::json!([{ "Config": "config.json", "Layers": ["layer/layer.tar"] }]);
    let documents =
        [document("config.json", &config), document("manifest.json", &manifest), vec![0; 2 * HEADER]].concat();
    std::io::Cursor::new(header("layer/layer.tar", LAYER)).chain(Layer::new()).chain(std::io::Cursor::new(documents))
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn digest(mut stream: impl Read) -> (String, f64) {
    let (mut digest, mut block) = (Sha256::new(), vec![0; 64 << 10]);
    let begun = Instant::now();
    loop {
        match stream.read(&mut block).unwrap() {
            0 => return (hex::encode(digest.finalize()), begun.elapsed().as_secs_f64()),
            count => digest.update(&block[..count]),
        }
    }
}

fn main() {
    let given = std::env::var_os("PHASEGATE_LAYERS");
    let open = || std::fs::File::open(given.as_ref().unwrap()).unwrap();
    let (diff_id, alone) = if given.is_some() { digest(open()) } else { digest(Layer::new()) };
    let before = peak_kib();
    let begun = Instant::now();
    let scanned = if given.is_some() {
        scan(&mut open(), &Wanted::default())
    } else {
        scan(&mut image(&diff_id), &Wanted::default())
    }
    .unwrap();
    let took = begun.elapsed().as_secs_f64();
    let megabytes = scanned.bytes() as f64 / 1e6;
    println!("layers={} files={} bytes={}", scanned.layers.len(), scanned.files(), scanned.bytes());
    println!("findings={}", scanned.findings.len() as u64 + scanned.more);
    println!(
        "scan: {:.0} MB/s; making and digest alone: {:.0} MB/s; ratio {:.1}",
        megabytes / took,
        megabytes / alone,
        took / alone
    );
    println!(
        "peak memory of the process: {:.1} MiB, {:.1} MiB before the scan",
        peak_kib() as f64 / 1024.0,
        before as f64 / 1024.0
    );
}
