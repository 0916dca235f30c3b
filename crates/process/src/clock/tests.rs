//! Tests of the clocks.

use std::time::{Duration, UNIX_EPOCH};

use super::{Clock, Real, Virtual};

#[test]
fn a_virtual_clock_moves_only_when_told_and_clones_agree() {
    let clock = Virtual::new(UNIX_EPOCH);
    let other = clock.clone();
    clock.advance(Duration::from_secs(5));
    assert_eq!(other.now(), UNIX_EPOCH + Duration::from_secs(5));
    assert_eq!(other.monotonic(), Duration::from_secs(5));
}

#[test]
fn setting_the_wall_clock_back_does_not_move_monotonic_time() {
    let clock = Virtual::new(UNIX_EPOCH + Duration::from_secs(100));
    clock.advance(Duration::from_secs(1));
    clock.set(UNIX_EPOCH);
    assert_eq!(clock.now(), UNIX_EPOCH);
    assert_eq!(clock.monotonic(), Duration::from_secs(1));
}

#[test]
fn the_real_clock_does_not_go_back() {
    let clock = Real::new();
    let first = clock.monotonic();
    assert!(clock.monotonic() >= first);
    assert!(clock.now() > UNIX_EPOCH);
}
