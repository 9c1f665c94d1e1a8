//! M4.E: how each daemon is launched: for this run, from M1's image, with its secrets by reference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};
use support::run::publication::{Publication, durable, non_secret};
use support::secrets;
use support::substrate::reply::CallErrorKind;

use super::deployed::Deployed;
use super::{a_handle_closure, c_identity, files, packs};

pub(super) const SNAPSHOT: &str = "m4_e_launch_contract_snapshot.json";

/// What each daemon must be launched with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Contract {
    /// The variable of the run's scope.
    pub env_key: String,
    /// The run.
    pub platform_run_id: String,
    /// M1's image: repository, tag and digest, by the handoff of M3.
    pub repository: String,
    pub image_tag: String,
    pub image_digest: String,
    /// What ECR says that the tag stands for now.
    pub tag_stands_for: Option<String>,
    /// By service: the paths of the Parameter Store that its role is there to read, by handle.
    pub references: BTreeMap<String, BTreeMap<String, String>>,
    /// Hits of the secret scan in plain variables, by service, container and variable; never a value.
    pub leaks: Vec<String>,
}

impl Contract {
    /// Whether an image reference is M1's image.
    fn is_image(&self, image: &str) -> Result<(), String> {
        let (name, digest) = match image.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (image, None),
        };
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match name.get(slash..).and_then(|last| last.find(':')).map(|at| slash + at) {
            Some(colon) => (name.get(..colon).unwrap_or(name), name.get(colon + 1..)),
            None => (name, None),
        };
        if path != self.repository {
            return Err(format!("is of {path}, and M1's image is of {}", self.repository));
        }
        match (digest, tag) {
            (Some(digest), _) if digest == self.image_digest => Ok(()),
            (Some(digest), _) => Err(format!("is {digest}, and M1's image is {}", self.image_digest)),
            (None, Some(tag)) if tag == self.image_tag => match self.tag_stands_for.as_deref() {
                Some(is) if is == self.image_digest => Ok(()),
                Some(is) => {
                    Err(format!("is {tag}, which stands for {is} now, and M1's image is {}", self.image_digest))
                }
                None => Err(format!("is {tag}, of which ECR knows nothing")),
            },
            (None, tag) => {
                Err(format!("is tagged {}, and M1's immutable tag is {}", tag.unwrap_or("not at all"), self.image_tag))
            }
        }
    }
}

static SCOPED: Check<(Contract, Deployed)> = Check::<(Contract, Deployed)>::new(
    "launch.scoped",
    "M4E-B1",
    &["contract", "M4.C/deployed"],
    |(contract, deployed)| {
        let mut containers = 0;
        for service in packs::services() {
            // A service without a definition has no entry at all, which another check says.
            let Ok(definition) = deployed.definition(service) else { continue };
            for container in &definition.containers {
                containers += 1;
                let at = format!("{service}: container {} of {}", container.name, definition.arn);
                ensure!(
                    !container.secrets.contains_key(&contract.env_key),
                    "{at} takes {} from the Parameter Store, where it can change",
                    contract.env_key
                );
                match container.environment.get(&contract.env_key) {
                    None => return Err(Unmet::from(format!("{at} has no variable {}", contract.env_key))),
                    Some(value) => ensure!(
                        *value == contract.platform_run_id,
                        "{at} has {}={value}, and the run is {}",
                        contract.env_key,
                        contract.platform_run_id
                    ),
                }
            }
        }
        ensure!(containers > 0, "no container was looked at");
        Ok(format!("{containers} containers, each with {}={}", contract.env_key, contract.platform_run_id))
    },
    |(contract, _)| contract.platform_run_id.push_str("_doctored"),
)
.next("register the task definition again with the run's id in the variable (Terraform: the demo stack with this platform_run_id)");

