//! One TokenReview: what is asked, and how the answer is read.

use std::fmt;

use identity::token::{self, Pod};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::Resource as _;
use kube::api::{PostParams, Request};

use crate::ca::Reason;

/// The group of all service accounts.
const ACCOUNTS: &str = "system:serviceaccounts";

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// The namespace of the service account.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// The pod the token is bound to.
    pub(super) pod: Option<Pod>,
}

/// What is known of a token.
pub(super) type Verdict = Result<Account, Reason>;

/// Asks an API server whether it believes a token for one of `audiences`. As security/pkg/k8s/tokenreview/k8sauthn.go:
/// ValidateK8sJwt.
pub(super) async fn ask(client: &kube::Client, token: &str, audiences: &[String]) -> Verdict {
    let wanted = (!audiences.is_empty()).then(|| audiences.to_vec());
    let asked = TokenReview {
        spec: TokenReviewSpec { audiences: wanted, token: token.to_owned() },
        ..TokenReview::default()
    };
    let undecided = |error: &dyn fmt::Display| {
        Err(Reason::Undecided(format!("the API server was not to be asked: {error}")))
    };
    let requests = Request::new(TokenReview::url_path(&(), None));
    let request = match serde_json::to_vec(&asked) {
        Ok(body) => requests.create(&PostParams::default(), body),
        Err(error) => return undecided(&error),
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => return undecided(&error),
    };
    // read here: the client would write an answer that it cannot read into the log, and this one repeats the token
    match client.request_text(request).await {
        Ok(answer) => match serde_json::from_str::<TokenReview>(&answer) {
            Ok(answer) => read(answer.status.unwrap_or_default(), audiences),
            Err(_) => undecided(&"its answer is not a TokenReview"),
        },
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
            let text = format!(
                "the API server does not let this control plane create TokenReviews ({}); give its service account \
                 the ClusterRole system:auth-delegator or one with that right",
                status.message
            );
            Err(Reason::Undecided(text))
        }
        Err(error) => undecided(&error),
    }
}

fn read(status: TokenReviewStatus, audiences: &[String]) -> Verdict {
    let refused = |text: String| Err(Reason::Unproven(text));
    if let Some(error) = status.error.filter(|error| !error.is_empty()) {
        return refused(format!("the service account authentication returns an error: {error}"));
    }
    if status.authenticated != Some(true) {
        return refused("the token is not authenticated".to_owned());
    }
    // an API server that knows nothing of audiences would believe tokens that are for others
    let found = status.audiences.unwrap_or_default();
    if !audiences.is_empty() && !found.iter().any(|audience| audiences.contains(audience)) {
        return refused(format!("the token is for {found:?}, not for any of {audiences:?}"));
    }
    let user = status.user.unwrap_or_default();
    if !user.groups.iter().flatten().any(|group| group == ACCOUNTS) {
        return refused("the token is not a service account's".to_owned());
    }
    let (namespace, name) = token::service_account(user.username.as_deref().unwrap_or_default())
        .map_err(|error| Reason::Unproven(error.to_string()))?;
    Ok(Account { namespace, name, pod: pod(&user) })
}

/// The pod a token is bound to, under the keys of k8s.io/apiserver/pkg/authentication/serviceaccount/util.go.
fn pod(user: &UserInfo) -> Option<Pod> {
    let says = |what: &str| {
        let key = format!("authentication.kubernetes.io/{what}");
        user.extra.as_ref()?.get(&key)?.first().cloned()
    };
    Some(Pod { name: says("pod-name")?, uid: says("pod-uid")?, node: says("node-name") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn believed() -> TokenReviewStatus {
        let user = UserInfo {
            username: Some("system:serviceaccount:shop:cart".to_owned()),
            groups: Some(vec![ACCOUNTS.to_owned()]),
            ..UserInfo::default()
        };
        let audiences = Some(vec!["istio-ca".to_owned()]);
        TokenReviewStatus { authenticated: Some(true), user: Some(user), audiences, error: None }
    }

    fn why(change: impl FnOnce(&mut TokenReviewStatus)) -> String {
        let mut status = believed();
        change(&mut status);
        let verdict = read(status, &["istio-ca".to_owned()]);
        let Err(Reason::Unproven(why)) = verdict else { panic!("{verdict:?}") };
        why
    }

    #[test]
    fn only_a_service_account_that_was_authenticated_for_us_is_believed() {
        let account = Account { namespace: "shop".into(), name: "cart".into(), pod: None };
        assert_eq!(read(believed(), &["other".into(), "istio-ca".into()]), Ok(account.clone()));
        let unaware = TokenReviewStatus { audiences: None, ..believed() };
        assert_eq!(read(unaware, &[]), Ok(account), "the API server's own audience");
        assert!(why(|s| s.audiences = None).contains("istio-ca"), "one that knows no audiences");
        assert!(why(|s| s.authenticated = None).contains("not authenticated"));
        assert!(why(|s| s.error = Some("expired".into())).contains("expired"));
        assert!(why(|s| s.user.as_mut().unwrap().groups = None).contains("service account"));
        for name in ["admin", "system:node:a:b", "system:serviceaccount:shop", "system:serviceaccount:a:b:c"]
        {
            assert!(why(|s| s.user.as_mut().unwrap().username = Some(name.into())).contains(name));
        }
    }
}
