//! What is told about objects to those who wrote them: in a status, and in an event of Kubernetes.

use std::collections::BTreeMap;
use std::time::Duration;

use config::switches::Statuses;
use config::{Kind, Problem, Switches};
use controllers::notices::{Notices, Regarding, Topic};
use controllers::status::{Board, Condition, Target, Wanted};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use sources::{Regarded, Ruling, Verdict};

use crate::options::Options;

#[cfg(test)]
mod tests;

/// The condition that says whether an object has effect (as istio.io/docs/reference/config/config-status: `Reconciled`).
const RECONCILED: &str = "Reconciled";
/// Who we are on the board of statuses.
const REPORTER: &str = "configuration";
/// How long the cluster may take to say who we are.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many problems of an object are told, the rest is counted.
const TOLD: usize = 5;

/// Takes verdicts, and says on the boards of those who write what should be written. Clones share the boards.
#[derive(Debug, Clone)]
pub struct Reports {
    statuses: Statuses,
    events: bool,
    /// What statuses should say; nothing where they are off.
    pub board: Board,
    /// What events should say that is the same for all replicas; nothing where they are off.
    pub notices: Notices,
    /// What events should say of this replica alone.
    pub own: Notices,
    /// The pod we run in, if we know it.
    pod: Option<Regarding>,
}

impl Reports {
    /// Nothing is said yet.
    #[must_use]
    pub fn new(switches: &Switches) -> Self {
        Self {
            statuses: switches.meltemi_status,
            events: switches.meltemi_events,
            board: Board::default(),
            notices: Notices::default(),
            own: Notices::default(),
            pod: None,
        }
    }

    /// Those of a control plane in this cluster; `None` without one. There are events about the control plane itself if the
    /// cluster knows its pod.
    pub async fn of(options: &Options, cluster: Option<&Client>) -> Option<Self> {
        let cluster = cluster?;
        let mut reports = Self::new(&options.switches);
        let (namespace, name) = (&options.namespace, &options.switches.pod_name);
        if reports.events && !name.is_empty() {
            let pods: Api<Pod> = Api::namespaced(cluster.clone(), namespace);
            let found = tokio::time::timeout(PATIENCE, pods.get_metadata_opt(name)).await;
            reports.pod = found.ok().and_then(Result::ok).flatten().map(|pod| Regarding {
                api_version: Kind::Pod.api_version(),
                kind: Kind::Pod.name().to_owned(),
                namespace: namespace.clone(),
                name: name.clone(),
                uid: pod.metadata.uid.unwrap_or_default(),
            });
        }
        Some(reports)
    }

    /// Says what could not be done about the certificate authority, or that it could.
    pub fn authority(&self, what: &'static str, trouble: Option<&str>) {
        let Some(pod) = &self.pod else { return };
        let topic =
            Topic { regarding: pod.clone(), reason: "CertificateAuthorityTrouble", part: what.to_owned() };
        match trouble {
            Some(why) => self.own.tell(topic, &format!("cannot {what} the certificate authority: {why}")),
            None => self.own.withdraw(&topic),
        }
    }

    /// Takes verdicts in, in their order.
    pub fn take(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            if self.events {
                self.notify(verdict);
            }
            if self.statuses != Statuses::Off && verdict.object.kind.is_istio() {
                self.report(verdict);
            }
        }
    }

    fn notify(&self, verdict: &Verdict) {
        let topic = Topic {
            regarding: regarding(&verdict.object),
            reason: reason(verdict.object.kind),
            part: verdict.part.clone(),
        };
        match verdict.ruling {
            Ruling::Accepted | Ruling::Gone => self.notices.withdraw(&topic),
            Ruling::Refused { .. } => self.notices.tell(topic, &message(verdict)),
        }
    }

    /// Those objects have a condition that are refused, and those that have one already; or all.
    fn report(&self, verdict: &Verdict) {
        let Regarded { kind, namespace, name, .. } = &verdict.object;
        let target = Target { kind: *kind, namespace: namespace.to_string(), name: name.to_string() };
        let holds = match verdict.ruling {
            Ruling::Gone => return self.board.forget(&target, REPORTER),
            Ruling::Accepted => true,
            Ruling::Refused { .. } => false,
        };
        let is_known =
            || verdict.conditions.iter().any(|name| name == RECONCILED) || self.board.has(&target, REPORTER);
        if holds && self.statuses == Statuses::Refused && !is_known() {
            return;
        }
        let condition = Condition {
            holds,
            reason: if holds { "Accepted" } else { "Refused" }.to_owned(),
            message: message(verdict),
        };
        let wanted = Wanted::Observed(BTreeMap::from([(RECONCILED.to_owned(), Some(condition))]));
        self.board.set(target, REPORTER, verdict.generation, wanted);
    }
}

fn regarding(object: &Regarded) -> Regarding {
    Regarding {
        api_version: object.kind.api_version(),
        kind: object.kind.name().to_owned(),
        namespace: object.namespace.to_string(),
        name: object.name.to_string(),
        uid: object.uid.clone(),
    }
}

/// The word of an event for programs.
fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::ConfigMap => "MeshConfigRefused",
        Kind::Secret => "RemoteClusterUnreadable",
        _ => "ConfigurationRefused",
    }
}

/// What there is to say, in a sentence or some.
fn message(verdict: &Verdict) -> String {
    let Ruling::Refused { kept } = verdict.ruling else { return "what it says has effect".to_owned() };
    let mut parts: Vec<String> = verdict.problems.iter().take(TOLD).map(complaint).collect();
    if verdict.problems.len() > TOLD {
        parts.push(format!("and {} more", verdict.problems.len() - TOLD));
    }
    parts.push(
        if kept { "the version before stays in effect" } else { "nothing of it has effect" }.to_owned(),
    );
    parts.join("; ")
}

/// A problem without the name of the object, under which it stands; with the place in a text that an object holds.
fn complaint(problem: &Problem) -> String {
    let place = match problem.line {
        0 => String::new(),
        line => format!("line {line}, column {}: ", problem.column),
    };
    let bare = Problem { file: "".into(), line: 0, object: String::new(), ..problem.clone() };
    format!("{place}{bare}")
}
