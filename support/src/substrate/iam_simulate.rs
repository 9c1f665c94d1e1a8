//! Asking IAM what a role may do.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType as Said, Statement};
use serde::{Deserialize, Serialize};

use super::iam::Iam;
use super::link::Call;
use super::reply::{CallError, CallErrorKind, Reply};
use super::walk::Walk;

/// What IAM decides on one action on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyDecision {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

/// One action on one resource, as IAM simulates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    /// The action, as it was asked: `ssm:GetParameter`.
    pub action: String,
    /// The ARN of the resource.
    pub resource: String,
    /// What is decided.
    pub decision: PolicyDecision,
    /// The policies, by IAM's names for them, whose statements decide it; sorted.
    pub matched: Vec<String>,
    /// The context keys that conditions ask for and that were not given; sorted. Where there is one, the decision holds
    /// only for a request without it, and is no proof of what the role may not do.
    pub missing_context: Vec<String>,
}

impl Iam {
    /// What the role of this ARN may do, by its own policies: one answer for each action on each resource, in that order
    /// (`simulate-principal-policy`). Nothing is given as context, and every page is walked.
    ///
    /// # Errors
    /// `Unsupported` when the server cannot simulate, or cannot answer truly; `NotFound` when there is no such role;
    /// `Malformed` when a pair that was asked has no answer, or two; see [`CallErrorKind`] for the others.
    pub fn simulate(
        &self,
        role_arn: &str,
        actions: &[&str],
        resource_arns: &[&str],
    ) -> Result<Reply<Vec<Simulated>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("iam", "simulate-principal-policy", role_arn);
            if actions.is_empty() || resource_arns.is_empty() {
                return Err(call.error(CallErrorKind::Refused, "no action is named, or no resource"));
            }
            let request = self
                .client
                .simulate_principal_policy()
                .policy_source_arn(role_arn)
                .set_action_names(Some(actions.iter().map(ToString::to_string).collect()))
                .set_resource_arns(Some(resource_arns.iter().map(ToString::to_string).collect()))
                .set_marker(walk.token())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            for result in page.value.evaluation_results.unwrap_or_default() {
                walk.push(result);
            }
            let next = call.next_marker(page.value.is_truncated, page.value.marker)?;
            if walk.is_over(&call, page.attempts, next)? {
                let Reply { value, request_id, attempts } = walk.reply(&call);
                let mut answers = Answers::default();
                for result in value.entries {
                    answers.take(&call, result)?;
                }
                return Ok(Reply { value: answers.all(&call, actions, resource_arns)?, request_id, attempts });
            }
        }
    }
}

/// What came, by action (in lower case, as IAM takes no notice of case there) and resource.
#[derive(Default)]
struct Answers(BTreeMap<(String, String), Told>);

#[derive(Clone, PartialEq, Eq)]
struct Told {
    decision: PolicyDecision,
    matched: Vec<String>,
    missing_context: Vec<String>,
}

impl Answers {
    fn take(&mut self, call: &Call<'_>, result: EvaluationResult) -> Result<(), CallError> {
        let action = result.eval_action_name;
        let told = Told {
            decision: decision(call, &result.eval_decision)?,
            matched: policies(result.matched_statements),
            missing_context: sorted(result.missing_context_values.unwrap_or_default()),
        };
        // An answer is one resource's, or sums up those that it has one by one.
        let specific = result.resource_specific_results.unwrap_or_default();
        let mut summary = result.eval_resource_name.map(|resource| (resource, told));
        for one in specific {
            let mut missing = one.missing_context_values.unwrap_or_default();
            let decision = decision(call, &one.eval_resource_decision)?;
            if let Some((resource, whole)) = summary.take_if(|(resource, _)| *resource == one.eval_resource_name) {
                if whole.decision != decision {
                    return Err(call.malformed(format!("{action} on {resource} has two answers")));
                }
                missing.extend(whole.missing_context);
            }
            let told = Told { decision, matched: policies(one.matched_statements), missing_context: sorted(missing) };
            self.put(call, &action, one.eval_resource_name, told)?;
        }
        match summary {
            Some((resource, told)) => self.put(call, &action, resource, told),
            None => Ok(()),
        }
    }

    fn put(&mut self, call: &Call<'_>, action: &str, resource: String, told: Told) -> Result<(), CallError> {
        match self.0.insert((action.to_ascii_lowercase(), resource.clone()), told.clone()) {
            Some(before) if before != told => Err(call.malformed(format!("{action} on {resource} has two answers"))),
            _ => Ok(()),
        }
    }

    fn all(&self, call: &Call<'_>, actions: &[&str], resources: &[&str]) -> Result<Vec<Simulated>, CallError> {
        let mut all = Vec::new();
        for action in actions {
            for resource in resources {
                let Some(told) = self.0.get(&(action.to_ascii_lowercase(), (*resource).to_owned())) else {
                    return Err(call.malformed(format!("{action} on {resource} has no answer")));
                };
                all.push(Simulated {
                    action: (*action).to_owned(),
                    resource: (*resource).to_owned(),
                    decision: told.decision,
                    matched: told.matched.clone(),
                    missing_context: told.missing_context.clone(),
                });
            }
        }
        Ok(all)
    }
}

fn decision(call: &Call<'_>, said: &Said) -> Result<PolicyDecision, CallError> {
    match said {
        Said::Allowed => Ok(PolicyDecision::Allowed),
        Said::ExplicitDeny => Ok(PolicyDecision::ExplicitDeny),
        Said::ImplicitDeny => Ok(PolicyDecision::ImplicitDeny),
        other => Err(call.malformed(format!("`{}` is no decision", other.as_str()))),
    }
}

fn policies(statements: Option<Vec<Statement>>) -> Vec<String> {
    sorted(statements.unwrap_or_default().into_iter().filter_map(|statement| statement.source_policy_id).collect())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}
