//! Statuses before and after.

use std::time::Duration;

use super::*;

const NOON: SystemTime = SystemTime::UNIX_EPOCH;

fn conditions(list: &[(&str, Option<(bool, &str)>)]) -> Wanted {
    let condition = |(holds, message): (bool, &str)| Condition {
        holds,
        reason: "Because".to_owned(),
        message: message.to_owned(),
    };
    Wanted::Conditions(list.iter().map(|(name, said)| ((*name).to_owned(), said.map(condition))).collect())
}

fn after(wanted: &Wanted, before: &Value, generation: i64, now: SystemTime) -> Value {
    let mut status = before.clone();
    wanted.apply(&mut status, generation, now);
    status
}

#[test]
fn a_condition_is_written_once_for_what_it_says_and_keeps_its_time_until_it_turns() {
    let bound = conditions(&[("Bound", Some((true, "to a")))]);
    let first = after(&bound, &Value::Null, 3, NOON);
    let expected = json!({"conditions": [{
        "type": "Bound", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z",
        "reason": "Because", "message": "to a", "observedGeneration": "3",
    }]});
    assert_eq!(first, expected);
    let later = NOON + Duration::from_secs(60);
    assert_eq!(after(&bound, &first, 3, later), first, "says the same");
    let mut number = first.clone();
    number["conditions"][0]["observedGeneration"] = json!(3);
    assert_eq!(after(&bound, &number, 3, later), number, "whoever wrote it");

    let reworded = after(&conditions(&[("Bound", Some((true, "to b")))]), &first, 4, later);
    assert_eq!(reworded["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
    assert_eq!(reworded["conditions"][0]["observedGeneration"], "4");
    let turned = after(&conditions(&[("Bound", Some((false, "to b")))]), &reworded, 4, later);
    assert_eq!(turned["conditions"][0]["lastTransitionTime"], "1970-01-01T00:01:00Z");
}

#[test]
fn what_others_say_stays_where_it_is() {
    let before = json!({"addresses": [{"value": "240.240.0.1"}], "conditions": [{"type": "Theirs", "status": "?"}, {"type": "Old"}]});
    let got =
        after(&conditions(&[("Old", None), ("New", Some((true, ""))), ("Never", None)]), &before, 1, NOON);
    let types: Vec<_> = got["conditions"].as_array().unwrap().iter().map(|c| c["type"].clone()).collect();
    assert_eq!(types, ["Theirs", "New"]);
    assert_eq!(got["addresses"], before["addresses"]);
    assert_eq!(after(&conditions(&[("Never", None)]), &Value::Null, 1, NOON), Value::Null);
    assert!(
        after(&conditions(&[("New", Some((true, "")))]), &json!("nonsense"), 1, NOON)["conditions"]
            .is_array()
    );
}

#[test]
fn messages_come_and_go_and_none_make_no_status() {
    let none = Wanted::Messages(Vec::new());
    assert_eq!(after(&none, &Value::Null, 2, NOON), Value::Null);
    let some = Wanted::Messages(vec![json!({"level": "ERROR"})]);
    let found = after(&some, &json!({"conditions": []}), 2, NOON);
    assert_eq!(
        found,
        json!({"conditions": [], "validationMessages": [{"level": "ERROR"}], "observedGeneration": "2"})
    );
    assert_eq!(after(&some, &found, 2, NOON), found);
    assert_eq!(after(&some, &found, 3, NOON)["observedGeneration"], "3");
    assert_eq!(after(&none, &found, 2, NOON)["validationMessages"], json!([]));
}

#[test]
fn who_looked_at_an_object_says_which_generation_it_was() {
    let Wanted::Conditions(refused) = conditions(&[("Reconciled", Some((false, "no hosts")))]) else {
        panic!()
    };
    let first = after(&Wanted::Observed(refused), &json!({"addresses": []}), 2, NOON);
    assert_eq!((&first["observedGeneration"], &first["addresses"]), (&json!("2"), &json!([])));
    assert_eq!(first["conditions"][0]["observedGeneration"], "2");
    let nothing = Wanted::Observed(std::iter::once(("Reconciled".to_owned(), None)).collect());
    assert_eq!(after(&nothing, &Value::Null, 2, NOON), Value::Null);
    assert_eq!(after(&nothing, &first, 3, NOON)["observedGeneration"], "3");
}
