//! What must be true of the text of every workflow, whoever edits it.

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::Value;

use super::document::{PACKAGING, PHASE_GATE, Workflow, list, words};

fn is_pinned(uses: &str) -> bool {
    uses.split_once('@').is_some_and(|(_, commit)| {
        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// The rights of a job: `contents: read`, as `contents=read`.
fn rights(job: &Value) -> Vec<String> {
    words(&job["permissions"]).into_iter().map(|(name, right)| format!("{name}={right}")).collect()
}

#[test]
fn what_is_used_is_pinned_by_commit_and_named_by_version() {
    let mut commits: BTreeMap<String, String> = BTreeMap::new();
    for workflow in Workflow::all() {
        for step in workflow.steps() {
            assert!(step.script().is_some() != step.uses().is_some(), "{}", step.place());
            let Some(uses) = step.uses() else { continue };
            assert!(is_pinned(uses), "{}: {uses}", step.place());
            let line = workflow.text.lines().find(|line| line.contains(uses)).unwrap();
            let (_, version) = line.split_once(" # v").unwrap_or_else(|| panic!("{uses} has no version beside it"));
            assert!(version.split('.').count() == 3 && version.split('.').all(|n| n.parse::<u32>().is_ok()), "{line}");
            let (action, _) = uses.split_once('@').unwrap();
            let known = commits.entry(action.to_owned()).or_insert_with(|| uses.to_owned());
            assert_eq!(known, uses, "one action at two commits");
        }
    }
    assert!(commits.len() >= 7, "{commits:?}");
    assert!(!is_pinned("actions/checkout@v4") && !is_pinned("actions/checkout"));
}

#[test]
fn no_expression_reaches_a_shell() {
    for workflow in Workflow::all() {
        for step in workflow.run_steps() {
            let script = step.script().unwrap();
            assert!(!script.contains("${{"), "{}: an expression is a text of somebody else", step.place());
            assert!(!script.contains("eval "), "{}", step.place());
            assert_eq!(step.shell(), Some("bash"), "{}", step.place());
        }
        assert!(!workflow.text.contains("zizmor: ignore"), "{}: mend it instead", workflow.file);
    }
}

#[test]
fn every_job_has_an_end_and_the_least_rights() {
    for workflow in Workflow::all() {
        assert!(workflow.tree["permissions"].as_mapping().unwrap().is_empty(), "{}", workflow.file);
        assert!(workflow.tree["concurrency"]["group"].is_string(), "{}", workflow.file);
        let mut names = BTreeSet::new();
        for (name, job) in workflow.jobs() {
            assert!(job["timeout-minutes"].as_u64().is_some_and(|minutes| minutes <= 120), "{name}");
            assert!(job.get("continue-on-error").is_none() && job.get("secrets").is_none(), "{name}");
            assert!(job["permissions"].is_mapping(), "{name} says not which rights it has");
        }
        for step in workflow.steps() {
            assert!(step.tree.get("continue-on-error").is_none(), "{}", step.place());
            assert!(names.insert(step.place()), "{} is there twice", step.place());
            let takes_role = step.uses().is_some_and(|uses| uses.contains("configure-aws-credentials"));
            let by_key = step.tree["with"].as_mapping().is_some_and(|with| with.contains_key("aws-access-key-id"));
            assert!(!by_key && (!takes_role || step.tree["with"]["role-to-assume"].is_string()), "{}", step.place());
        }
        assert!(!workflow.text.contains("secrets."), "{}: rights come from OIDC alone", workflow.file);
    }
    let read = "contents=read".to_owned();
    let token = "id-token=write".to_owned();
    let packaging = Workflow::read(PACKAGING);
    let jobs: BTreeMap<&str, Vec<String>> =
        packaging.jobs().into_iter().map(|(name, job)| (name, rights(job))).collect();
    let attests = vec!["attestations=write".to_owned(), token.clone()];
    assert_eq!(jobs, BTreeMap::from([("attest", attests), ("packaging", vec![read.clone(), token.clone()])]));
    for (name, job) in Workflow::read(PHASE_GATE).jobs() {
        let wanted = match name {
            "gate" => vec![],
            "preflight" | "commit" => vec![read.clone(), token.clone()],
            _ => vec![read.clone()],
        };
        assert_eq!(rights(job), wanted, "{name}");
    }
}

/// An output that nobody writes is an empty text, and no error on GitHub.
#[test]
fn every_output_that_is_read_is_written() {
    let mut read = 0;
    for workflow in Workflow::all() {
        let steps = workflow.steps();
        for (name, job) in workflow.jobs() {
            // Its `if` at the job's level reads no steps.
            let text = yaml_serde::to_string(job).unwrap();
            for (id, output) in references(&text, "steps.") {
                let found = steps.iter().find(|step| step.place().job == name && step.id() == Some(id));
                let step = found.unwrap_or_else(|| panic!("{name} reads steps.{id}, which is not there"));
                let script = step.script().unwrap_or_else(|| panic!("steps.{id} is no script of ours"));
                let writes =
                    script.contains(&format!("echo '{output}=")) || script.contains(&format!("echo \"{output}="));
                assert!(writes, "{}: {output} is read and never written", step.place());
                read += 1;
            }
            for (other, output) in references(&text, "needs.") {
                let jobs = &workflow.tree["jobs"];
                assert!(jobs[other]["outputs"][output].is_string(), "{name} reads {output} of {other}");
                assert!(list(&job["needs"]).iter().any(|need| need == other), "{name} does not wait for {other}");
                read += 1;
            }
        }
    }
    assert!(read >= 15, "only {read} were found");
}

/// `<context><name>.outputs.<output>` of a text.
fn references<'t>(text: &'t str, context: &str) -> Vec<(&'t str, &'t str)> {
    let word = |text: &'t str| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next();
    let after = text.split(context).skip(1);
    after
        .filter_map(|rest| {
            let (name, rest) = rest.split_once('.')?;
            Some((name, word(rest.strip_prefix("outputs.")?)?))
        })
        .collect()
}

#[test]
fn the_packaging_is_started_by_a_person_alone_and_attests_only_what_succeeded() {
    let workflow = Workflow::read(PACKAGING);
    let starts: Vec<&str> = workflow.tree["on"].as_mapping().unwrap().keys().map(|on| on.as_str().unwrap()).collect();
    assert_eq!(starts, ["workflow_dispatch"]);
    let inputs = workflow.tree["on"]["workflow_dispatch"]["inputs"].as_mapping().unwrap();
    let required = inputs.iter().filter(|(_, input)| input["required"].as_bool() == Some(true));
    let required: Vec<&str> = required.map(|(name, _)| name.as_str().unwrap()).collect();
    let wanted = ["platform_run_id", "aws_region", "aws_role_to_assume", "ecr_repo_name", "ecr_repo_uri"];
    assert_eq!(required, wanted);
    let by_hand = &Workflow::read(PHASE_GATE).tree["on"]["workflow_dispatch"]["inputs"]["gate"];
    assert_eq!(by_hand["required"].as_bool(), Some(true));
    assert_eq!(inputs["push_convenience_tag"]["default"].as_bool(), Some(false));
    let packaging = &workflow.tree["jobs"]["packaging"];
    let outputs: Vec<String> = words(&packaging["outputs"]).into_keys().collect();
    assert_eq!(outputs, ["build_actor", "ci_run_id", "git_sha", "image_digest", "image_tag"]);
    let attest = &workflow.tree["jobs"]["attest"];
    assert_eq!(list(&attest["needs"]), ["packaging"]);
    assert!(attest.get("if").is_none() && packaging.get("if").is_none(), "a job that does not wait for success");
}

/// auth → build → push → digest, nothing before the keys were refused, and no foreign build after a role was assumed.
#[test]
fn the_packaging_goes_its_way_in_order() {
    let workflow = Workflow::read(PACKAGING);
    let steps = workflow.steps();
    let order = [
        "refuse static AWS keys",
        "check what was asked",
        "take the platform's sources",
        "take phasegate",
        "the Dockerfile is there",
        "build the gate",
        "assume the role by OIDC",
        "log in to ECR",
        "build the image",
        "refuse a tag that stands for another image",
        "push the immutable tag",
        "resolve the digest",
        "push the convenience tag",
        "leave the outputs",
        "the gate of M1",
        "gather the evidence pack",
        "upload the evidence pack",
        "upload the verdict and its cases",
        "its cases, beside the lines of the plan",
    ];
    let names: Vec<String> = steps
        .iter()
        .map(|step| step.place())
        .filter(|place| place.job == "packaging")
        .map(|place| place.name)
        .collect();
    assert_eq!(names, order);
    for step in &steps {
        let place = step.place();
        let wanted = match place.name.as_str() {
            "push the immutable tag" => Some("steps.tag.outputs.there == 'false'"),
            "push the convenience tag" => Some("inputs.push_convenience_tag"),
            name if order[15..].contains(&name) => Some("always()"),
            _ => None,
        };
        assert_eq!(step.condition(), wanted, "{place}");
    }
    assert!(!workflow.text.contains("github.event.inputs"), "inputs have one name");
}

/// The required job may not be skipped, forgets no job, and is not left out by paths.
#[test]
fn the_required_job_runs_always_and_needs_every_other_one() {
    let workflow = Workflow::read(PHASE_GATE);
    let on = workflow.tree["on"].as_mapping().unwrap();
    let starts: Vec<&str> = on.keys().map(|on| on.as_str().unwrap()).collect();
    assert_eq!(starts, ["pull_request", "push", "workflow_dispatch"]);
    for filter in ["paths", "paths-ignore", "branches", "branches-ignore", "types"] {
        assert!(on["pull_request"].get(filter).is_none(), "a pull request may be left out by {filter}");
    }
    assert_eq!(list(&on["push"]["branches"]), ["main"]);
    let jobs = workflow.jobs();
    let gate = &workflow.tree["jobs"]["gate"];
    assert_eq!(gate["if"].as_str(), Some("always()"));
    let needed: BTreeSet<String> = list(&gate["needs"]).into_iter().collect();
    let others: BTreeSet<String> =
        jobs.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != "gate").collect();
    assert_eq!(needed, others, "a job that the required one does not need can fail unseen");
    let results = workflow.step("gate", "every job before this one ended as it must").env()["RESULTS"].clone();
    for job in &others {
        let asked = format!("{job}=${{{{ needs.{job}.result }}}}");
        assert!(results.split(' ').collect::<Vec<_>>().join(" ").contains(&asked), "the result of {job} is not read");
        let conditional = workflow.tree["jobs"][job.as_str()].get("if").is_some();
        assert_eq!(conditional, job == "commit", "{job} may be skipped");
    }
    // A gate that holds hides no other, and what is handed on is waited for.
    for job in ["rehearsal", "preflight"] {
        let job = &workflow.tree["jobs"][job];
        assert_eq!(
            (list(&job["needs"]), job["strategy"]["fail-fast"].as_bool()),
            (vec!["build".to_owned()], Some(false))
        );
    }
    for step in workflow.steps().iter().filter(|step| step.place().job == "gate") {
        assert_eq!(step.condition(), None, "{} may be skipped", step.place());
    }
}

#[test]
fn aws_is_written_only_by_the_job_that_a_person_approves() {
    let workflow = Workflow::read(PHASE_GATE);
    let commit = &workflow.tree["jobs"]["commit"];
    assert_eq!(commit["if"].as_str(), Some("github.event_name == 'workflow_dispatch'"));
    assert_eq!(commit["environment"].as_str(), Some("phase-commit"));
    assert_eq!(list(&commit["needs"]), ["landing", "build", "rehearsal", "preflight"]);
    for step in workflow.run_steps() {
        let env = step.env();
        let substrate = env.get("PHASEGATE_SUBSTRATE").map(String::as_str);
        let mode = env.get("PHASEGATE_MODE").map(String::as_str);
        let wanted = match step.place().job.as_str() {
            "commit" if step.place().name == "commit the gate to AWS" => (Some("aws"), Some("commit")),
            "preflight" if step.place().name == "preflight the gate against AWS" => (Some("aws"), Some("preflight")),
            _ => (None, None),
        };
        assert_eq!((substrate, mode), wanted, "{}", step.place());
    }
    let says = "steps.role.outputs.outcome == 'asked'";
    for step in workflow.steps().iter().filter(|step| step.place().job == "preflight") {
        let condition = step.condition().unwrap_or("");
        assert_eq!(condition.ends_with(says), step.id() != Some("role"), "{}", step.place());
    }
}

/// The places in which a gate is named.
#[test]
fn every_gate_is_built_rehearsed_preflighted_and_judged() {
    let workflow = Workflow::read(PHASE_GATE);
    let jobs = &workflow.tree["jobs"];
    let gates = list(&jobs["rehearsal"]["strategy"]["matrix"]["gate"]);
    // M1 is committed by the packaging workflow, and a preflight of it needs an image that is pushed; what M4 asks answers in the VPC alone.
    let elsewhere = |gate: &&String| gate.starts_with("m1-") || gate.starts_with("m4-");
    let asked_of_aws: Vec<String> = gates.iter().filter(|gate| !elsewhere(gate)).cloned().collect();
    assert!(gates.len() >= 4 && asked_of_aws.len() == gates.len() - 2, "{gates:?}");
    assert_eq!(list(&jobs["preflight"]["strategy"]["matrix"]["gate"]), asked_of_aws);
    assert_eq!(list(&workflow.tree["on"]["workflow_dispatch"]["inputs"]["gate"]["options"]), asked_of_aws);
    let judged = workflow.step("gate", "every verdict is there, and complete").env();
    assert_eq!(judged["REHEARSED"].split(' ').collect::<Vec<_>>(), gates);
    assert_eq!(judged["PREFLIGHTED"].split(' ').collect::<Vec<_>>(), asked_of_aws);
    let registry = workflow.step("rehearsal", "have a registry for images");
    assert_eq!(registry.condition(), Some("matrix.gate == 'm1-dev_min'"));
    let phases: BTreeSet<&str> = gates.iter().map(|gate| gate.split_once('-').unwrap().0).collect();
    let build = workflow.step("build", "build the gates once");
    let handed = workflow.step("build", "hand the executables on").env()["EXECUTABLES"].clone();
    let handed: BTreeSet<&str> = handed.split(' ').collect();
    assert_eq!(handed, phases.iter().copied().chain(["phasegate"]).collect());
    for phase in phases {
        assert!(build.script().unwrap().split(' ').collect::<Vec<_>>().windows(2).any(|two| two == ["--test", phase]));
    }
}

/// What they are given stands in `given`; here: that evidence and cases are left, whatever came of the steps before.
#[test]
fn trap_07_what_a_gate_left_is_uploaded_and_read_always() {
    let workflows = Workflow::all();
    let steps = workflows.iter().flat_map(Workflow::steps);
    let last: Vec<_> = steps
        .filter(|step| step.uses().is_some_and(|uses| uses.contains("junit") || uses.contains("upload-artifact")))
        .filter(|step| step.place().job != "build")
        .collect();
    assert_eq!(last.len(), 9);
    for step in last {
        assert!(step.condition().is_some_and(|condition| condition.starts_with("always()")), "{}", step.place());
    }
}
