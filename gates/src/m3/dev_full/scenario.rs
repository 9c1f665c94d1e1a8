//! The formulas of P1: `config_digest` (profile `m3b_seed_formula_v1`) and `scenario_run_id`.
//!
//! Both are SHA-256 over canonical JSON. Every mode is the registry's; one that is not known here is never replaced
//! by a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::evidence::{canonical, digest};
use support::registry::Handles;

/// The profile of `config_digest`, as the plan's baseline continuity law names it.
pub(super) const DIGEST_PROFILE: &str = "m3b_seed_formula_v1";

pub(super) const ALGORITHM: &str = "CONFIG_DIGEST_ALGO";
pub(super) const DIGEST_FIELD: &str = "CONFIG_DIGEST_FIELD";
pub(super) const CANONICALISATION: &str = "SCENARIO_EQUIVALENCE_KEY_CANONICALIZATION_MODE";
pub(super) const EQUIVALENCE_INPUT: &str = "SCENARIO_EQUIVALENCE_KEY_INPUT";
pub(super) const CANONICAL_FIELDS: &str = "SCENARIO_EQUIVALENCE_KEY_CANONICAL_FIELDS";
pub(super) const DERIVATION: &str = "SCENARIO_RUN_ID_DERIVATION_MODE";

/// The values of the modes that this version carries out.
pub(super) const KNOWN_MODES: [(&str, &str); 4] = [
    (ALGORITHM, "sha256"),
    (CANONICALISATION, "json_sorted_keys_v1"),
    (EQUIVALENCE_INPUT, "sha256(canonical_json_v1)"),
    (DERIVATION, "deterministic_hash_v1"),
];

/// The one value of a mode that this version carries out.
pub(super) fn known(handle: &str) -> &'static str {
    KNOWN_MODES.iter().find(|(known, _)| *known == handle).map_or("-", |(_, mode)| mode)
}

/// The modes as the registry pins them; what has no value says why.
pub(super) fn modes(handles: &Handles) -> BTreeMap<String, Result<String, String>> {
    KNOWN_MODES.iter().map(|(handle, _)| ((*handle).to_owned(), text(handles, handle))).collect()
}

/// The first mode that is not the one known here, in words.
pub(super) fn unknown_mode(modes: &BTreeMap<String, Result<String, String>>) -> Option<String> {
    KNOWN_MODES.iter().find_map(|(handle, known)| match modes.get(*handle) {
        Some(Ok(mode)) if mode == known => None,
        Some(Ok(mode)) => Some(format!("{handle} is `{mode}`, and `{known}` is known")),
        Some(Err(why)) => Some(why.clone()),
        None => Some(format!("{handle} was not read")),
    })
}

/// What the registry says about the oracle's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Oracle {
    pub source_namespace: String,
    pub engine_run_id: String,
    /// In the registry's order, which the digest covers.
    pub required_output_ids: Vec<String>,
    /// Of the required outputs only.
    pub sort_key_by_output_id: BTreeMap<String, String>,
}

impl Oracle {
    /// # Errors
    /// In words: a handle without a usable value, or a required output without sort key.
    pub(super) fn read(handles: &Handles) -> Result<Self, String> {
        let ids = handles.resolve("ORACLE_REQUIRED_OUTPUT_IDS").map_err(|e| e.to_string())?;
        let required: Vec<String> = ids.texts().map_err(|e| e.to_string())?.into_iter().map(str::to_owned).collect();
        if required.is_empty() {
            return Err(format!("ORACLE_REQUIRED_OUTPUT_IDS is empty ({})", ids.origin));
        }
        let keys = handles.resolve("ORACLE_SORT_KEY_BY_OUTPUT_ID").map_err(|e| e.to_string())?;
        let mut sort_key_by_output_id = BTreeMap::new();
        for id in &required {
            let key = keys.value.get(id).and_then(Value::as_str).filter(|key| !key.trim().is_empty());
            let key =
                key.ok_or_else(|| format!("ORACLE_SORT_KEY_BY_OUTPUT_ID has no sort key for {id} ({})", keys.origin))?;
            if sort_key_by_output_id.insert(id.clone(), key.to_owned()).is_some() {
                return Err(format!("ORACLE_REQUIRED_OUTPUT_IDS names {id} twice ({})", ids.origin));
            }
        }
        Ok(Self {
            source_namespace: text(handles, "ORACLE_SOURCE_NAMESPACE")?,
            engine_run_id: text(handles, "ORACLE_ENGINE_RUN_ID")?,
            required_output_ids: required,
            sort_key_by_output_id,
        })
    }

    /// The tokens with which the registry's path patterns are filled.
    pub(super) fn tokens(&self) -> [(&str, &str); 2] {
        [("oracle_source_namespace", &self.source_namespace), ("oracle_engine_run_id", &self.engine_run_id)]
    }
}

/// What `config_digest` covers: the profile's six keys.
///
/// # Errors
/// In words: a handle without a usable value.
pub(super) fn digest_input(handles: &Handles) -> Result<Value, String> {
    let oracle = Oracle::read(handles)?;
    Ok(json!({
        "algo": text(handles, ALGORITHM)?,
        "oracle_engine_run_id": oracle.engine_run_id,
        "oracle_required_output_ids": oracle.required_output_ids,
        "oracle_sort_key_by_output_id": oracle.sort_key_by_output_id,
        "oracle_source_namespace": oracle.source_namespace,
        "scenario_mode": text(handles, DERIVATION)?,
    }))
}

