#![no_main]

#[path = "../../tests/invariants/mod.rs"]
#[allow(dead_code, reason = "each target runs one of them")]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::plan::holds(bytes));
