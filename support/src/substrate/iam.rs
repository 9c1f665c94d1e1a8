//! Reading IAM: roles, and all policies that speak for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::link::{Call, Link};
use super::policy_document::policy_document;
use super::reply::{CallError, CallErrorKind, Reply};
use super::walk::Walk;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleInfo {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Who may assume it: a policy document, percent-encoded as IAM sends it; [`super::policy_document()`] reads it.
    pub trust_policy: Option<String>,
    /// The ARN of the managed policy that bounds what its policies can allow, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
}

/// A policy that is part of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlinePolicy {
    /// Its name.
    pub name: String,
    /// What it says.
    pub document: Value,
}

/// A managed policy, in the version that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The version in force, `v1`.
    pub version: String,
    /// What that version says.
    pub document: Value,
}

/// All policies of one role, but for its permissions boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolePolicies {
    /// The role's name.
    pub role: String,
    /// The policies that are part of it, by name.
    pub inline: Vec<InlinePolicy>,
    /// The managed policies that are attached to it, by ARN.
    pub attached: Vec<ManagedPolicy>,
}

/// IAM, for reading.
#[derive(Debug)]
pub struct Iam {
    pub(super) client: aws_sdk_iam::Client,
    pub(super) link: Arc<Link>,
}

impl Iam {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_iam::Client::new(config), link }
    }

    /// The role of this name.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn get_role(&self, name: &str) -> Result<Reply<RoleInfo>, CallError> {
        let call = self.link.call("iam", "get-role", name);
        let request = self.client.get_role().role_name(name).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let role = call.required("Role", reply.value.role)?;
        if role.role_name != name {
            return Err(call.malformed(format!("role `{}` came", role.role_name)));
        }
        let permissions_boundary = match role.permissions_boundary {
            None => None,
            Some(boundary) => Some(call.required("PermissionsBoundaryArn", boundary.permissions_boundary_arn)?),
        };
        Ok(call.reply(RoleInfo {
            name: role.role_name,
            arn: role.arn,
            trust_policy: role.assume_role_policy_document,
            permissions_boundary,
        }))
    }

    /// All policies of the role of this name: those that are part of it, and the managed ones that are attached, in
    /// the version in force. Every page of both lists is walked, and every policy that is listed is read: all, or an error.
    ///
    /// # Errors
    /// `NotFound` when there is no such role; `Malformed` when a page, a policy or its document contradicts itself, or a
    /// policy that was listed is gone; see [`CallErrorKind`] for the others.
    pub fn role_policies(&self, role: &str) -> Result<Reply<RolePolicies>, CallError> {
        let names = self.inline_names(role)?;
        let mut attempts = names.attempts;
        let mut inline = Vec::new();
        for name in names.value {
            let policy = self.inline_policy(role, &name).map_err(listed)?;
            attempts = attempts.saturating_add(policy.attempts);
            inline.push(policy.value);
        }
        let arns = self.attached_arns(role)?;
        attempts = attempts.saturating_add(arns.attempts);
        let mut attached = Vec::new();
        for (arn, name) in arns.value {
            let policy = self.managed_policy(&arn).map_err(listed)?;
            if policy.value.name != name {
                let call = self.link.call("iam", "get-policy", arn);
                return Err(call.malformed(format!("it is listed as `{name}`, and `{}` came", policy.value.name)));
            }
            attempts = attempts.saturating_add(policy.attempts);
            attached.push(policy.value);
        }
        let value = RolePolicies { role: role.to_owned(), inline, attached };
        Ok(Reply { value, request_id: arns.request_id, attempts })
    }

    fn inline_names(&self, role: &str) -> Result<Reply<BTreeSet<String>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("iam", "list-role-policies", role);
            let request = self.client.list_role_policies().role_name(role).set_marker(walk.token()).customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            for name in page.value.policy_names {
                walk.push(name);
            }
            let next = call.next_marker(page.value.is_truncated, page.value.marker)?;
            if walk.is_over(&call, page.attempts, next)? {
                return each_once(&call, walk);
            }
        }
    }

    fn inline_policy(&self, role: &str, name: &str) -> Result<Reply<InlinePolicy>, CallError> {
        let call = self.link.call("iam", "get-role-policy", format!("{role}/{name}"));
        let request = self.client.get_role_policy().role_name(role).policy_name(name).customize();
        let policy = call.send(request.interceptor(call.probe()).send())?.value;
        if policy.role_name != role || policy.policy_name != name {
            return Err(call.malformed(format!("policy `{}` of `{}` came", policy.policy_name, policy.role_name)));
        }
        Ok(call.reply(InlinePolicy { name: policy.policy_name, document: document(&call, &policy.policy_document)? }))
    }

    /// The ARNs and names of the managed policies that are attached.
    fn attached_arns(&self, role: &str) -> Result<Reply<BTreeSet<(String, String)>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("iam", "list-attached-role-policies", role);
            let request = self.client.list_attached_role_policies().role_name(role).set_marker(walk.token());
            let page = call.send(request.customize().interceptor(call.probe()).send())?;
            for policy in page.value.attached_policies.unwrap_or_default() {
                let arn = call.required("PolicyArn", policy.policy_arn)?;
                walk.push((arn, call.required("PolicyName", policy.policy_name)?));
            }
            let next = call.next_marker(page.value.is_truncated, page.value.marker)?;
            if walk.is_over(&call, page.attempts, next)? {
                return each_once(&call, walk);
            }
        }
    }

    /// The managed policy of this ARN, in the version that is in force.
    ///
    /// # Errors
    /// `NotFound` when it is not there; `Malformed` when its version in force is not to be had, or its document is none;
    /// see [`CallErrorKind`] for the others.
    pub fn managed_policy(&self, arn: &str) -> Result<Reply<ManagedPolicy>, CallError> {
        let call = self.link.call("iam", "get-policy", arn);
        let request = self.client.get_policy().policy_arn(arn).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let policy = call.required("Policy", reply.value.policy)?;
        if policy.arn.as_deref() != Some(arn) {
            return Err(call.malformed(format!("policy `{}` came", policy.arn.unwrap_or_default())));
        }
        let name = call.required("PolicyName", policy.policy_name)?;
        let version = call.required("DefaultVersionId", policy.default_version_id)?;
        let versioned = self.policy_version(arn, &version).map_err(listed)?;
        let value = ManagedPolicy { name, arn: arn.to_owned(), version, document: versioned.value };
        Ok(Reply {
            value,
            request_id: versioned.request_id,
            attempts: reply.attempts.saturating_add(versioned.attempts),
        })
    }

    fn policy_version(&self, arn: &str, version: &str) -> Result<Reply<Value>, CallError> {
        let call = self.link.call("iam", "get-policy-version", format!("{arn} {version}"));
        let request = self.client.get_policy_version().policy_arn(arn).version_id(version).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let came = call.required("PolicyVersion", reply.value.policy_version)?;
        if came.version_id.as_deref() != Some(version) {
            return Err(call.malformed(format!("version `{}` came", came.version_id.unwrap_or_default())));
        }
        if !came.is_default_version {
            return Err(call.malformed("the version in force says that it is not"));
        }
        let text = call.required("Document", came.document)?;
        Ok(call.reply(document(&call, &text)?))
    }
}

/// A list in order, in which nothing may stand twice.
fn each_once<T: Ord + Clone + std::fmt::Debug>(
    call: &Call<'_>,
    walk: Walk<T>,
) -> Result<Reply<BTreeSet<T>>, CallError> {
    let Reply { value, request_id, attempts } = walk.reply(call);
    let mut entries = BTreeSet::new();
    for entry in value.entries {
        if !entries.insert(entry.clone()) {
            return Err(call.malformed(format!("{entry:?} is listed twice")));
        }
    }
    Ok(Reply { value: entries, request_id, attempts })
}

fn document(call: &Call<'_>, text: &str) -> Result<Value, CallError> {
    policy_document(text).map_err(|error| call.malformed(error.to_string()))
}

/// What another answer has just named is there, so that its absence says nothing of the thing that was asked for.
fn listed(error: CallError) -> CallError {
    match error.kind {
        CallErrorKind::NotFound => CallError {
            kind: CallErrorKind::Malformed,
            message: format!("another answer names it, and it is not there: {}", error.message),
            ..error
        },
        _ => error,
    }
}