/// The object that `scenario_run_id` is the digest of: exactly the keys that the registry lists, from `values`.
///
/// # Errors
/// In words: a listed field that has no value here, or a list that is empty or names one twice.
pub(super) fn equivalence_object(listed: &str, values: &Map<String, Value>) -> Result<Value, String> {
    let mut object = Map::new();
    for field in listed.split(',').map(str::trim) {
        let value = values
            .get(field)
            .ok_or_else(|| format!("{CANONICAL_FIELDS} names `{field}`, which no step of P1 makes"))?;
        if object.insert(field.to_owned(), value.clone()).is_some() {
            return Err(format!("{CANONICAL_FIELDS} names `{field}` twice"));
        }
    }
    Ok(Value::Object(object))
}

/// `scenario_` and the first 32 hex digits of a digest.
pub(super) fn scenario_run_id(digest: &str) -> String {
    format!("scenario_{}", digest.get(..32).unwrap_or(digest))
}

/// SHA-256, by the canonicaliser that artifacts are written with.
pub(super) fn digest_of(value: &Value) -> Result<String, String> {
    canonical::to_bytes(value).map(|bytes| digest::sha256_hex(&bytes)).map_err(|e| e.to_string())
}

/// SHA-256, by the other canonicaliser: for recomputing.
pub(super) fn digest_of_again(value: &Value) -> Result<String, String> {
    canonical::sorted_keys_v1(value).map(|bytes| digest::sha256_hex(&bytes)).map_err(|e| e.to_string())
}

/// A handle's value as text.
///
/// # Errors
/// In words.
pub(super) fn text(handles: &Handles, handle: &str) -> Result<String, String> {
    let resolved = handles.resolve(handle).map_err(|e| e.to_string())?;
    resolved.text().map(str::to_owned).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::path::Path;
    use support::registry;

    const REGISTRY: &str = "\
* `CONFIG_DIGEST_ALGO = \"sha256\"`
* `SCENARIO_RUN_ID_DERIVATION_MODE = \"deterministic_hash_v1\"`
* `ORACLE_SOURCE_NAMESPACE = \"made\"`
* `ORACLE_ENGINE_RUN_ID = \"0a\"`
* `ORACLE_REQUIRED_OUTPUT_IDS = [\"b\",\"a\"]`
* `ORACLE_SORT_KEY_BY_OUTPUT_ID = {\"a\":\"ts\",\"b\":\"ts\",\"c\":\"unused\"}`
";

    fn handles(text: &str) -> Handles {
        Handles::new(registry::parse(Path::new("registry.md"), text).registry)
    }

    #[test]
    fn the_digest_covers_the_six_keys_of_the_profile_in_canonical_form() {
        let input = digest_input(&handles(REGISTRY)).unwrap();
        let bytes = canonical::sorted_keys_v1(&input).unwrap();
        let expected = r#"{"algo":"sha256","oracle_engine_run_id":"0a","oracle_required_output_ids":["b","a"],"oracle_sort_key_by_output_id":{"a":"ts","b":"ts"},"oracle_source_namespace":"made","scenario_mode":"deterministic_hash_v1"}"#;
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        assert_eq!(digest_of(&input), digest_of_again(&input));
    }

    #[rstest]
    #[case("[\"b\",\"a\"]", "[\"a\",\"b\"]")]
    #[case("\"a\":\"ts\"", "\"a\":\"other\"")]
    #[case("= \"0a\"", "= \"0b\"")]
    #[case("\"made\"", "\"other\"")]
    fn every_change_gives_another_digest(#[case] find: &str, #[case] replace: &str) {
        let changed = REGISTRY.replace(find, replace);
        assert_ne!(changed, REGISTRY);
        let digest = |text: &str| digest_of(&digest_input(&handles(text)).unwrap()).unwrap();
        assert_ne!(digest(&changed), digest(REGISTRY));
    }

    #[rstest]
    #[case("\"c\":\"unused\"", "\"c\":\"changed\"", None)]
    #[case("\"b\":\"ts\",", "", Some("no sort key for b"))]
    #[case("[\"b\",\"a\"]", "[]", Some("is empty"))]
    #[case("[\"b\",\"a\"]", "[\"a\",\"a\"]", Some("names a twice"))]
    #[case("* `ORACLE_ENGINE_RUN_ID = \"0a\"`\n", "", Some("ORACLE_ENGINE_RUN_ID"))]
    fn what_is_missing_has_no_digest(#[case] find: &str, #[case] replace: &str, #[case] says: Option<&str>) {
        let changed = REGISTRY.replace(find, replace);
        assert_ne!(changed, REGISTRY);
        match (digest_input(&handles(&changed)), says) {
            (Ok(input), None) => assert_eq!(input, digest_input(&handles(REGISTRY)).unwrap()),
            (Err(why), Some(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case("x,y", Ok(json!({"x": 1, "y": [2]})))]
    #[case(" y ", Ok(json!({"y": [2]})))]
    #[case("x,z", Err("names `z`, which no step"))]
    #[case("", Err("names ``"))]
    #[case("x,x", Err("names `x` twice"))]
    fn the_equivalence_object_has_exactly_the_listed_keys(#[case] listed: &str, #[case] is: Result<Value, &str>) {
        let values = json!({"x": 1, "y": [2], "w": 3});
        match (equivalence_object(listed, values.as_object().unwrap()), is) {
            (Ok(object), Ok(expected)) => assert_eq!(object, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}
