//! Who an object is: reading `metadata`.

use std::collections::BTreeMap;

use super::node::{Key, Node};
use super::reader::Reader;
use crate::kind::Kind;
use crate::object::{Meta, Owner};
use crate::shared::text;

/// Reads the metadata of a document; `namespace` is for objects that name none.
pub(crate) fn read(root: &Node, kind: Kind, namespace: &str, reader: &mut Reader) -> Meta {
    let mut meta = Meta::new(kind, "", "");
    let mut who = (String::new(), String::new());
    for (key, value) in reader.entries(root) {
        if key.name != "metadata" {
            continue;
        }
        reader.within("metadata", key.at, |reader| {
            for (key, value) in reader.entries(value) {
                member(key, value, &mut who, &mut meta, reader);
            }
        });
    }
    let (name, own_namespace) = who;
    if name.is_empty() {
        let at = root.get("metadata").map_or(root.at, |node| node.at);
        reader.error(at, "metadata.name is missing", "give the object a name");
    }
    meta.name = text(&name);
    if kind.namespaced() {
        meta.namespace = text(if own_namespace.is_empty() { namespace } else { &own_namespace });
    }
    meta
}

/// Reads one member of the metadata; name and namespace go to `who`.
fn member(key: &Key, value: &Node, who: &mut (String, String), meta: &mut Meta, reader: &mut Reader) {
    match key.name.as_str() {
        "name" => reader.field(key, "name", "", value, &mut who.0),
        "namespace" => reader.field(key, "namespace", "", value, &mut who.1),
        "labels" => reader.field(key, "labels", "", value, &mut meta.labels),
        "annotations" => reader.field(key, "annotations", "", value, &mut meta.annotations),
        "uid" => reader.field(key, "uid", "", value, &mut meta.uid),
        "resourceVersion" => reader.field(key, "resource_version", "", value, &mut meta.resource_version),
        "generation" => reader.field(key, "generation", "", value, &mut meta.generation),
        "creationTimestamp" => meta.creation = value.as_str().and_then(unix_seconds).unwrap_or(0),
        "deletionTimestamp" => meta.deleting = !value.is_null(),
        "ownerReferences" => {
            let mut owners = Vec::new();
            reader.quietly(|reader| reader.field(key, "owner_references", "", value, &mut owners));
            meta.owners = owners.iter().map(owner).collect::<Vec<_>>().into();
        }
        _ => {}
    }
}

fn owner(members: &BTreeMap<String, crate::Value>) -> Owner {
    let string = |key: &str| members.get(key).and_then(crate::Value::as_str).unwrap_or_default().to_owned();
    Owner {
        api_version: string("apiVersion"),
        kind: string("kind"),
        name: string("name"),
        controller: members.get("controller").and_then(crate::Value::as_bool).unwrap_or(false),
    }
}

/// Seconds since 1970 of a time of RFC 3339, as API servers write it; fractions are dropped.
pub fn unix_seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let clock_end = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(clock_end);
    let mut clock = clock.split('.').next()?.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let valid = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !valid {
        return None;
    }
    let offset = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => 0,
        Some(sign) => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if *sign == b'-' { -offset } else { offset }
        }
    };
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March so that leap days are last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The time of seconds since 1970 as API servers write it.
pub fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // days since the March of year 0, in eras of 400 years; the inverse of `days`
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, unix_seconds};

    #[test]
    fn seconds_and_times_are_each_other() {
        for seconds in (0..4_000_000_000).step_by(40_003_777) {
            assert_eq!(unix_seconds(&rfc3339(seconds)), Some(seconds));
        }
        assert_eq!(rfc3339(1_709_209_815), "2024-02-29T12:30:15Z");
    }

    #[test]
    fn times_of_api_servers_become_unix_seconds() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:30:15Z", Some(1_709_209_815)),
            ("2024-02-29T12:30:15.123456Z", Some(1_709_209_815)),
            ("2024-02-29T13:30:15+01:00", Some(1_709_209_815)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("yesterday", None),
            ("2024-13-01T00:00:00Z", None),
        ];
        for (text, want) in cases {
            assert_eq!(unix_seconds(text), want, "{text}");
        }
    }
}
