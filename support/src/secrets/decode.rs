//! One layer of base64 or of URL encoding, removed wherever it may be.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use regex::Regex;

/// A decoded stretch shorter than this holds no secret that the rules know.
const SHORTEST_STRETCH: usize = 8;

/// Takes base64 with and without padding, and ends that were cut.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A text that was found below one layer of encoding, and the byte offset where its encoded form begins.
pub(super) struct Layer {
    pub(super) offset: usize,
    pub(super) text: String,
}

/// The patterns that find encoded runs. Loaded with the rule book, so that a mistake in them is an error at load.
#[derive(Debug)]
pub(crate) struct Decoder {
    base64_run: Regex,
    percent_run: Regex,
}

impl Decoder {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            // Lines of wrapped base64 belong to one run.
            base64_run: Regex::new(r"[A-Za-z0-9+/_-]{11,}(?:\r?\n[A-Za-z0-9+/_-]+)*")?,
            percent_run: Regex::new(r"\S*%[0-9A-Fa-f]{2}\S*")?,
        })
    }

    /// Every text that stands below one layer of encoding somewhere in `text`.
    pub(super) fn layers(&self, text: &str) -> Vec<Layer> {
        let mut layers = Vec::new();
        for run in self.base64_run.find_iter(text) {
            let readable = base64_readings(run.as_str());
            layers.extend(readable.into_iter().map(|text| Layer { offset: run.start(), text }));
        }
        for run in self.percent_run.find_iter(text) {
            let decoded = percent_decode_str(run.as_str()).decode_utf8_lossy().into_owned();
            // In forms a blank is written as a plus sign.
            if decoded.contains('+') {
                let text = percent_decode_str(&run.as_str().replace('+', " ")).decode_utf8_lossy().into_owned();
                layers.push(Layer { offset: run.start(), text });
            }
            layers.push(Layer { offset: run.start(), text: decoded });
        }
        layers
    }
}

/// The whole of `text` read as base64 of either alphabet, if it is that.
fn base64_whole(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(to_standard(text.as_bytes())).ok()
}

fn to_standard(run: &[u8]) -> Vec<u8> {
    run.iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect()
}

/// What a run says when it is read as base64 from each of the four places where a group may begin: the run may go on from
/// text that only looks like base64.
pub(crate) fn base64_readings(run: &str) -> Vec<String> {
    let standard = to_standard(run.as_bytes());
    let mut readings = Vec::new();
    for start in 0..4 {
        let Some(from_start) = standard.get(start..) else {
            continue;
        };
        // One character alone is less than a byte.
        let end = from_start.len() - usize::from(from_start.len() % 4 == 1);
        let Some(whole) = from_start.get(..end) else {
            continue;
        };
        if let Ok(bytes) = LENIENT.decode(whole) {
            readings.extend(stretches(&bytes));
        }
    }
    readings
}

/// The stretches of readable text among bytes.
fn stretches(bytes: &[u8]) -> Vec<String> {
    bytes
        .utf8_chunks()
        .flat_map(|chunk| chunk.valid().split(is_unreadable))
        .filter(|stretch| stretch.len() >= SHORTEST_STRETCH)
        .map(str::to_owned)
        .collect()
}

fn is_unreadable(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

/// `name:word`, as basic authorization encodes it.
pub(super) fn is_basic_credentials(text: &str) -> bool {
    let Some(decoded) = base64_whole(text) else {
        return false;
    };
    let Ok(decoded) = String::from_utf8(decoded) else {
        return false;
    };
    !decoded.contains(char::is_control) && decoded.split_once(':').is_some_and(|(_, word)| !word.is_empty())
}
