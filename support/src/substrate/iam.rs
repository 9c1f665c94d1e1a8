//! Reading IAM.

use std::sync::Arc;

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::reply::{CallError, Reply};

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleInfo {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Who may assume it: a policy document, percent-encoded as IAM sends it.
    pub trust_policy: Option<String>,
}

/// IAM, for reading.
#[derive(Debug)]
pub struct Iam {
    client: aws_sdk_iam::Client,
    link: Arc<Link>,
}

impl Iam {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_iam::Client::new(config), link }
    }

    /// The role of this name.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`super::reply::CallErrorKind`] for the others.
    pub fn get_role(&self, name: &str) -> Result<Reply<RoleInfo>, CallError> {
        let call = self.link.call("iam", "get-role", name);
        let request = self.client.get_role().role_name(name).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let role = call.required("Role", reply.value.role)?;
        if role.role_name != name {
            return Err(call.malformed(format!("role `{}` came", role.role_name)));
        }
        Ok(call.reply(RoleInfo { name: role.role_name, arn: role.arn, trust_policy: role.assume_role_policy_document }))
    }
}
