//! Localities: weights by `distribute`, priorities by failover
//! (as pilot/pkg/networking/core/loadbalancer/loadbalancer.go).

use std::collections::BTreeMap;

use config::networking::{Distribute, LocalityLoadBalancerSetting, ZoneAwareLoadBalancerSetting};
use mesh::endpoints::Locality;
use mesh::workloads::LabelSet as _;
use proto::envoy::config::core::v3::Locality as EnvoyLocality;
use proto::envoy::config::endpoint::v3::LocalityLbEndpoints;

use super::{Group, weigh};
use crate::clusters::balance::Effective;
use crate::encoded::u32_value;
use crate::proxy::Proxy;

/// The groups as Envoy gets them, with the locality setting in force applied.
pub(super) fn apply(
    groups: Vec<Group>,
    proxy: &Proxy,
    setting: Option<&Effective>,
    outlier: bool,
) -> Vec<LocalityLbEndpoints> {
    match setting {
        None => groups.into_iter().map(|g| g.built).collect(),
        Some(Effective::Locality { setting, force }) => {
            by_locality(groups, proxy, setting, outlier || *force)
        }
        Some(Effective::ZoneAware(zone)) if zone.enabled.unwrap_or(true) => by_zone(groups, proxy, zone),
        Some(Effective::ZoneAware(_)) => groups.into_iter().map(|g| g.built).collect(),
    }
}

fn by_locality(
    groups: Vec<Group>,
    proxy: &Proxy,
    setting: &LocalityLoadBalancerSetting,
    failover: bool,
) -> Vec<LocalityLbEndpoints> {
    if !setting.distribute.is_empty() {
        let mut out: Vec<_> = groups.into_iter().map(|g| g.built).collect();
        distribute(&mut out, &proxy.locality, &setting.distribute);
        return out;
    }
    if !failover {
        return groups.into_iter().map(|g| g.built).collect();
    }
    let regional = |out: &mut Vec<LocalityLbEndpoints>| {
        let to = |region: &str| setting.failover.iter().find(|f| f.from == region).map(|f| f.to.clone());
        let target = to(&proxy.locality.region);
        prioritize(out, 5, |l| {
            let priority = distance(&proxy.locality, l);
            let elsewhere = target.as_ref().is_some_and(|t| l.is_none_or(|l| l.region != *t));
            if priority == 3 && elsewhere { 4 } else { priority }
        });
    };
    if setting.failover_priority.is_empty() {
        let mut out: Vec<_> = groups.into_iter().map(|g| g.built).collect();
        regional(&mut out);
        return out;
    }
    let mut out = by_labels(groups, proxy, &setting.failover_priority);
    if !setting.failover.is_empty() {
        regional(&mut out);
    }
    out
}

fn by_zone(
    groups: Vec<Group>,
    proxy: &Proxy,
    setting: &ZoneAwareLoadBalancerSetting,
) -> Vec<LocalityLbEndpoints> {
    let mut out = if setting.failover_priority.is_empty() {
        groups.into_iter().map(|g| g.built).collect()
    } else {
        by_labels(groups, proxy, &setting.failover_priority)
    };
    let region = &*proxy.locality.region;
    let target = setting.failover.iter().find(|f| f.from == region).map(|f| f.to.clone());
    prioritize(&mut out, 3, |l| {
        let own = l.map_or("", |l| l.region.as_str());
        match &target {
            _ if own == region => 0,
            Some(to) if own == to => 1,
            _ => 2,
        }
    });
    out
}

/// Whether a pattern (`region/zone/subzone`, `*` at the end) covers a locality (as util: `LocalityMatch`).
fn covers(pattern: &str, region: &str, zone: &str, subzone: &str) -> bool {
    let mut parts = pattern.split('/');
    for own in [region, zone, subzone] {
        match parts.next() {
            None | Some("" | "*") => return true,
            Some(part) if part != own => return false,
            Some(_) => {}
        }
    }
    true
}

