//! SHA-256 digests, the only digests that phasegate writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// SHA-256 of `bytes`, as 64 lower-case hex digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A digest that a store keeps in base64, as hex digits.
///
/// # Errors
/// When it is not base64.
pub fn hex_of_base64(text: &str) -> Result<String, base64::DecodeError> {
    STANDARD.decode(text).map(hex::encode)
}

#[cfg(test)]
mod tests {
    use super::sha256_hex;

    #[test]
    fn agrees_with_the_published_vector_for_abc() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