static COMPLETE: Check<(Contract, Deployed)> = Check::<(Contract, Deployed)>::new(
    "launch.complete",
    "M4E-B2",
    &["contract", "M4.C/deployed"],
    |(contract, deployed)| {
        for service in packs::services() {
            let definition = deployed.definition(service).map_err(Unmet::from)?;
            ensure!(definition.status == "ACTIVE", "{service}: {} is {}", definition.arn, definition.status);
            ensure!(!definition.containers.is_empty(), "{service}: {} has no container", definition.arn);
            for container in &definition.containers {
                let at = format!("{service}: container {} of {}", container.name, definition.arn);
                contract.is_image(&container.image).map_err(|why| Unmet::from(format!("{at}: its image {why}")))?;
                // `valueFrom` is read by the execution role, and the plan's reads no secret.
                let by_value_from = container.secrets.iter().find(|(variable, _)| **variable != contract.env_key);
                if let Some((variable, reference)) = by_value_from {
                    let why = format!(
                        "{at} takes {} from {reference} by `valueFrom`, which the execution role would have to read",
                        files::shown(variable)
                    );
                    return Err(Unmet::from(why)
                        .next("give the container the path in a variable; its task role reads the value"));
                }
                ensure!(
                    !container.restarted_in_place,
                    "{at} is started again within its task when it ends (restartPolicy), so that nobody sees that it crashes"
                );
                ensure!(
                    container.environment_files.is_empty(),
                    "{at} reads variables from {}, which nobody checks",
                    container.environment_files.join(", ")
                );
            }
            let values = || definition.containers.iter().flat_map(|container| container.environment.values());
            for (handle, path) in contract.references.get(service).into_iter().flatten() {
                ensure!(
                    values().any(|value| value == path),
                    "{service}: no variable of {} is {path}, the path of {handle} that it needs",
                    definition.arn
                );
            }
        }
        Ok(format!(
            "{} services, each from {} with its secrets by reference",
            deployed.services.len(),
            contract.image_digest
        ))
    },
    |(contract, _)| contract.image_digest = format!("sha256:{}", "0".repeat(64)),
)
.next("register a task definition for the service, of M1's image and with the paths of its secrets in variables");

static NO_SECRET: Check<Contract> = Check::<Contract>::new(
    "launch.no_secret",
    "M4E-B3",
    &["contract"],
    |contract| {
        let leaks: Vec<&str> = contract.leaks.iter().map(String::as_str).collect();
        ensure!(leaks.is_empty(), "a plain variable holds a secret: {}", leaks.join("; "));
        Ok("no plain variable holds a secret".to_owned())
    },
    |contract| contract.leaks.push("doctored".to_owned()),
)
.next("give the path of the value in a variable, for the task role to read, rotate the value, and register the task definition again");

