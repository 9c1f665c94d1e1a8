//! Who the credentials belong to.

use std::sync::Arc;

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::reply::{CallError, Reply};

/// The account and the principal behind the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The 12-digit account id.
    pub account: String,
    /// The principal's ARN.
    pub arn: String,
}

#[derive(Debug)]
pub(super) struct Sts {
    client: aws_sdk_sts::Client,
    link: Arc<Link>,
}

impl Sts {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_sts::Client::new(config), link }
    }

    pub(super) fn identity(&self) -> Result<Reply<Identity>, CallError> {
        let call = self.link.call("sts", "get-caller-identity", "-");
        let request = self.client.get_caller_identity().customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let account = call.required("Account", reply.value.account)?;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(call.malformed(format!("`{account}` is no account id")));
        }
        let arn = call.required("Arn", reply.value.arn)?;
        Ok(call.reply(Identity { account, arn }))
    }
}
