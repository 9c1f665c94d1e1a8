use super::*;
use rstest::rstest;

#[rstest]
#[case("Service/runtime reset:", "service_runtime_reset")]
#[case("Checkpoint reset:", "checkpoint_reset")]
#[case("Data replay reset:", "data_replay_reset")]
#[case(" -- ", "")]
fn a_label_becomes_a_name(#[case] label: &str, #[case] name: &str) {
    assert_eq!(slug(label), name);
}

#[rstest]
#[case("service/runtime reset,", Some("service_runtime_reset"))]
#[case("checkpoint reset (only where policy exists),", Some("checkpoint_reset"))]
#[case("data replay reset from committed replay basis.", Some("data_replay_reset"))]
#[case("data replay reset, off a committed replay basis.", Some("data_replay_reset"))]
#[case("permitted reset classes are:", None)]
#[case("local ad-hoc input replay is prohibited.", None)]
#[case("input that somebody has lying around is never replayed.", None)]
fn a_clause_names_a_class_or_none(#[case] clause: &str, #[case] name: Option<&str>) {
    assert_eq!(class_in(clause).as_deref(), name);
}

#[test]
fn classes_stand_below_their_heading_and_end_with_it() {
    let text = "# 6\n## 6.2 Mandatory reset classes\r\n\n1. **A/b reset:** words.\r\n2. plain\n3. **C reset:**\n\n## 6.3\n1. **D reset:** no\n";
    let names: Vec<String> = classes_below(text, 2).into_iter().map(|class| class.name).collect();
    assert_eq!(names, ["a_b_reset", "c_reset"]);
}

#[rstest]
#[case("compare current `platform_run_id/scenario_run_id/config_digest` vs others", Ok(vec!["platform_run_id", "scenario_run_id", "config_digest"]))]
#[case("receipts include actor/timestamp/reason/class/scope", Ok(vec!["actor", "timestamp", "reason", "class", "scope"]))]
#[case("has actor and/or reason", Err("0 lists"))]
#[case("a/b/c or d/e/f", Err("2 lists"))]
#[case("a//c", Err("1 lists"))]
fn a_row_has_one_slashed_list(#[case] text: &str, #[case] is: Result<Vec<&str>, &str>) {
    match (slashed(text), is) {
        (Ok(names), Ok(expected)) => assert_eq!(names, expected),
        (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
        (other, _) => panic!("{other:?}"),
    }
}
