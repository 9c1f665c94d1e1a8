//! The scenario-equivalence contract: its handles and the modes that this code knows.

/// The handle that must not be a placeholder when M3 executes.
pub(super) const SCENARIO_INPUT: &str = "SCENARIO_EQUIVALENCE_KEY_INPUT";

/// How `scenario_run_id` will be derived, in P5.
pub(super) const DERIVATION_MODE: &str = "SCENARIO_RUN_ID_DERIVATION_MODE";

/// Further handles of the contract; a registry may leave them out, and then they are not recorded.
pub(super) const COMPANIONS: [&str; 2] =
    ["SCENARIO_EQUIVALENCE_KEY_CANONICAL_FIELDS", "SCENARIO_EQUIVALENCE_KEY_CANONICALIZATION_MODE"];

/// The one derivation mode that is known.
pub(super) const KNOWN_DERIVATION: &str = "deterministic_hash_v1";

/// The one canonicalisation that is known: keys sorted, no white space, arrays in order, UTF-8.
pub(super) const KNOWN_CANONICALISATION: &str = "json_sorted_keys_v1";

/// The one digest algorithm that is known.
pub(super) const KNOWN_DIGEST: &str = "sha256";
