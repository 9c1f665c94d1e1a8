//! STS of the embedded world: who the caller is. A handler of our own: the account of
//! `winterbaume` is one for the whole process, and a world has its own.

use super::connector::{ServiceRequest, ServiceResponse};
use super::store::Store;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers `GetCallerIdentity`; all else is `NotImplemented`.
pub(super) fn answer(store: &Store, request: &ServiceRequest) -> ServiceResponse {
    let asked = String::from_utf8_lossy(&request.body);
    if !asked.split('&').any(|pair| pair == "Action=GetCallerIdentity") {
        return error(501, "NotImplemented", "only GetCallerIdentity is there");
    }
    match store.read(|state| state.account.clone()) {
        Ok(Some(account)) => identity(&account),
        Ok(None) => error(403, "InvalidClientTokenId", "this world is not seeded"),
        Err(failure) => error(500, "InternalFailure", &failure.to_string()),
    }
}

fn identity(account: &str) -> ServiceResponse {
    xml(
        200,
        format!(
            "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::{account}:user/embedded</Arn><UserId>EMBEDDED</UserId>\
             <Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ),
    )
}

fn error(status: u16, code: &str, message: &str) -> ServiceResponse {
    xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error></ErrorResponse>"
        ),
    )
}

fn xml(status: u16, body: String) -> ServiceResponse {
    ServiceResponse { status, content_type: "text/xml", body: body.into_bytes() }
}
