//! Verdicts, and what is said of them on the boards.

use config::switches::Statuses;
use config::{Kind, Problem, Severity, Switches};
use sources::{Regarded, Ruling, Verdict};

use super::{REPORTER, Reports, complaint, message};
use controllers::status::Target;

fn reports(statuses: Statuses, events: bool) -> Reports {
    Reports::new(&Switches { meltemi_status: statuses, meltemi_events: events, ..Switches::default() })
}

fn verdict(kind: Kind, ruling: Ruling, conditions: &[&str]) -> Verdict {
    let object = Regarded { kind, namespace: "shop".into(), name: "cart".into(), uid: "u".to_owned() };
    let conditions = conditions.iter().map(|name| (*name).to_owned()).collect();
    Verdict { generation: 3, conditions, ..Verdict::new(object, ruling) }
}

fn is_reported(reports: &Reports, kind: Kind) -> bool {
    let target = Target { kind, namespace: "shop".to_owned(), name: "cart".to_owned() };
    reports.board.has(&target, REPORTER)
}

const REFUSED: Ruling = Ruling::Refused { kept: true };

#[test]
fn an_object_has_a_status_from_its_first_refusal_on() {
    let kind = Kind::VirtualService;
    let some = reports(Statuses::Refused, true);
    some.take(&[verdict(kind, Ruling::Accepted, &[])]);
    assert!(!is_reported(&some, kind), "nobody is told that all is well who was not told otherwise");
    some.take(&[verdict(kind, REFUSED, &[]), verdict(kind, Ruling::Accepted, &[])]);
    assert!(is_reported(&some, kind));
    some.take(&[verdict(kind, Ruling::Gone, &[])]);
    assert!(!is_reported(&some, kind));
    some.take(&[verdict(kind, Ruling::Accepted, &["Reconciled"])]);
    assert!(
        is_reported(&some, kind),
        "another replica, or this one before it started again, said it is refused"
    );

    let all = reports(Statuses::All, true);
    all.take(&[verdict(kind, Ruling::Accepted, &[]), verdict(Kind::KubernetesGateway, REFUSED, &[])]);
    assert!(is_reported(&all, kind));
    assert!(!is_reported(&all, Kind::KubernetesGateway), "its conditions are those of the Gateway API");
    let none = reports(Statuses::Off, true);
    none.take(&[verdict(kind, REFUSED, &["Reconciled"])]);
    assert!(!is_reported(&none, kind));
}

#[test]
fn the_message_says_what_is_wrong_where_and_what_serves() {
    let mut problem = Problem::new(Severity::Error, "cluster Kubernetes", "expected a list");
    (problem.object, problem.field) = ("VirtualService shop/cart".to_owned(), "spec.hosts".to_owned());
    let mut refused = verdict(Kind::VirtualService, REFUSED, &[]);
    refused.problems = vec![problem.clone()];
    assert_eq!(message(&refused), "spec.hosts: expected a list; the version before stays in effect");
    refused.ruling = Ruling::Refused { kept: false };
    refused.problems = vec![problem.clone(); 7];
    assert!(message(&refused).ends_with("; and 2 more; nothing of it has effect"), "{}", message(&refused));
    (problem.line, problem.column) = (2, 17);
    assert_eq!(complaint(&problem), "line 2, column 17: spec.hosts: expected a list");
}