fn distribute(groups: &mut [LocalityLbEndpoints], own: &Locality, settings: &[Distribute]) {
    let Some(setting) = settings.iter().find(|d| covers(&d.from, &own.region, &own.zone, &own.subzone))
    else {
        return;
    };
    let mut left: Vec<bool> = vec![true; groups.len()];
    // More specific targets first, so that `region/*` does not take what `region/zone` names.
    let mut targets: Vec<_> = setting.to.iter().collect();
    targets.sort_by_key(|(pattern, _)| {
        (pattern.ends_with('*'), std::cmp::Reverse(pattern.len()), (*pattern).clone())
    });
    for (pattern, weight) in targets {
        let mut chosen = Vec::new();
        for (i, group) in groups.iter().enumerate() {
            let empty = EnvoyLocality::default();
            let l = group.locality.as_ref().unwrap_or(&empty);
            if left[i] && covers(pattern, &l.region, &l.zone, &l.sub_zone) {
                left[i] = false;
                chosen.push((i, group.load_balancing_weight.map_or(1, |w| w.value)));
            }
        }
        let total: u32 = chosen.iter().map(|(_, w)| *w).sum();
        for (i, original) in chosen {
            let share = f64::from(original) * f64::from(*weight) / f64::from(total);
            if share > 0.0 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of u32 weights"
                )]
                let share = share.ceil() as u32;
                groups[i].load_balancing_weight = u32_value(share);
            }
        }
    }
    for (group, _) in groups.iter_mut().zip(left).filter(|(_, left)| *left) {
        group.lb_endpoints.clear();
    }
}

/// 0 same subzone, 1 same zone, 2 same region, 3 elsewhere (as util: `LbPriority`).
fn distance(own: &Locality, other: Option<&EnvoyLocality>) -> u32 {
    let empty = EnvoyLocality::default();
    let other = other.unwrap_or(&empty);
    if *own.region != *other.region {
        3
    } else if *own.zone != *other.zone {
        2
    } else if *own.subzone != *other.sub_zone {
        1
    } else {
        0
    }
}

/// Sets priorities, `levels` of them within each present one, then closes the gaps.
fn prioritize(groups: &mut [LocalityLbEndpoints], levels: u32, of: impl Fn(Option<&EnvoyLocality>) -> u32) {
    for group in groups.iter_mut() {
        group.priority = group.priority * levels + of(group.locality.as_ref());
    }
    close_gaps(groups);
}

fn close_gaps(groups: &mut [LocalityLbEndpoints]) {
    let mut present: Vec<u32> = groups.iter().map(|g| g.priority).collect();
    present.sort_unstable();
    present.dedup();
    for group in groups {
        let rank = present.binary_search(&group.priority).unwrap_or(0);
        group.priority = u32::try_from(rank).unwrap_or(u32::MAX);
    }
}

/// Priorities by how many of the proxy's labels an endpoint shares, in order (as `applyFailoverPriorities`).
fn by_labels(groups: Vec<Group>, proxy: &Proxy, labels: &[String]) -> Vec<LocalityLbEndpoints> {
    if proxy.labels.is_empty() || groups.is_empty() {
        return groups.into_iter().map(|g| g.built).collect();
    }
    let lowest = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let network_first = labels.first().is_some_and(|l| l == config::label::NETWORK);
    let wanted: Vec<(&str, &str)> = labels
        .iter()
        .map(|label| match label.split_once('=') {
            Some((key, value)) => (key, value),
            None => (label.as_str(), proxy.labels.get(label.as_str()).map_or("", |v| &**v)),
        })
        .collect();
    let priority = |row: &mesh::endpoints::Endpoint| {
        let mut adjust = 0;
        for (i, (key, value)) in wanted.iter().enumerate() {
            if row.labels.value(key).unwrap_or_default() != *value {
                if i == 0 && network_first {
                    adjust = lowest;
                    continue;
                }
                return lowest - u32::try_from(i).unwrap_or(0) + adjust;
            }
        }
        adjust
    };
    let mut out = Vec::new();
    for group in groups {
        let mut by_priority: BTreeMap<u32, LocalityLbEndpoints> = BTreeMap::new();
        for (row, endpoint) in group.rows.iter().zip(&group.built.lb_endpoints) {
            let level = priority(row);
            let part = by_priority.entry(level).or_insert_with(|| LocalityLbEndpoints {
                lb_endpoints: Vec::new(),
                priority: level,
                ..group.built.clone()
            });
            part.lb_endpoints.push(endpoint.clone());
        }
        out.extend(by_priority.into_values().map(|mut part| {
            weigh(&mut part);
            part
        }));
    }
    close_gaps(&mut out);
    out
}