static DURABLE: Check<Publication> =
    durable("launch.durable", "M4E-B4", &["publish:m4_e_launch_contract_snapshot.json"], |published| {
        published.durable(Some("M4E-B3"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret("launch.non_secret", "M4E-B3", &["publish:m4_e_launch_contract_snapshot.json"]).next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 3] = [&SCOPED, &COMPLETE, &NO_SECRET];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.E", execute)
        .after("M4.C")
        .asked_again()
        .publishes(publish)
        .proves("each daemon is launched for this run, from M1's image, with its secrets by reference")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement("run-scope-mapped", [SCOPED.holds(), COMPLETE.holds()])
        .requirement("run-scope-value", [SCOPED.holds(), SCOPED.refusal()])
        .requirement("launch-snapshot", [DURABLE.holds(), NON_SECRET.holds(), NO_SECRET.holds()])
}

/// `run_scope_enforced`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.E")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let entry = a_handle_closure::accepted(run)?;
    let deployed: Deployed = run.fact("M4.C/deployed")?;
    let of_image = |name: &str| {
        let value = entry.pack.as_ref().ok().and_then(|pack| pack.pointer(&format!("/image/{name}")));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (image_tag, image_digest) = (of_image("image_tag"), of_image("image_digest"));
    let repository = run.text("ECR_REPO_NAME")?;
    let tag_stands_for = match run.world()?.substrate.ecr().describe_image(&repository, &image_tag) {
        Ok(reply) => Some(reply.value.digest),
        Err(error) if error.kind == CallErrorKind::NotFound => None,
        Err(error) => {
            let call =
                format!("aws ecr describe-images --repository-name {repository} --image-ids imageTag={image_tag}");
            return Err(run.unanswered("contract", &call, error));
        }
    };
    let contract = Contract {
        env_key: run.text("REQUIRED_PLATFORM_RUN_ID_ENV_KEY")?,
        platform_run_id: entry.platform_run_id().unwrap_or_default(),
        repository: run.text("ECR_REPO_URI")?,
        image_tag,
        image_digest,
        tag_stands_for,
        references: c_identity::secrets_by_service(run)?,
        leaks: leaks(&deployed),
    };
    run.observe("contract", "M3's handoff; registry; ECR; the task definitions that M4.C read", &contract)
}

/// Where a plain variable holds a secret, by its name or by its value.
fn leaks(deployed: &Deployed) -> Vec<String> {
    let mut leaks = Vec::new();
    for (service, of_service) in &deployed.services {
        for container in of_service.definition.iter().flat_map(|definition| &definition.containers) {
            for (variable, value) in container.environment.iter().chain(&container.log_options) {
                let hits = secrets::scan_json(&json!({ variable: value })).into_iter().map(|hit| hit.rule);
                for rule in hits.chain(secrets::rule_of_named_value(variable, value)) {
                    leaks.push(format!(
                        "{service}, container {}, {} ({rule})",
                        files::shown(&container.name),
                        files::shown(variable)
                    ));
                }
            }
            for word in container.command.iter().chain(&container.entrypoint) {
                let named = word.trim_start_matches('-').split_once('=');
                let by_name = named.and_then(|(name, value)| secrets::rule_of_named_value(name, value));
                let hits = secrets::scan_bytes(word.as_bytes()).into_iter().map(|hit| hit.rule);
                for rule in hits.chain(by_name) {
                    leaks.push(format!("{service}, container {}, its command ({rule})", container.name));
                }
            }
        }
    }
    leaks.dedup();
    leaks
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let contract: Contract = run.fact("contract")?;
    let deployed: Deployed = run.fact("M4.C/deployed")?;
    let services: Vec<Value> = packs::services()
        .map(|handle| {
            let service = deployed.services.get(handle);
            let definition = service.and_then(|service| service.definition.as_ref());
            let containers: Vec<Value> = definition
                .iter()
                .flat_map(|definition| &definition.containers)
                .map(|container| {
                    json!({
                        "name": container.name,
                        "image": container.image,
                        "run_scope": container.environment.get(&contract.env_key),
                    })
                })
                .collect();
            json!({
                "service_handle": handle,
                "service_name": service.map(|service| service.name.as_str()),
                "task_definition": definition.map(|definition| definition.arn.as_str()),
                "containers": containers,
                "required_environment": { contract.env_key.as_str(): contract.platform_run_id },
                "secret_references": contract.references.get(handle),
            })
        })
        .collect();
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": contract.platform_run_id,
        "required_platform_run_id_env_key": contract.env_key,
        "image": { "image_tag": contract.image_tag, "image_digest": contract.image_digest },
        "services": services,
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    let fields = ["m4_execution_id", "platform_run_id", "required_platform_run_id_env_key", "services"];
    files::publish(run, SNAPSHOT, body, &fields)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const REPOSITORY: &str = "230372904534.dkr.ecr.eu-west-2.amazonaws.com/platform";

    #[rstest]
    #[case::by_digest("@sha256:1", None, Ok(()))]
    #[case::by_tag_and_digest(":git-1@sha256:1", None, Ok(()))]
    #[case::by_tag(":git-1", Some("sha256:1"), Ok(()))]
    #[case::by_a_tag_that_moved(":git-1", Some("sha256:2"), Err("stands for sha256:2 now"))]
    #[case::by_a_tag_that_is_gone(":git-1", None, Err("ECR knows nothing"))]
    #[case::by_another_digest("@sha256:2", Some("sha256:1"), Err("is sha256:2"))]
    #[case::by_a_tag_that_can_move(":dev-min-latest", Some("sha256:1"), Err("tagged dev-min-latest"))]
    #[case::by_nothing("", Some("sha256:1"), Err("not at all"))]
    #[case::of_another_repository("-other@sha256:1", None, Err("platform-other"))]
    fn an_image_is_m1s_by_its_digest(#[case] end: &str, #[case] tag: Option<&str>, #[case] is: Result<(), &str>) {
        let contract = Contract {
            env_key: "K".to_owned(),
            platform_run_id: "r".to_owned(),
            repository: REPOSITORY.to_owned(),
            image_tag: "git-1".to_owned(),
            image_digest: "sha256:1".to_owned(),
            tag_stands_for: tag.map(str::to_owned),
            references: BTreeMap::new(),
            leaks: Vec::new(),
        };
        match (contract.is_image(&format!("{REPOSITORY}{end}")), is) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (found, _) => panic!("{found:?}"),
        }
    }
}
