//! Tests of the retry delays.

use std::time::Duration;

use proptest::prelude::*;

use super::Policy;

fn policy(attempts: Option<u32>) -> Policy {
    Policy { initial: Duration::from_secs(1), max: Duration::from_secs(10), factor: 2.0, attempts }
}

#[test]
fn ceilings_double_up_to_the_maximum() {
    let delays: Vec<u64> = policy(Some(6)).delays_with(|| 1.0).map(|d| d.as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn jitter_is_full_so_a_delay_may_be_zero() {
    assert_eq!(policy(None).delays_with(|| 0.0).nth(3), Some(Duration::ZERO));
}

#[test]
fn reset_starts_again_from_the_first_ceiling() {
    let mut delays = policy(Some(3)).delays_with(|| 1.0);
    assert_eq!(delays.by_ref().count(), 3);
    delays.reset();
    assert_eq!(delays.next(), Some(Duration::from_secs(1)));
}

proptest! {
    #[test]
    fn no_policy_overflows_or_passes_its_maximum(
        initial in 0u64..1 << 40, max in 0u64..1 << 40, factor in -1.0f64..1e9, random in proptest::num::f64::ANY,
    ) {
        let policy = Policy {
            initial: Duration::from_millis(initial), max: Duration::from_millis(max), factor, attempts: Some(200),
        };
        for delay in policy.delays_with(|| random) {
            prop_assert!(delay <= Duration::from_millis(max));
        }
    }

    #[test]
    fn the_process_randomness_stays_in_range(_seed in 0..50u8) {
        for (delay, ceiling) in policy(Some(5)).delays().zip([1u64, 2, 4, 8, 10]) {
            prop_assert!(delay <= Duration::from_secs(ceiling));
        }
    }
}
